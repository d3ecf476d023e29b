import { afterEach, describe, expect, it } from 'vitest';
import {
  deploy,
  testPlatform,
  type TestEvent,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

async function open(options: TestOptions = {}): Promise<TestPlatform> {
  bed = await testPlatform(options);
  return bed;
}

const hello = { functionName: 'hello' };
/** In a VM booted for it. */
const cold = { ...hello, placement: ['cold' as const] };
const event = (fields: TestEvent): string => JSON.stringify(fields);
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** A VM that has counted to 5. */
async function warmVm(): Promise<string> {
  const { vmId } = await bed.platform.invoke({ ...hello, params: event({ add: 5 }) });
  return vmId;
}

describe('an invocation', () => {
  it('is cold, then warm, then from a snapshot, and measures each', async () => {
    await open();
    const cold = await bed.platform.invoke({ ...hello, params: event({ add: 2, log: 'hi\n' }) });
    expect(cold).toMatchObject({ startKind: 'cold', result: '{"count":2}', logs: 'hi\n' });
    expect(Object.keys(cold.phases)).toEqual(['vmmUp', 'ready', 'firstResponse']);

    const { vmId } = cold;
    const warm = await bed.platform.invoke({ ...hello, vmId, params: event({ add: 3 }) });
    expect(warm).toMatchObject({ startKind: 'warm', result: '{"count":5}', vmId });
    expect(Object.keys(warm.phases)).toEqual(['ready', 'firstResponse']);

    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const { ssId } = snapshot;
    const restored = await bed.platform.invoke({ ...hello, ssId, params: event({ add: 1 }) });
    expect(restored).toMatchObject({ startKind: 'snapshot', result: '{"count":6}' });
    expect(restored.vmId).not.toBe(vmId);
    const { vmmUp, stateLoaded, resumed, ready, firstResponse } = restored.phases;
    const order = [0, vmmUp!, stateLoaded!, resumed!, ready, firstResponse, restored.durationMs];
    expect(order).toEqual([...order].sort((a, b) => a - b));
    const again = await bed.platform.invoke({ ...hello, vmId: restored.vmId });
    expect(again).toMatchObject({ startKind: 'warm', result: '{"count":6}' });
    expect(await bed.platform.metrics()).toContain(
      'sparkler_invocations_total{start_kind="snapshot",outcome="ok"} 1',
    );
  });

  it('carries the trace id that it was given', async () => {
    await open();
    const traceId = 'ab'.repeat(16);
    expect(await bed.platform.invoke({ ...hello, traceId })).toMatchObject({ traceId });
    expect((await bed.platform.invoke(hello)).traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  it('resumes a VM that was restored ahead, which counts as a start from a snapshot', async () => {
    await open();
    const { snapshot } = await bed.platform.takeSnapshot({ vmId: await warmVm() });
    const { vmId } = await bed.platform.createVm({ ...hello, ssId: snapshot.ssId });
    while ((await bed.platform.getVm(vmId)).state === 'starting') await soon();
    expect(await bed.platform.getVm(vmId)).toMatchObject({ state: 'paused', ssId: snapshot.ssId });
    const first = await bed.platform.invoke({ ...hello, vmId });
    expect(first).toMatchObject({ startKind: 'snapshot', result: '{"count":5}' });
    expect(first.phases).toHaveProperty('resumed');
    expect(first.phases).not.toHaveProperty('vmmUp');
    expect(await bed.platform.invoke({ ...hello, vmId })).toMatchObject({ startKind: 'warm' });
  });

  it('waits its turn, in order, and is refused beyond the line', async () => {
    await open({ config: { 'limits.maxQueuedPerVm': 2 } });
    const vmId = await warmVm();
    const call = (add: number) =>
      bed.platform.invoke({ ...hello, vmId, params: event({ add, sleepMs: 10 }) });
    const calls = await Promise.allSettled([call(1), call(10), call(100), call(1000)]);
    expect(calls).toMatchObject([
      { value: { result: '{"count":6}' } },
      { value: { result: '{"count":16}' } },
      { value: { result: '{"count":116}' } },
      { reason: { code: 'TOO_MANY_REQUESTS' } },
    ]);
  });

  it.each([
    ['an unknown function', { functionName: 'nobody' }, 'FUNCTION_NOT_FOUND', 'func_name'],
    ['an unknown VM', { ...hello, vmId: 'vm-none' }, 'VM_NOT_FOUND', 'vmId'],
    ['an unknown snapshot', { ...hello, ssId: 'ss-none' }, 'SNAPSHOT_NOT_FOUND', 'ssId'],
    ['broken JSON', { ...hello, params: '{"a":' }, 'INVALID_PARAMS', 'params'],
    ['a timeout of nothing', { ...hello, timeoutMs: 0 }, 'INVALID_REQUEST', 'timeout_ms'],
    [
      'a placement of what is named',
      { ...hello, ssId: 'ss-1', placement: ['cold' as const] },
      'INVALID_REQUEST',
      'placement',
    ],
    ['a big event', { ...hello, params: `"${'x'.repeat(2000)}"` }, 'BODY_TOO_LARGE', 'params'],
  ])('refuses %s and starts nothing', async (_, input, code, field) => {
    await open({ config: { 'limits.invocationBodyBytes': 1000 } });
    await expect(bed.platform.invoke(input)).rejects.toMatchObject({ code, details: { field } });
    expect(bed.driver.live.size).toBe(0);
  });

  it("refuses another function's VM and snapshot", async () => {
    await open();
    await deploy(bed.platform, 'other');
    const vmId = await warmVm();
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const { ssId } = snapshot;
    for (const target of [{ vmId }, { ssId }]) {
      await expect(bed.platform.invoke({ functionName: 'other', ...target })).rejects.toMatchObject(
        { code: 'FUNCTION_MISMATCH' },
      );
    }
  });
});

describe('a handler that fails', () => {
  it('is told with its own error; a warm VM goes on', async () => {
    await open();
    const vmId = await warmVm();
    const params = event({ throw: 'no such thing', log: 'before' });
    await expect(bed.platform.invoke({ ...hello, vmId, params })).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      details: { errorType: 'RangeError', logs: 'before' },
    });
    expect(await bed.platform.invoke({ ...hello, vmId })).toMatchObject({ result: '{"count":5}' });
  });

  it.each([{ throw: 'x' }, { hang: true }])('leaves no VM behind: %j', async (fields) => {
    await open();
    const snapshotted = await warmVm();
    const { snapshot } = await bed.platform.takeSnapshot({ vmId: snapshotted });
    await bed.platform.deleteVm(snapshotted);
    for (const ssId of [undefined, snapshot.ssId]) {
      const input = { ...(ssId ? { ...hello, ssId } : cold), params: event(fields), timeoutMs: 50 };
      await expect(bed.platform.invoke(input)).rejects.toMatchObject({
        code: fields.throw ? 'HANDLER_FAILED' : 'HANDLER_TIMEOUT',
      });
      expect(bed.driver.live.size).toBe(0);
      expect(bed.registry.journal.entries()).toEqual([]);
    }
  });

  it('is ended at its time limit; the VM starts a fresh instance for the next', async () => {
    await open();
    const vmId = await warmVm();
    const params = event({ hang: true });
    await expect(
      bed.platform.invoke({ ...hello, vmId, params, timeoutMs: 30 }),
    ).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(await bed.platform.invoke({ ...hello, vmId })).toMatchObject({ startKind: 'warm' });
  });

  it("cannot be given more time than the function's own limit", async () => {
    await open();
    const vmId = await warmVm();
    bed.platform.putFunction({ name: 'hello', timeoutMs: 30 });
    await expect(
      bed.platform.invoke({ ...hello, vmId, params: event({ hang: true }), timeoutMs: 60_000 }),
    ).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
  });
});

describe('a guest that dies in the middle', () => {
  it.each(['warm', 'cold'])('of a %s invocation is told with its console', async (kind) => {
    await open();
    const vmId = kind === 'warm' ? await warmVm() : undefined;
    const params = event({ hang: true });
    const running = bed.platform.invoke({ ...hello, params, ...(vmId && { vmId }) });
    const outcome = Promise.allSettled([running]);
    await soon();
    for (const vm of bed.driver.live) {
      vm.print('the last line');
      vm.die();
    }
    expect(await outcome).toMatchObject([
      {
        reason: {
          code: 'VM_DIED',
          details: { console: expect.stringContaining('the last line') as string },
        },
      },
    ]);
    expect(await bed.platform.listVms()).toEqual([]);
    expect(bed.registry.journal.entries()).toEqual([]);
  });
});

describe("a function's logs", () => {
  it('are kept over its VMs, the last bytes of them', async () => {
    await open({ config: { 'limits.functionLogBytes': 8 } });
    await bed.platform.invoke({ ...hello, params: event({ log: 'one two ' }) });
    await bed.platform.invoke({ ...cold, params: event({ log: 'three' }) });
    expect(bed.platform.functionLogs('hello')).toBe('wo three');
    expect(() => bed.platform.functionLogs('nobody')).toThrow();
  });
});
