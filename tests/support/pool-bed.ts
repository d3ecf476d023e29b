/** A platform over the fake driver with a snapshot, for tests of the pool. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { InvocationOutput, Platform, VmView } from '../../src/control/index.js';
import { testPlatform, type TestOptions, type TestPlatform } from './control-platform.js';

export const hello = { functionName: 'hello' };
/** In a VM booted for it. */
export const cold = { ...hello, placement: ['cold' as const] };
export const fromSnapshot = { ...hello, ssId: 'ss-1' };

/** The pool fills by itself and at once. */
export const FILLS = { 'pool.maxVms': 2, 'pool.startWhenIdleMs': 0 };

/** Waits until `value` gives what `is` accepts; the test's own limit ends it otherwise. */
export async function until<T>(value: () => Promise<T>, is: (value: T) => boolean): Promise<T> {
  for (;;) {
    const now = await value();
    if (is(now)) return now;
    await sleep(2);
  }
}

export class PoolBed {
  bed: TestPlatform;

  private constructor(bed: TestPlatform) {
    this.bed = bed;
  }

  /** With the snapshot `ss-1` of a VM that has counted to 5 and is gone. */
  static async open(options: TestOptions = {}): Promise<PoolBed> {
    const opened = new PoolBed(await testPlatform(options));
    await opened.snapshotOf('ss-1');
    return opened;
  }

  get platform(): Platform {
    return this.bed.platform;
  }

  async snapshotOf(ssId: string): Promise<void> {
    const { vmId } = await this.platform.invoke({ ...cold, params: '{"add":5}' });
    await this.platform.takeSnapshot({ vmId, ssId });
    await this.platform.deleteVm(vmId);
  }

  async inPool(): Promise<VmView[]> {
    return (await this.platform.listVms()).filter(({ pooled }) => pooled);
  }

  /** Pooled VMs that stand paused. */
  async ready(): Promise<VmView[]> {
    return (await this.inPool()).filter(({ state }) => state === 'paused');
  }

  untilReady(count: number): Promise<VmView[]> {
    return until(
      () => this.ready(),
      (vms) => vms.length === count,
    );
  }

  /** So many calls at once; each VM that served one is ended afterwards. */
  async burst(count: number, input = fromSnapshot): Promise<InvocationOutput[]> {
    const calls = Array.from({ length: count }, () =>
      this.platform.invoke({ ...input, params: '{"add":1}' }),
    );
    const outputs = await Promise.all(calls);
    await Promise.all(outputs.map(({ vmId }) => this.platform.deleteVm(vmId)));
    return outputs;
  }

  /** The value of the first metric whose line begins so. */
  async metric(line: string): Promise<number> {
    const lines = (await this.platform.metrics()).split('\n');
    return Number(
      lines
        .find((text) => text.startsWith(line))
        ?.split(' ')
        .at(-1) ?? 0,
    );
  }

  expectNothingLeft(): void {
    expect(this.bed.driver.live.size).toBe(0);
    const vms = join(this.bed.config.dataDir, 'vms');
    expect(existsSync(vms) ? readdirSync(vms) : []).toEqual([]);
  }
}
