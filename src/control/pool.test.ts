import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  deploy,
  testPlatform,
  type TestEvent,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import type { InvocationOutput, VmView } from './types.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

const hello = { functionName: 'hello' };
const fromSnapshot = { ...hello, ssId: 'ss-1' };
const event = (fields: TestEvent): string => JSON.stringify(fields);

/** A platform with the snapshot `ss-1` of a VM that has counted to 5 and is gone. */
async function open(options: TestOptions = {}): Promise<void> {
  bed = await testPlatform(options);
  await snapshotOf('hello', 'ss-1');
}

async function snapshotOf(functionName: string, ssId: string): Promise<void> {
  const { vmId } = await bed.platform.invoke({ functionName, params: event({ add: 5 }) });
  await bed.platform.takeSnapshot({ vmId, ssId });
  await bed.platform.deleteVm(vmId);
}

/** The pool fills by itself and at once. */
const FILLS = { 'pool.maxVms': 2, 'pool.startWhenIdleMs': 0 };

const inPool = async (): Promise<VmView[]> =>
  (await bed.platform.listVms()).filter(({ pooled }) => pooled);
const ready = async (): Promise<VmView[]> =>
  (await inPool()).filter(({ state }) => state === 'paused');

/** Waits until `value` gives what `is` accepts; the test's own limit ends it otherwise. */
async function until<T>(value: () => Promise<T>, is: (value: T) => boolean): Promise<T> {
  for (;;) {
    const now = await value();
    if (is(now)) return now;
    await sleep(2);
  }
}
const untilReady = (count: number): Promise<VmView[]> =>
  until(ready, (vms) => vms.length === count);

/** So many calls at once; each VM that served one is ended afterwards. */
async function burst(count: number, input = fromSnapshot): Promise<InvocationOutput[]> {
  const calls = Array.from({ length: count }, () =>
    bed.platform.invoke({ ...input, params: event({ add: 1 }) }),
  );
  const outputs = await Promise.all(calls);
  await Promise.all(outputs.map(({ vmId }) => bed.platform.deleteVm(vmId)));
  return outputs;
}

async function metric(line: string): Promise<number> {
  const found = (await bed.platform.metrics()).split('\n').find((text) => text.startsWith(line));
  return Number(found?.split(' ').at(-1) ?? 0);
}

function expectNothingLeft(): void {
  expect(bed.driver.live.size).toBe(0);
  const vms = join(bed.config.dataDir, 'vms');
  expect(existsSync(vms) ? readdirSync(vms) : []).toEqual([]);
}

