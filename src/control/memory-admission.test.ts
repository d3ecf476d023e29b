import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import { FakeMemory } from '../../tests/support/fake-memory.js';
import type { InvocationInput, InvocationOutput, VmView } from './types.js';

const MIB = 1024 * 1024;
const FULL = { code: 'HOST_MEMORY_FULL' };
const hello = { functionName: 'hello' };
const cold = { ...hello, placement: ['cold' as const] };

let bed: TestPlatform;
let availableMiB: number;
afterEach(() => bed.dispose());

/** A host with so much memory available; a VM of `hello` is charged 128 MiB and 10 for its VMM. */
async function open(mib: number, options: TestOptions = {}): Promise<void> {
  availableMiB = mib;
  bed = await testPlatform({
    hostMemory: () =>
      Promise.resolve({ availableBytes: availableMiB * MIB, totalBytes: 10_000 * MIB }),
    ...options,
    config: {
      ...{ 'admission.reserveMiB': 0, 'admission.vmmMiB': 10, 'admission.waitMs': 0 },
      ...options.config,
    },
  });
}

function long(input: Partial<InvocationInput> = {}): Promise<InvocationOutput> {
  return bed.platform.invoke({ ...cold, params: '{"sleepMs":400}', ...input });
}

const warm = (vmId: string): Promise<InvocationOutput> =>
  bed.platform.invoke({ ...hello, vmId, params: '{"sleepMs":400}' });

/** Waits until so many VMs run an invocation. */
async function untilBusy(count: number): Promise<void> {
  const isBusy = ({ busy, state }: VmView): boolean => busy && state === 'running';
  while ((await bed.platform.listVms()).filter(isBusy).length < count) await sleep(1);
}

const ids = async (): Promise<string[]> => (await bed.platform.listVms()).map(({ vmId }) => vmId);

