import { afterEach, describe, expect, it } from 'vitest';
import { fromSnapshot, hello, PoolBed, until } from '../../tests/support/pool-bed.js';
import type { InvocationOutput } from './index.js';

const CAPABILITIES = { memorySources: ['file', 'layers', 'userfault', 'fork'] } as const;

let pool: PoolBed;
afterEach(() => pool.bed.dispose());

/** With one VM that stands in the pool. */
async function withSource(config: Record<string, unknown> = {}): Promise<string> {
  pool = await PoolBed.open({ capabilities: CAPABILITIES, config });
  const { vmId } = await pool.platform.poolVm({ ssId: 'ss-1' });
  await pool.untilReady(1);
  return vmId;
}

const add = (number: number, more = {}): Promise<InvocationOutput> =>
  pool.platform.invoke({ ...fromSnapshot, params: JSON.stringify({ add: number }), ...more });

describe('the last VM of a snapshot in the pool', () => {
  it('stays, and each invocation gets one that is forked from it', async () => {
    const source = await withSource();
    const outputs = await Promise.all([1, 2, 3].map((number) => add(number)));
    expect(outputs.map(({ result }) => result)).toEqual([6, 7, 8].map((n) => `{"count":${n}}`));
    for (const output of outputs) {
      expect(output).toMatchObject({
        ...{ pooled: true, forked: true, startKind: 'snapshot' },
        restore: { why: expect.stringContaining(`forked from VM ${source}`) as string },
      });
      expect(output.phases.vmmUp).toBeGreaterThan(0);
    }
    expect(new Set([source, ...outputs.map(({ vmId }) => vmId)]).size).toBe(4);
    expect(await pool.ready()).toMatchObject([{ vmId: source, invocations: 0 }]);
    const warm = await pool.platform.invoke({
      ...hello,
      vmId: outputs[0]?.vmId ?? '',
      params: '{"add":10}',
    });
    expect(warm.result).toBe('{"count":16}');
  });

  it('is given away where forking is turned off, or another one stands ready', async () => {
    const source = await withSource({ 'pool.fork': false });
    expect(await add(1)).toMatchObject({ vmId: source });
    await pool.bed.dispose();
    const first = await withSource();
    const { vmId: second } = await pool.platform.poolVm({ ssId: 'ss-1' });
    await pool.untilReady(2);
    const taken = await add(1);
    expect([first, second]).toContain(taken.vmId);
    expect(taken).not.toHaveProperty('forked');
    expect(await add(1)).toMatchObject({ forked: true });
  });

  it('is not deleted under what is forked from it', async () => {
    const source = await withSource();
    const { vmId } = await add(1);
    await expect(pool.platform.deleteVm(source)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    await pool.platform.deleteVm(vmId);
    await pool.platform.deleteVm(source);
    expect(await pool.platform.listVms()).toEqual([]);
  });

  it('ends with the last of them once nobody wants it, and takes no more', async () => {
    const source = await withSource({ 'pool.keepMs': 50 });
    const { vmId } = await add(1);
    await until(
      () => pool.inPool(),
      (vms) => vms.length === 0,
    );
    expect((await pool.platform.listVms()).map((vm) => vm.vmId)).toEqual([source, vmId]);
    const other = await add(1);
    expect(other).not.toHaveProperty('forked');
    await pool.platform.deleteVm(vmId);
    expect((await pool.platform.listVms()).map((vm) => vm.vmId)).toEqual([other.vmId]);
    await pool.platform.deleteVm(other.vmId);
    await pool.platform.deleteSnapshot('ss-1');
    pool.expectNothingLeft();
  });

  it('is not ended by the limit of idle VMs while they live, nor gives way to others', async () => {
    const source = await withSource({ 'limits.maxVms': 2 });
    await add(1);
    await expect(add(1)).rejects.toMatchObject({ code: 'TOO_MANY_VMS' });
    expect((await pool.inPool()).map((vm) => vm.vmId)).toEqual([source]);
  });

  it('takes them with it when it dies; the next invocation does without', async () => {
    const source = await withSource();
    const { vmId } = await add(1);
    pool.bed.driver.vm(source).die();
    await until(
      () => pool.platform.listVms(),
      (vms) => vms.every((vm) => vm.vmId !== source && vm.vmId !== vmId),
    );
    expect((await add(2)).result).toBe('{"count":7}');
  });

  it('is replaced when it is gone before its fork is made', async () => {
    const source = await withSource();
    const adding = add(1);
    pool.bed.driver.vm(source).die();
    const output = await adding;
    expect(output.result).toBe('{"count":6}');
    expect(output).not.toHaveProperty('forked');
  });

  it('stands still until what is forked from it is there, whoever else wants it', async () => {
    const source = await withSource();
    const [forked, named, late] = await Promise.all([
      add(1),
      pool.platform.invoke({ ...hello, vmId: source, params: '{"add":100}' }),
      add(2),
    ]);
    expect(named.result).toBe('{"count":105}');
    expect([forked.result, late.result]).toEqual(['{"count":6}', '{"count":7}']);
    const again = await pool.platform.takeSnapshot({ vmId: source, ssId: 'ss-2' });
    expect(again.snapshot.ssId).toBe('ss-2');
  });

  it('can be invoked by its id, and is forked no more', async () => {
    const source = await withSource();
    const { vmId } = await add(1);
    const named = await pool.platform.invoke({ ...hello, vmId: source, params: '{"add":2}' });
    expect(named).toMatchObject({ vmId: source, result: '{"count":7}' });
    expect(await add(3)).not.toHaveProperty('forked');
    expect((await pool.platform.invoke({ ...hello, vmId })).result).toBe('{"count":6}');
  });

  it('is all gone after the end', async () => {
    await withSource();
    await Promise.all([add(1), add(2)]);
    await pool.platform.close();
    pool.expectNothingLeft();
  });
});