describe('a VM that was asked for', () => {
  it('waits in the pool and is taken by the next invocation of its snapshot', async () => {
    await open();
    const vm = await bed.platform.poolVm({ ssId: 'ss-1' });
    expect(vm).toMatchObject({
      ...{ ...hello, ssId: 'ss-1', startKind: 'snapshot', state: 'starting', pooled: true },
    });
    expect(await untilReady(1)).toMatchObject([{ vmId: vm.vmId, invocations: 0 }]);
    const output = await bed.platform.invoke({ ...fromSnapshot, params: event({ add: 1 }) });
    expect(output).toMatchObject({
      ...{ vmId: vm.vmId, startKind: 'snapshot', pooled: true, result: '{"count":6}' },
      restore: { strategy: 'vanilla', recorded: false },
    });
    expect(Object.keys(output.phases)).toEqual(['resumed', 'ready', 'firstResponse']);
    // It is a VM like others now.
    const after = await bed.platform.getVm(vm.vmId);
    expect(after).toMatchObject({ state: 'running', invocations: 1 });
    expect(after).not.toHaveProperty('pooled');
    const own = await bed.platform.invoke(fromSnapshot);
    expect(own).toMatchObject({ startKind: 'snapshot', result: '{"count":5}' });
    expect(own).not.toHaveProperty('pooled');
    expect(own.vmId).not.toBe(vm.vmId);
    expect(await metric('sparkler_pool_takes_total{outcome="hit"}')).toBe(1);
    expect(await metric('sparkler_pool_takes_total{outcome="miss"}')).toBe(1);
  });

  it('is taken while it starts, and serves its invocation without a rehearsal', async () => {
    // A rehearsal would pause it.
    await open({ faults: (_, start) => (start > 1 ? { fail: ['pause'] } : undefined) });
    const adding = bed.platform.poolVm({ ssId: 'ss-1' });
    // In the same turn: not even its parts are found yet.
    const output = await bed.platform.invoke(fromSnapshot);
    const { vmId } = await adding;
    expect(output).toMatchObject({ vmId, pooled: true, startKind: 'snapshot' });
  });

  it('is of the snapshot that was invoked or taken last when none is named', async () => {
    await open();
    await snapshotOf('hello', 'ss-2');
    expect(await bed.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    await bed.platform.invoke(fromSnapshot);
    expect(await bed.platform.poolVm({})).toMatchObject({ ssId: 'ss-1' });
    await bed.platform.deleteVm((await bed.platform.invoke(fromSnapshot)).vmId);
    for (const { vmId } of await bed.platform.listVms()) await bed.platform.deleteVm(vmId);
    await bed.platform.deleteSnapshot('ss-1');
    expect(await bed.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    bed = await bed.restart('closed');
    expect(await bed.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    await bed.platform.deleteSnapshot('ss-2');
    await expect(bed.platform.poolVm({})).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
      message: expect.stringContaining('take one first') as string,
    });
  });

  it.each([
    ['an unknown snapshot', { ssId: 'ss-none' }, 'SNAPSHOT_NOT_FOUND'],
    ['after the end', { ssId: 'ss-1' }, 'SHUTTING_DOWN'],
  ])('is refused: %s', async (_, input, code) => {
    await open();
    if (code === 'SHUTTING_DOWN') await bed.platform.close();
    await expect(bed.platform.poolVm(input)).rejects.toMatchObject({ code });
  });

  it('can be named, and leaves the pool then', async () => {
    await open();
    const { vmId } = await bed.platform.poolVm({ ssId: 'ss-1' });
    const [named, other] = await Promise.all([
      bed.platform.invoke({ ...hello, vmId }),
      bed.platform.invoke(fromSnapshot),
    ]);
    expect(named).toMatchObject({ vmId, startKind: 'snapshot' });
    expect(other.vmId).not.toBe(vmId);
    expect(other).not.toHaveProperty('pooled');
  });

  it('leaves the pool for a snapshot of it', async () => {
    await open();
    const { vmId } = await bed.platform.poolVm({ ssId: 'ss-1' });
    await bed.platform.takeSnapshot({ vmId, ssId: 'ss-2' });
    expect(await inPool()).toEqual([]);
    const clone = await bed.platform.invoke({ ...hello, ssId: 'ss-2' });
    expect(clone.result).toBe('{"count":5}');
  });

  it('is not for another function', async () => {
    await open();
    await deploy(bed.platform, 'other');
    await bed.platform.poolVm({ ssId: 'ss-1' });
    const call = bed.platform.invoke({ functionName: 'other', ssId: 'ss-1' });
    await expect(call).rejects.toMatchObject({ code: 'FUNCTION_MISMATCH' });
    expect(await untilReady(1)).toHaveLength(1);
  });

  it('is ended on demand and when nobody takes it, not by the limit of idle VMs', async () => {
    await open({ config: { 'pool.keepMs': 200, 'timeouts.idleVmMs': 20 } });
    const first = await bed.platform.poolVm({ ssId: 'ss-1' });
    await bed.platform.deleteVm(first.vmId);
    expect(await inPool()).toEqual([]);
    const second = await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    await sleep(100);
    expect(await ready()).toMatchObject([{ vmId: second.vmId }]);
    const unused = () => metric('sparkler_vm_ends_total{reason="unused"}');
    await until(unused, (count) => count === 1);
    expectNothingLeft();
  });

  it('that dies while it waits is no error, is counted and replaced', async () => {
    await open();
    const { vmId } = await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    bed.driver.vm(vmId).die();
    await until(inPool, (vms) => vms.length === 0);
    expect(await metric('sparkler_pool_replaced_total')).toBe(1);
    const [replacement] = await untilReady(1);
    expect(replacement?.vmId).not.toBe(vmId);
    expect(await bed.platform.invoke(fromSnapshot)).toMatchObject({
      vmId: replacement?.vmId,
      pooled: true,
    });
  });

  it('that has died when it is taken costs its invocation nothing but time', async () => {
    await open();
    const { vmId } = await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    // As if it died and the daemon had not been told yet.
    const died = bed.platform.invoke({ ...fromSnapshot, params: event({ add: 1 }) });
    bed.driver.vm(vmId).die();
    const output = await died;
    expect(output).toMatchObject({ startKind: 'snapshot', result: '{"count":6}' });
    expect(output.vmId).not.toBe(vmId);
    expect(output).not.toHaveProperty('pooled');
    expect(await metric('sparkler_pool_replaced_total')).toBe(1);
  });

  it('that failed in its function ends with that, and is not tried again', async () => {
    await open();
    await bed.platform.poolVm({ ssId: 'ss-1' });
    const call = bed.platform.invoke({ ...fromSnapshot, params: event({ throw: 'no' }) });
    await expect(call).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    expect(bed.driver.restores).toHaveLength(1);
    expectNothingLeft();
  });
});

describe('two invocations', () => {
  it('never get the same VM', async () => {
    await open();
    for (let round = 0; round < 5; round++) {
      const made = await Promise.all([1, 2].map(() => bed.platform.poolVm({ ssId: 'ss-1' })));
      if (round % 2 === 0) await untilReady(2);
      const outputs = await burst(4);
      expect(new Set(outputs.map(({ vmId }) => vmId)).size).toBe(4);
      expect(outputs.map(({ result }) => result)).toEqual(Array(4).fill('{"count":6}'));
      const pooled = outputs.filter((output) => output.pooled).map(({ vmId }) => vmId);
      expect(pooled.sort()).toEqual(made.map(({ vmId }) => vmId).sort());
    }
  });
});

describe('strategies', () => {
  it.each([
    ['none named', {}, {}, true],
    ['the same named', { strategy: 'cached' }, { strategy: 'cached' }, true],
    ['none named by the invocation', { strategy: 'cached' }, {}, true],
    ['another named', {}, { strategy: 'cached' }, false],
    ['the default named by the invocation', {}, { strategy: 'vanilla' }, true],
    ['options', {}, { strategy: 'vanilla', options: { resident: true } }, false],
    ['a recording', {}, { options: { record: { intervalMs: 1 } } }, false],
  ] as const)('%s', async (_, pool, restore, isTaken) => {
    await open({ capabilities: { hasProcess: true } });
    await bed.platform.poolVm({ ssId: 'ss-1', ...pool });
    await untilReady(1);
    const output = await bed.platform.invoke({ ...fromSnapshot, restore });
    expect(output.pooled).toBe(isTaken ? true : undefined);
  });

  it('with nothing recorded yet leave the recording to the invocation', async () => {
    await open();
    await bed.platform.poolVm({ ssId: 'ss-1', strategy: 'reap' });
    await untilReady(1);
    const output = await bed.platform.invoke({ ...fromSnapshot, restore: { strategy: 'reap' } });
    expect(output).toMatchObject({ restore: { strategy: 'reap', recorded: true } });
    expect(output).not.toHaveProperty('pooled');
    // What was restored before the recording is of no use any more.
    await until(inPool, (vms) => vms.length === 0);
    await bed.platform.poolVm({ ssId: 'ss-1', strategy: 'reap' });
    const starting = await bed.platform.invoke({ ...fromSnapshot, restore: { strategy: 'reap' } });
    expect(starting).not.toHaveProperty('pooled');
  });

  it('auto is measured in VMs of their own first', async () => {
    await open();
    bed.platform.putFunction({ name: 'hello', restoreStrategy: 'auto' });
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    expect(await bed.platform.invoke(fromSnapshot)).not.toHaveProperty('pooled');
  });
});

describe('the pool', () => {
  it('fills by demand, one start at a time, and takes serve from it', async () => {
    const starting: number[] = [];
    await open({
      config: FILLS,
      faults: () => {
        const waiting = [...bed.driver.live].length;
        starting.push(waiting);
        return undefined;
      },
    });
    await burst(1);
    await sleep(50);
    expect(await inPool()).toEqual([]);
    const misses = await burst(3);
    expect(misses.every(({ pooled }) => pooled === undefined)).toBe(true);
    await untilReady(2);
    // The second was begun when the first one stood.
    expect(starting.slice(-2)).toEqual([0, 1]);
    const hits = await burst(3);
    expect(hits.filter(({ pooled }) => pooled)).toHaveLength(2);
    await untilReady(2);
    expect(bed.platform.info().pool).toMatchObject({ vms: 2, memMiB: 256, maxVms: 2 });
    expect(await metric('sparkler_pool_vms{state="paused"}')).toBe(2);
  });

  it.each([
    ['VMs', { 'pool.maxVms': 1 }, 1],
    ['memory', { 'pool.maxVms': 9, 'pool.maxMemMiB': 300 }, 2],
    ['all VMs', { 'pool.maxVms': 9, 'limits.maxVms': 4 }, 4],
    ['none at all', { 'pool.maxVms': 0 }, 0],
  ])('keeps its limit of %s', async (_, config, most) => {
    await open({ config: { ...FILLS, ...config } });
    for (let round = 0; round < 3; round++) await burst(4);
    await untilReady(most);
    await sleep(100);
    expect(await inPool()).toHaveLength(most);
  });

  it('waits until the host has a processor to spare', async () => {
    await open({ config: FILLS, cpus: 2 });
    const { vmId } = await bed.platform.invoke(hello);
    const long = bed.platform.invoke({ ...hello, vmId, params: event({ sleepMs: 200 }) });
    await burst(2);
    await burst(2);
    await sleep(50);
    expect(await inPool()).toEqual([]);
    await long;
    await untilReady(2);
  });

  it('does not wait for one of many processors', async () => {
    await open({ config: FILLS, cpus: 8 });
    const { vmId } = await bed.platform.invoke(hello);
    const long = bed.platform.invoke({ ...hello, vmId, params: event({ hang: true }) });
    const outcome = Promise.allSettled([long]);
    await burst(2);
    await burst(2);
    await untilReady(2);
    await bed.platform.deleteVm(vmId);
    await outcome;
  });

  it('follows demand to another snapshot', async () => {
    await open({ config: FILLS });
    await snapshotOf('hello', 'ss-2');
    await burst(2);
    await burst(2);
    await untilReady(2);
    for (let round = 0; round < 2; round++) await burst(4, { ...hello, ssId: 'ss-2' });
    await until(ready, (vms) => vms.some(({ ssId }) => ssId === 'ss-2'));
    expect((await inPool()).length).toBeLessThanOrEqual(2);
    expect(await metric('sparkler_vm_ends_total{reason="gave-way"}')).toBeGreaterThan(0);
  });

  it('does not serve a strategy that the function has given up', async () => {
    await open({ config: FILLS });
    await burst(2);
    await burst(2);
    await untilReady(2);
    bed.platform.putFunction({ name: 'hello', restoreStrategy: 'cached' });
    const [output] = await burst(1);
    expect(output).not.toHaveProperty('pooled');
    expect(output).toMatchObject({ restore: { strategy: 'cached' } });
  });

  it('replaces what dies, later each time, and reports nothing to anyone', async () => {
    let dying = true;
    await open({
      config: FILLS,
      faults: (_, start) => (dying && start > 4 ? { guest: 'die' } : undefined),
    });
    await burst(3);
    await until(
      () => metric('sparkler_pool_replaced_total'),
      (count) => count > 0,
    );
    const starts = bed.driver.restores.length;
    await sleep(200);
    // It waits before it tries again.
    expect(bed.driver.restores.length).toBeLessThanOrEqual(starts + 1);
    dying = false;
    const [output] = await burst(1);
    expect(output).toMatchObject({ startKind: 'snapshot', result: '{"count":6}' });
    await until(ready, (vms) => vms.length > 0);
  });
});

describe('a pooled VM gives way', () => {
  it('to an invocation and to a VM that is asked for, at the limit of all VMs', async () => {
    await open({ config: { 'limits.maxVms': 2 } });
    const first = await bed.platform.poolVm({ ssId: 'ss-1' });
    const second = await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(2);
    await expect(bed.platform.poolVm({ ssId: 'ss-1' })).rejects.toMatchObject({
      code: 'TOO_MANY_VMS',
    });
    const cold = await bed.platform.invoke(hello);
    expect(cold).toMatchObject({ startKind: 'cold' });
    await expect(bed.platform.getVm(first.vmId)).rejects.toMatchObject({
      code: 'VM_NOT_FOUND',
    });
    const made = await bed.platform.createVm(hello);
    await expect(bed.platform.getVm(second.vmId)).rejects.toThrow();
    await expect(bed.platform.createVm(hello)).rejects.toMatchObject({ code: 'TOO_MANY_VMS' });
    expect((await bed.platform.listVms()).map(({ vmId }) => vmId)).toEqual([
      ...[cold.vmId, made.vmId],
    ]);
    expect(await metric('sparkler_vm_ends_total{reason="gave-way"}')).toBe(2);
  });

  it('to each of several at once, and never are there more VMs than the limit', async () => {
    await open({ config: { 'limits.maxVms': 3 }, faults: () => ({ delayMs: 2 }) });
    for (let n = 0; n < 3; n++) await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(3);
    const calls = [1, 2, 3, 4].map(() => bed.platform.invoke(hello));
    const most = until(
      () => Promise.resolve(bed.driver.live.size),
      (count) => {
        expect(count).toBeLessThanOrEqual(3);
        return count === 0;
      },
    );
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
    ]);
    expect(outcomes[3]).toMatchObject({ reason: { code: 'TOO_MANY_VMS' } });
    await bed.platform.close();
    await most;
  });

  it('of the pool itself to one that is asked for', async () => {
    await open({ config: { ...FILLS, 'pool.maxVms': 1, 'limits.maxVms': 2 } });
    await burst(2);
    await burst(2);
    const [own] = await untilReady(1);
    const kept = await bed.platform.invoke(hello);
    const asked = await bed.platform.poolVm({ ssId: 'ss-1' });
    await until(inPool, (vms) => vms.length === 1);
    expect(await inPool()).toMatchObject([{ vmId: asked.vmId }]);
    expect(asked.vmId).not.toBe(own?.vmId);
    await bed.platform.getVm(kept.vmId);
  });
});

