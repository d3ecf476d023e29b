import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { deploy, type TestEvent } from '../../tests/support/control-platform.js';
import { FILLS, fromSnapshot, hello, PoolBed, until } from '../../tests/support/pool-bed.js';

let pool: PoolBed;
afterEach(() => pool.bed.dispose());

const event = (fields: TestEvent): string => JSON.stringify(fields);

describe('a VM that was asked for', () => {
  it('waits in the pool and is taken by the next invocation of its snapshot', async () => {
    pool = await PoolBed.open();
    const vm = await pool.platform.poolVm({ ssId: 'ss-1' });
    expect(vm).toMatchObject({
      ...{ ...hello, ssId: 'ss-1', startKind: 'snapshot', state: 'starting', pooled: true },
    });
    expect(await pool.untilReady(1)).toMatchObject([{ vmId: vm.vmId, invocations: 0 }]);
    const output = await pool.platform.invoke({ ...fromSnapshot, params: event({ add: 1 }) });
    expect(output).toMatchObject({
      ...{ vmId: vm.vmId, startKind: 'snapshot', pooled: true, result: '{"count":6}' },
      restore: { strategy: 'vanilla', recorded: false },
    });
    expect(Object.keys(output.phases)).toEqual(['resumed', 'ready', 'firstResponse']);
    // It is a VM like others now.
    const after = await pool.platform.getVm(vm.vmId);
    expect(after).toMatchObject({ state: 'running', invocations: 1 });
    expect(after).not.toHaveProperty('pooled');
    const own = await pool.platform.invoke(fromSnapshot);
    expect(own).toMatchObject({ startKind: 'snapshot', result: '{"count":5}' });
    expect(own).not.toHaveProperty('pooled');
    expect(own.vmId).not.toBe(vm.vmId);
    expect(await pool.metric('sparkler_pool_takes_total{outcome="hit"}')).toBe(1);
    expect(await pool.metric('sparkler_pool_takes_total{outcome="miss"}')).toBe(1);
  });

  it('is taken while it starts, and serves its invocation without a rehearsal', async () => {
    // A rehearsal would pause it.
    pool = await PoolBed.open({
      faults: (_, start) => (start > 1 ? { fail: ['pause'] } : undefined),
    });
    const adding = pool.platform.poolVm({ ssId: 'ss-1' });
    // In the same turn: not even its parts are found yet.
    const output = await pool.platform.invoke(fromSnapshot);
    const { vmId } = await adding;
    expect(output).toMatchObject({ vmId, pooled: true, startKind: 'snapshot' });
  });

  it('is of the snapshot that was invoked or taken last when none is named', async () => {
    pool = await PoolBed.open();
    await pool.snapshotOf('ss-2');
    expect(await pool.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    await pool.platform.invoke(fromSnapshot);
    expect(await pool.platform.poolVm({})).toMatchObject({ ssId: 'ss-1' });
    await pool.platform.deleteVm((await pool.platform.invoke(fromSnapshot)).vmId);
    for (const { vmId } of await pool.platform.listVms()) await pool.platform.deleteVm(vmId);
    await pool.platform.deleteSnapshot('ss-1');
    expect(await pool.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    pool.bed = await pool.bed.restart('closed');
    expect(await pool.platform.poolVm({})).toMatchObject({ ssId: 'ss-2' });
    await pool.platform.deleteSnapshot('ss-2');
    await expect(pool.platform.poolVm({})).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
      message: expect.stringContaining('take one first') as string,
    });
  });

  it.each([
    ['an unknown snapshot', { ssId: 'ss-none' }, 'SNAPSHOT_NOT_FOUND'],
    ['after the end', { ssId: 'ss-1' }, 'SHUTTING_DOWN'],
  ])('is refused: %s', async (_, input, code) => {
    pool = await PoolBed.open();
    if (code === 'SHUTTING_DOWN') await pool.platform.close();
    await expect(pool.platform.poolVm(input)).rejects.toMatchObject({ code });
  });

  it('can be named, and leaves the pool then', async () => {
    pool = await PoolBed.open();
    const { vmId } = await pool.platform.poolVm({ ssId: 'ss-1' });
    const [named, other] = await Promise.all([
      pool.platform.invoke({ ...hello, vmId }),
      pool.platform.invoke(fromSnapshot),
    ]);
    expect(named).toMatchObject({ vmId, startKind: 'snapshot' });
    expect(other.vmId).not.toBe(vmId);
    expect(other).not.toHaveProperty('pooled');
  });

  it('leaves the pool for a snapshot of it', async () => {
    pool = await PoolBed.open();
    const { vmId } = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.platform.takeSnapshot({ vmId, ssId: 'ss-2' });
    expect(await pool.inPool()).toEqual([]);
    const clone = await pool.platform.invoke({ ...hello, ssId: 'ss-2' });
    expect(clone.result).toBe('{"count":5}');
  });

  it('is not for another function', async () => {
    pool = await PoolBed.open();
    await deploy(pool.platform, 'other');
    await pool.platform.poolVm({ ssId: 'ss-1' });
    const call = pool.platform.invoke({ functionName: 'other', ssId: 'ss-1' });
    await expect(call).rejects.toMatchObject({ code: 'FUNCTION_MISMATCH' });
    expect(await pool.untilReady(1)).toHaveLength(1);
  });

  it('is ended on demand and when nobody takes it, not by the limit of idle VMs', async () => {
    pool = await PoolBed.open({ config: { 'pool.keepMs': 200, 'timeouts.idleVmMs': 20 } });
    const first = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.platform.deleteVm(first.vmId);
    expect(await pool.inPool()).toEqual([]);
    const second = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    await sleep(100);
    expect(await pool.ready()).toMatchObject([{ vmId: second.vmId }]);
    const unused = () => pool.metric('sparkler_vm_ends_total{reason="unused"}');
    await until(unused, (count) => count === 1);
    pool.expectNothingLeft();
  });

  it('that dies while it waits is no error, is counted and replaced', async () => {
    pool = await PoolBed.open();
    const { vmId } = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    pool.bed.driver.vm(vmId).die();
    await until(
      () => pool.inPool(),
      (vms) => vms.length === 0,
    );
    expect(await pool.metric('sparkler_pool_replaced_total')).toBe(1);
    const [replacement] = await pool.untilReady(1);
    expect(replacement?.vmId).not.toBe(vmId);
    expect(await pool.platform.invoke(fromSnapshot)).toMatchObject({
      vmId: replacement?.vmId,
      pooled: true,
    });
  });

  it('that has died when it is taken costs its invocation nothing but time', async () => {
    pool = await PoolBed.open();
    const { vmId } = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    // As if it died and the daemon had not been told yet.
    const died = pool.platform.invoke({ ...fromSnapshot, params: event({ add: 1 }) });
    pool.bed.driver.vm(vmId).die();
    const output = await died;
    expect(output).toMatchObject({ startKind: 'snapshot', result: '{"count":6}' });
    expect(output.vmId).not.toBe(vmId);
    expect(output).not.toHaveProperty('pooled');
    expect(await pool.metric('sparkler_pool_replaced_total')).toBe(1);
  });

  it('that failed in its function ends with that, and is not tried again', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1' });
    const call = pool.platform.invoke({ ...fromSnapshot, params: event({ throw: 'no' }) });
    await expect(call).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    expect(pool.bed.driver.restores).toHaveLength(1);
    pool.expectNothingLeft();
  });
});