describe("a VM and the host's memory", () => {
  it('is refused when it may come to use more than is left; nothing of it is left', async () => {
    await open(2 * 138);
    const busy = [long(), long()];
    await untilBusy(2);
    await expect(bed.platform.invoke(cold)).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('276 MiB of memory available, of which 276') as string,
    });
    expect(bed.driver.live.size).toBe(2);
    await Promise.all(busy);
  });

  it.each([
    ['reserve', { 'admission.reserveMiB': 1 }, 138, 0],
    ['charge', { 'admission.chargePercent': 50 }, 138, 2],
    ['VMM', { 'admission.vmmMiB': 11 }, 138, 0],
  ])('counts the configured %s', async (_, config, mib, fit) => {
    await open(mib, { config });
    const calls = [long(), long(), long()];
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(fit);
  });

  it('waits for one that ends, and goes on then', async () => {
    await open(138, { config: { 'admission.waitMs': 10_000 } });
    const { vmId } = await bed.platform.createVm(hello);
    const busy = bed.platform.invoke({ ...hello, vmId, params: '{"hang":true}' });
    const ended = Promise.allSettled([busy]);
    await untilBusy(1);
    const waiting = bed.platform.invoke(cold);
    await sleep(20);
    expect(bed.driver.live.size).toBe(1);
    await bed.platform.deleteVm(vmId);
    expect(await waiting).toMatchObject({ startKind: 'cold' });
    await ended;
  });

  it('that waits can be deleted, and does not outlive the daemon', async () => {
    await open(138, { config: { 'admission.waitMs': 10_000 } });
    const busy = long();
    await untilBusy(1);
    const [first, second] = [bed.platform.invoke(cold), bed.platform.createVm(hello)];
    const outcomes = Promise.allSettled([first, second]);
    const [, waiting] = await ids();
    await bed.platform.deleteVm(waiting ?? '');
    await bed.platform.close();
    expect(await outcomes).toMatchObject([
      { reason: { code: 'VM_DIED' } },
      { reason: { code: 'SHUTTING_DOWN' } },
    ]);
    await Promise.allSettled([busy]);
  });

  it('takes the place of VMs that are idle, the one that was idle for longest first', async () => {
    await open(3 * 138);
    const [a, b] = [await bed.platform.invoke(cold), await bed.platform.invoke(cold)];
    const c = await bed.platform.invoke(cold);
    await bed.platform.invoke({ ...hello, vmId: a.vmId });
    const busy = warm(c.vmId);
    await untilBusy(1);
    const d = await bed.platform.invoke(cold);
    expect(await ids()).toEqual([a.vmId, c.vmId, d.vmId]);
    await expect(bed.platform.invoke({ ...hello, vmId: b.vmId })).rejects.toMatchObject({
      code: 'VM_NOT_FOUND',
    });
    expect(await bed.platform.metrics()).toContain('sparkler_vm_ends_total{reason="gave-way"} 1');
    await busy;
  });

  it('takes the place of pooled VMs first', async () => {
    await open(3 * 138);
    const idle = await bed.platform.invoke(cold);
    await bed.platform.takeSnapshot({ vmId: idle.vmId, ssId: 'ss-1' });
    const pooled = await bed.platform.poolVm({ ssId: 'ss-1' });
    while ((await bed.platform.getVm(pooled.vmId)).state === 'starting') await sleep(1);
    await bed.platform.invoke(cold);
    const last = await bed.platform.invoke(cold);
    expect(await ids()).toContain(idle.vmId);
    expect(await ids()).toContain(last.vmId);
    expect(await ids()).not.toContain(pooled.vmId);
  });

  it('ends nobody when all that are idle would not be enough', async () => {
    await open(138 + 100);
    const idle = await bed.platform.invoke(cold);
    availableMiB = 138;
    bed.platform.putFunction({ name: 'hello', memMiB: 300 });
    await expect(bed.platform.invoke(cold)).rejects.toMatchObject(FULL);
    expect(await ids()).toEqual([idle.vmId]);
  });

  it('gives its memory back however it ends', async () => {
    await open(138, {
      config: { bootAttempts: 1 },
      faults: (_, nth) => (nth === 2 ? { start: 'refuse' } : undefined),
    });
    const first = await bed.platform.invoke(cold);
    bed.driver.vm(first.vmId).die();
    while ((await ids()).length > 0) await sleep(1);
    await expect(bed.platform.invoke(cold)).rejects.toMatchObject({ code: 'VMM_FAILED' });
    // What is refused for another reason keeps nothing either.
    await expect(bed.platform.createVm({ ...hello, memMiB: 90 })).rejects.toMatchObject({
      code: 'MEMORY_TOO_SMALL',
    });
    expect(await bed.platform.invoke(cold)).toMatchObject({ startKind: 'cold' });
  });
});

describe("an instance and the host's memory", () => {
  /** Each VM has a base of 128 MiB and blocks of 128 MiB. */
  const elastic = (blocks: number): TestOptions => ({ memory: () => new FakeMemory(blocks) });

  it('is charged beside its VM, and frees what it had when it ends', async () => {
    await open(138 + 2 * 128, elastic(3));
    const first = await bed.platform.invoke(hello);
    const busy = [long({ placement: ['warm'] }), long({ placement: ['vertical'] })];
    await untilBusy(1);
    await expect(bed.platform.invoke({ ...hello, placement: ['vertical'] })).rejects.toMatchObject({
      ...FULL,
      message: expect.stringContaining('another instance in VM') as string,
    });
    await Promise.all(busy);
    const params = '{"hang":true}';
    const hanging = bed.platform.invoke({ ...hello, vmId: first.vmId, params, timeoutMs: 20 });
    await expect(hanging).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(await bed.platform.invoke({ ...hello, placement: ['vertical'] })).toMatchObject({
      startKind: 'vertical',
    });
  });

  it('takes the place of an idle VM, never of its own', async () => {
    // The second VM has no room for another.
    const memory = (nth: number): FakeMemory => new FakeMemory(nth === 1 ? 2 : 1);
    await open(2 * (138 + 128), { memory });
    const one = await bed.platform.invoke(cold);
    await bed.platform.invoke(cold);
    const busy = warm(one.vmId);
    await untilBusy(1);
    expect(await bed.platform.invoke({ ...hello, placement: ['vertical'] })).toMatchObject({
      startKind: 'vertical',
      vmId: one.vmId,
    });
    expect(await ids()).toEqual([one.vmId]);
    await busy;
  });
});