describe('what a pooled VM is made of', () => {
  it('is a snapshot that can be deleted', async () => {
    await open();
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await bed.platform.deleteSnapshot('ss-1');
    expect(await bed.platform.listVms()).toEqual([]);
    expectNothingLeft();
    await expect(bed.platform.invoke(fromSnapshot)).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
    });
  });

  it('is a snapshot that a VM which was taken still needs', async () => {
    await open();
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await bed.platform.invoke(fromSnapshot);
    await expect(bed.platform.deleteSnapshot('ss-1')).rejects.toMatchObject({
      code: 'SNAPSHOT_IN_USE',
    });
  });

  it('is a function that can be deleted, also while the pool fills', async () => {
    await open({ config: FILLS, faults: () => ({ delayMs: 2 }) });
    await burst(2);
    await burst(2);
    await until(inPool, (vms) => vms.length > 0);
    await bed.platform.deleteFunction('hello');
    await sleep(50);
    expect(await bed.platform.listVms()).toEqual([]);
    expectNothingLeft();
    expect(bed.registry.journal.entries()).toEqual([]);
    expect(existsSync(join(bed.config.dataDir, 'functions', 'hello'))).toBe(false);
  });

  it('is the code of its snapshot, also when the function has new code', async () => {
    await open();
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    await deploy(bed.platform, 'hello', 'newer code');
    expect(await bed.platform.invoke(fromSnapshot)).toMatchObject({ pooled: true });
  });
});

describe('the end of the daemon', () => {
  it('ends pooled VMs, and starts none any more while it fills', async () => {
    await open({ config: FILLS, faults: () => ({ delayMs: 5 }) });
    await burst(3);
    await burst(3);
    await bed.platform.poolVm({ ssId: 'ss-1' });
    await until(inPool, (vms) => vms.length > 0);
    await bed.platform.close();
    expectNothingLeft();
    await sleep(50);
    expectNothingLeft();
  });

  it('leaves them to the journal when it is killed', async () => {
    await open();
    const vm = await bed.platform.poolVm({ ssId: 'ss-1' });
    await untilReady(1);
    bed = await bed.restart('killed');
    expect(bed.reclaimed).toMatchObject({ folders: 1 });
    expect(existsSync(vm.path)).toBe(false);
    expect(await bed.platform.invoke(fromSnapshot)).toMatchObject({ startKind: 'snapshot' });
  });
});
