import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { cold, FILLS, hello, PoolBed, until } from '../../tests/support/pool-bed.js';
import type { TestEvent } from '../../tests/support/control-platform.js';

let pool: PoolBed;
afterEach(() => pool.bed.dispose());

const event = (fields: TestEvent): string => JSON.stringify(fields);

describe('the pool', () => {
  it('fills by demand, one start at a time, and takes serve from it', async () => {
    const starting: number[] = [];
    let live: () => number = () => 0;
    pool = await PoolBed.open({
      config: FILLS,
      faults: () => {
        starting.push(live());
        return undefined;
      },
    });
    live = () => pool.bed.driver.live.size;
    await pool.burst(1);
    await sleep(50);
    expect(await pool.inPool()).toEqual([]);
    const misses = await pool.burst(3);
    expect(misses.every(({ pooled }) => pooled === undefined)).toBe(true);
    await pool.untilReady(2);
    // The second was begun when the first one stood.
    expect(starting.slice(-2)).toEqual([0, 1]);
    const hits = await pool.burst(3);
    expect(hits.filter(({ pooled }) => pooled)).toHaveLength(2);
    await pool.untilReady(2);
    expect(pool.platform.info().pool).toMatchObject({ vms: 2, memMiB: 256, maxVms: 2 });
    expect(await pool.metric('sparkler_pool_vms{state="paused"}')).toBe(2);
  });

  it.each([
    ['VMs', { 'pool.maxVms': 1 }, 1],
    ['memory', { 'pool.maxVms': 9, 'pool.maxMemMiB': 300 }, 2],
    ['all VMs', { 'pool.maxVms': 9, 'limits.maxVms': 4 }, 4],
    ['none at all', { 'pool.maxVms': 0 }, 0],
  ])('keeps its limit of %s', async (_, config, most) => {
    pool = await PoolBed.open({ config: { ...FILLS, ...config } });
    for (let round = 0; round < 3; round++) await pool.burst(4);
    await pool.untilReady(most);
    await sleep(100);
    expect(await pool.inPool()).toHaveLength(most);
  });

  it('waits until the host has a processor to spare', async () => {
    pool = await PoolBed.open({ config: FILLS, cpus: 2 });
    const { vmId } = await pool.platform.invoke(cold);
    const long = pool.platform.invoke({ ...hello, vmId, params: event({ sleepMs: 200 }) });
    await pool.burst(2);
    await pool.burst(2);
    await sleep(50);
    expect(await pool.inPool()).toEqual([]);
    await long;
    await pool.untilReady(2);
  });

  it('does not wait for one of many processors', async () => {
    pool = await PoolBed.open({ config: FILLS, cpus: 8 });
    const { vmId } = await pool.platform.invoke(cold);
    const long = pool.platform.invoke({ ...hello, vmId, params: event({ hang: true }) });
    const outcome = Promise.allSettled([long]);
    await pool.burst(2);
    await pool.burst(2);
    await pool.untilReady(2);
    await pool.platform.deleteVm(vmId);
    await outcome;
  });

  it('follows demand to another snapshot', async () => {
    pool = await PoolBed.open({ config: FILLS });
    await pool.snapshotOf('ss-2');
    await pool.burst(2);
    await pool.burst(2);
    await pool.untilReady(2);
    for (let round = 0; round < 2; round++) await pool.burst(4, { ...hello, ssId: 'ss-2' });
    await until(
      () => pool.ready(),
      (vms) => vms.some(({ ssId }) => ssId === 'ss-2'),
    );
    expect((await pool.inPool()).length).toBeLessThanOrEqual(2);
    expect(await pool.metric('sparkler_vm_ends_total{reason="gave-way"}')).toBeGreaterThan(0);
  });

  it('does not serve a strategy that the function has given up', async () => {
    pool = await PoolBed.open({ config: FILLS });
    await pool.burst(2);
    await pool.burst(2);
    await pool.untilReady(2);
    pool.platform.putFunction({ name: 'hello', restoreStrategy: 'cached' });
    const [output] = await pool.burst(1);
    expect(output).not.toHaveProperty('pooled');
    expect(output).toMatchObject({ restore: { strategy: 'cached' } });
  });

  it('replaces what dies, later each time, and reports nothing to anyone', async () => {
    let dying = true;
    pool = await PoolBed.open({
      config: FILLS,
      faults: (_, start) => (dying && start > 4 ? { guest: 'die' } : undefined),
    });
    await pool.burst(3);
    await until(
      () => pool.metric('sparkler_pool_replaced_total'),
      (count) => count > 0,
    );
    const starts = pool.bed.driver.restores.length;
    await sleep(200);
    // It waits before it tries again.
    expect(pool.bed.driver.restores.length).toBeLessThanOrEqual(starts + 1);
    dying = false;
    const [output] = await pool.burst(1);
    expect(output).toMatchObject({ startKind: 'snapshot', result: '{"count":6}' });
    await until(
      () => pool.ready(),
      (vms) => vms.length > 0,
    );
  });
});

describe('a pooled VM gives way', () => {
  it('to an invocation and to a VM that is asked for, at the limit of all VMs', async () => {
    pool = await PoolBed.open({ config: { 'limits.maxVms': 2 } });
    const first = await pool.platform.poolVm({ ssId: 'ss-1' });
    const second = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(2);
    await expect(pool.platform.poolVm({ ssId: 'ss-1' })).rejects.toMatchObject({
      code: 'TOO_MANY_VMS',
    });
    const booted = await pool.platform.invoke(cold);
    expect(booted).toMatchObject({ startKind: 'cold' });
    await expect(pool.platform.getVm(first.vmId)).rejects.toMatchObject({
      code: 'VM_NOT_FOUND',
    });
    const made = await pool.platform.createVm(hello);
    await expect(pool.platform.getVm(second.vmId)).rejects.toThrow();
    await expect(pool.platform.createVm(hello)).rejects.toMatchObject({ code: 'TOO_MANY_VMS' });
    expect((await pool.platform.listVms()).map(({ vmId }) => vmId)).toEqual([
      ...[booted.vmId, made.vmId],
    ]);
    expect(await pool.metric('sparkler_vm_ends_total{reason="gave-way"}')).toBe(2);
  });

  it('to each of several at once, and never are there more VMs than the limit', async () => {
    pool = await PoolBed.open({ config: { 'limits.maxVms': 3 }, faults: () => ({ delayMs: 2 }) });
    for (let n = 0; n < 3; n++) await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(3);
    const calls = [1, 2, 3, 4].map(() => pool.platform.invoke(cold));
    const most = until(
      () => Promise.resolve(pool.bed.driver.live.size),
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
    await pool.platform.close();
    await most;
  });

  it('of the pool itself to one that is asked for', async () => {
    pool = await PoolBed.open({ config: { ...FILLS, 'pool.maxVms': 1, 'limits.maxVms': 2 } });
    await pool.burst(2);
    await pool.burst(2);
    const [own] = await pool.untilReady(1);
    const kept = await pool.platform.invoke(cold);
    const asked = await pool.platform.poolVm({ ssId: 'ss-1' });
    await until(
      () => pool.inPool(),
      (vms) => vms.length === 1,
    );
    expect(await pool.inPool()).toMatchObject([{ vmId: asked.vmId }]);
    expect(asked.vmId).not.toBe(own?.vmId);
    await pool.platform.getVm(kept.vmId);
  });
});