describe('two invocations', () => {
  it('never get the same VM', async () => {
    pool = await PoolBed.open();
    for (let round = 0; round < 5; round++) {
      const made = await Promise.all([1, 2].map(() => pool.platform.poolVm({ ssId: 'ss-1' })));
      if (round % 2 === 0) await pool.untilReady(2);
      const outputs = await pool.burst(4);
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
  ] as const)('%s', async (_, asked, restore, isTaken) => {
    pool = await PoolBed.open({ capabilities: { hasProcess: true } });
    await pool.platform.poolVm({ ssId: 'ss-1', ...asked });
    await pool.untilReady(1);
    const output = await pool.platform.invoke({ ...fromSnapshot, restore });
    expect(output.pooled).toBe(isTaken ? true : undefined);
  });

  it('with nothing recorded yet leave the recording to the invocation', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1', strategy: 'reap' });
    await pool.untilReady(1);
    const output = await pool.platform.invoke({ ...fromSnapshot, restore: { strategy: 'reap' } });
    expect(output).toMatchObject({ restore: { strategy: 'reap', recorded: true } });
    expect(output).not.toHaveProperty('pooled');
    // What was restored before the recording is of no use any more.
    await until(
      () => pool.inPool(),
      (vms) => vms.length === 0,
    );
    await pool.platform.poolVm({ ssId: 'ss-1', strategy: 'reap' });
    const starting = await pool.platform.invoke({ ...fromSnapshot, restore: { strategy: 'reap' } });
    expect(starting).not.toHaveProperty('pooled');
  });

  it('auto is measured in VMs of their own first', async () => {
    pool = await PoolBed.open();
    pool.platform.putFunction({ name: 'hello', restoreStrategy: 'auto' });
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    expect(await pool.platform.invoke(fromSnapshot)).not.toHaveProperty('pooled');
  });
});

describe('what a pooled VM is made of', () => {
  it('is a snapshot that can be deleted', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.platform.deleteSnapshot('ss-1');
    expect(await pool.platform.listVms()).toEqual([]);
    pool.expectNothingLeft();
    await expect(pool.platform.invoke(fromSnapshot)).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
    });
  });

  it('is a snapshot that a VM which was taken still needs', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.platform.invoke(fromSnapshot);
    await expect(pool.platform.deleteSnapshot('ss-1')).rejects.toMatchObject({
      code: 'SNAPSHOT_IN_USE',
    });
  });

  it('is a function that can be deleted, also while the pool fills', async () => {
    pool = await PoolBed.open({ config: FILLS, faults: () => ({ delayMs: 2 }) });
    await pool.burst(2);
    await pool.burst(2);
    await until(
      () => pool.inPool(),
      (vms) => vms.length > 0,
    );
    await pool.platform.deleteFunction('hello');
    await sleep(50);
    expect(await pool.platform.listVms()).toEqual([]);
    pool.expectNothingLeft();
    expect(pool.bed.registry.journal.entries()).toEqual([]);
    expect(existsSync(join(pool.bed.config.dataDir, 'functions', 'hello'))).toBe(false);
  });

  it('is the code of its snapshot, also when the function has new code', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    await deploy(pool.platform, 'hello', 'newer code');
    expect(await pool.platform.invoke(fromSnapshot)).toMatchObject({ pooled: true });
  });

  it('is a working set that can be changed: only VMs without one stay', async () => {
    pool = await PoolBed.open();
    await pool.platform.poolVm({ ssId: 'ss-1', strategy: 'reap' });
    const plain = await pool.platform.poolVm({ ssId: 'ss-1', strategy: 'vanilla' });
    await pool.untilReady(2);
    await pool.platform.workingSets.patchMincore('ss-1', { dropCache: true });
    expect(await pool.inPool()).toHaveLength(2);
    await pool.platform.workingSets.forget('ss-1');
    expect(await pool.inPool()).toMatchObject([{ vmId: plain.vmId }]);
  });
});

describe('the end of the daemon', () => {
  it('ends pooled VMs, and starts none any more while it fills', async () => {
    pool = await PoolBed.open({ config: FILLS, faults: () => ({ delayMs: 5 }) });
    await pool.burst(3);
    await pool.burst(3);
    await pool.platform.poolVm({ ssId: 'ss-1' });
    await until(
      () => pool.inPool(),
      (vms) => vms.length > 0,
    );
    await pool.platform.close();
    pool.expectNothingLeft();
    await sleep(50);
    pool.expectNothingLeft();
  });

  it('leaves them to the journal when it is killed', async () => {
    pool = await PoolBed.open();
    const vm = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(1);
    pool.bed = await pool.bed.restart('killed');
    expect(pool.bed.reclaimed).toMatchObject({ folders: 1 });
    expect(existsSync(vm.path)).toBe(false);
    expect(await pool.platform.invoke(fromSnapshot)).toMatchObject({ startKind: 'snapshot' });
  });
});
