import { appendFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  deploy,
  testPlatform,
  type TestEvent,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import { FakeMemory } from '../../tests/support/fake-memory.js';
import { SparklerError } from '../errors.js';
import type { InvocationInput, InvocationOutput } from './types.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

async function open(options: TestOptions = {}): Promise<void> {
  bed = await testPlatform(options);
}

function call(
  fields: TestEvent = {},
  input: Partial<InvocationInput> = {},
): Promise<InvocationOutput> {
  return bed.platform.invoke({ functionName: 'hello', params: JSON.stringify(fields), ...input });
}

const places = ({ placement }: InvocationOutput): string[] =>
  placement?.passed.map(({ place }) => place) ?? [];
const LONG = { sleepMs: 60 };

/** A VM of `hello` in whose memory so many instances have room. */
async function elastic(blocks: number, options: TestOptions = {}): Promise<FakeMemory> {
  const memory = new FakeMemory(blocks);
  await open({ memory: (nth) => (nth === 1 ? memory : undefined), ...options });
  return memory;
}

describe('an invocation that names neither a VM nor a snapshot', () => {
  it('boots a VM, and finds its instance idle the next time', async () => {
    await open();
    const first = await call({ add: 1 });
    expect(first).toMatchObject({
      startKind: 'cold',
      placement: { why: 'a VM was booted for it' },
    });
    expect(places(first)).toEqual(['warm', 'vertical', 'snapshot']);
    const second = await call({ add: 1 });
    expect(second).toMatchObject({ startKind: 'warm', vmId: first.vmId, result: '{"count":2}' });
    expect(second.placement).toEqual({ why: 'an instance was idle', passed: [] });
    expect(second.phases).not.toHaveProperty('vmmUp');
    const named = await call({}, { vmId: first.vmId });
    expect(named).not.toHaveProperty('placement');
  });

  it('boots another while the first is busy, whose memory does not grow', async () => {
    await open();
    const { vmId } = await call();
    const long = call(LONG);
    const other = await call();
    expect(other).toMatchObject({ startKind: 'cold' });
    expect(other.vmId).not.toBe(vmId);
    expect(other.placement?.passed[1]).toMatchObject({
      place: 'vertical',
      why: expect.stringContaining('its memory is static') as string,
    });
    await long;
  });

  it('goes where the invocation says, then where the function says', async () => {
    await open();
    const first = await call();
    bed.platform.putFunction({ name: 'hello', placement: { order: ['cold'] } });
    const second = await call();
    expect(second).toMatchObject({ startKind: 'cold', placement: { passed: [] } });
    expect(second.vmId).not.toBe(first.vmId);
    expect(await call({}, { placement: ['warm'] })).toMatchObject({ startKind: 'warm' });
    bed.platform.putFunction({ name: 'hello', placement: { maxVms: 2 } });
    expect(bed.platform.getFunction('hello').placement).toEqual({ order: ['cold'], maxVms: 2 });
    await expect(call()).rejects.toMatchObject({
      code: 'TOO_MANY_VMS',
      message: expect.stringContaining('its limit is 2') as string,
    });
  });

  it('goes where the configuration says', async () => {
    await open({ config: { 'placement.order': ['cold'], 'placement.maxVmsPerFunction': 2 } });
    const [first, second] = [await call(), await call()];
    expect(first.vmId).not.toBe(second.vmId);
    await expect(call()).rejects.toMatchObject({ code: 'TOO_MANY_VMS' });
  });

  it('waits for a busy instance when there may be no other VM', async () => {
    await open({ config: { 'placement.maxVmsPerFunction': 1 } });
    const { vmId } = await call({ add: 1 });
    const [long, waiting] = await Promise.all([call({ ...LONG, add: 1 }), call({ add: 1 })]);
    expect([long.result, waiting.result]).toEqual(['{"count":2}', '{"count":3}']);
    expect(waiting).toMatchObject({ vmId, startKind: 'warm' });
    expect(waiting.placement?.why).toBe('it waited for a busy instance');
  });

  it('waits when the daemon may make no other VM', async () => {
    await open({ config: { 'limits.maxVms': 1 } });
    await call();
    const [, waiting] = await Promise.all([call(LONG), call()]);
    expect(waiting).toMatchObject({ startKind: 'warm' });
    expect(waiting.placement?.passed.at(-1)?.why).toContain('limits.maxVms');
  });

  it('is refused where nothing that is allowed exists', async () => {
    await open();
    await expect(call({}, { placement: ['warm', 'snapshot'] })).rejects.toMatchObject({
      code: 'NO_PLACE',
      details: { field: 'placement' },
      message: expect.stringContaining('the function has no snapshot') as string,
    });
    expect(bed.driver.live.size).toBe(0);
  });

  it.each([[[]], [['warm', 'warm']], [['hot']]])('refuses the order %j', async (order) => {
    await open();
    const placement = order as ['cold'];
    const refusal = { code: 'INVALID_REQUEST', details: { field: 'placement' } };
    await expect(call({}, { placement })).rejects.toMatchObject(refusal);
    expect(() =>
      bed.platform.putFunction({ name: 'hello', placement: { order: placement } }),
    ).toThrow(expect.objectContaining(refusal));
  });

  it.each([
    [{ maxInstances: 0 }, 'INVALID_REQUEST', 'max_instances'],
    [{ maxInstances: 65 }, 'LIMIT_EXCEEDED', 'max_instances'],
    [{ maxVms: 65 }, 'LIMIT_EXCEEDED', 'max_vms'],
  ])('refuses the limits %j', async (placement, code, field) => {
    await open();
    expect(() => bed.platform.putFunction({ name: 'hello', placement })).toThrow(
      expect.objectContaining({ code, details: { field } }),
    );
  });

  it.each([
    ['other code', () => bed.platform.putCode('hello', Readable.from([Buffer.from('new')]))],
    ['another environment', () => bed.platform.putFunction({ name: 'hello', env: { A: '1' } })],
    ['another size', () => bed.platform.putFunction({ name: 'hello', memMiB: 256 })],
  ])('gets no instance and no snapshot of %s', async (_, change) => {
    await open();
    const before = await call();
    await bed.platform.takeSnapshot({ vmId: before.vmId, ssId: 'ss-1' });
    await change();
    const after = await call();
    expect(after).toMatchObject({ startKind: 'cold' });
    expect(after.placement?.passed.at(-1)?.why).toContain('no snapshot is usable; of ss-1');
    // The old VM serves whoever names it.
    expect(await call({}, { vmId: before.vmId })).toMatchObject({ startKind: 'warm' });
  });

  it("gets no other function's instance", async () => {
    await open();
    await call();
    await deploy(bed.platform, 'other');
    expect(await call({}, { functionName: 'other' })).toMatchObject({ startKind: 'cold' });
  });

  it('leaves a VM alone that was restored for somebody else', async () => {
    await open();
    const { vmId } = await call();
    await bed.platform.takeSnapshot({ vmId, ssId: 'ss-1' });
    await bed.platform.deleteVm(vmId);
    const ahead = await bed.platform.createVm({ functionName: 'hello', ssId: 'ss-1' });
    while ((await bed.platform.getVm(ahead.vmId)).state === 'starting') await sleep(1);
    const other = await call();
    expect(other).toMatchObject({ startKind: 'snapshot' });
    expect(other.vmId).not.toBe(ahead.vmId);
  });
});

describe('a place that turns out not to be open', () => {
  /** A snapshot of a VM that is gone. */
  async function snapshotOf(ssId: string, add: number): Promise<void> {
    const { vmId } = await call({ add }, { placement: ['cold'] });
    await bed.platform.takeSnapshot({ vmId, ssId });
    await bed.platform.deleteVm(vmId);
    await bed.store.settled();
  }

  it('is passed over: a snapshot that was damaged, for the one before it', async () => {
    const warnings: string[] = [];
    await open({ warn: (message) => warnings.push(message) });
    await snapshotOf('old', 1);
    await sleep(2);
    await snapshotOf('new', 2);
    expect(await call()).toMatchObject({ startKind: 'snapshot', result: '{"count":2}' });
    for (const { vmId } of await bed.platform.listVms()) await bed.platform.deleteVm(vmId);
    appendFileSync(bed.platform.getSnapshot('new').statePath, 'x');
    const output = await call();
    expect(output).toMatchObject({ startKind: 'snapshot', result: '{"count":1}' });
    expect(output.placement?.why).toBe('old is its newest usable snapshot');
    expect(output.placement?.passed[0]).toMatchObject({
      place: 'snapshot',
      why: expect.stringContaining('cannot be used') as string,
    });
    expect(warnings).toContain('a place was not open after all');
  });

  it('is passed over: memory that cannot grow after all', async () => {
    const memory = await elastic(2);
    await call();
    memory.failure = new SparklerError('VM_WRONG_STATE', 'no block after all');
    const long = call(LONG);
    const other = await call();
    expect(other).toMatchObject({ startKind: 'cold' });
    expect(other.placement?.passed[0]).toEqual({ place: 'vertical', why: 'no block after all' });
    await long;
    expect(memory.history).toEqual(['+1']);
  });

  it('is the end when the handler was given its event', async () => {
    await open();
    const { vmId } = await call();
    const running = call({ hang: true });
    const outcome = Promise.allSettled([running]);
    await sleep(10);
    bed.driver.vm(vmId).die();
    expect(await outcome).toMatchObject([{ reason: { code: 'VM_DIED' } }]);
    expect(await bed.platform.listVms()).toEqual([]);
  });
});

describe('a vertical start', () => {
  it('puts another instance beside the busy one, each with its memory', async () => {
    const memory = await elastic(3);
    const first = await call({ add: 1 });
    expect([...memory.given]).toEqual([1]);
    const [one, two, three, four] = await Promise.all([
      ...[call(LONG), call(LONG), call(LONG)],
      call({}, { placement: ['warm', 'vertical', 'cold'] }),
    ]);
    expect([one, two, three, four].map((output) => output?.startKind)).toEqual([
      ...['warm', 'vertical', 'vertical', 'cold'],
    ]);
    expect(new Set([first, one, two, three].map((output) => output?.vmId)).size).toBe(1);
    expect([...memory.given]).toEqual([1, 2, 3]);
    expect(two?.placement?.why).toBe('the VM had room beside 1 instance');
    expect(four?.placement?.passed).toContainEqual({
      place: 'vertical',
      why: 'all its blocks are taken',
    });
    expect(await bed.platform.metrics()).toContain(
      'sparkler_invocations_total{start_kind="vertical",outcome="ok"} 2',
    );
    // All of them are idle now, and the VM ends with all of them.
    await bed.platform.deleteVm(first.vmId);
    expect(await call()).toMatchObject({ startKind: 'warm', vmId: four?.vmId });
  });

  it('is limited by instances per VM', async () => {
    await elastic(9, { config: { 'placement.maxInstancesPerVm': 2 } });
    await call();
    const outputs = await Promise.all([call(LONG), call(LONG), call()]);
    expect(outputs.map(({ startKind }) => startKind)).toEqual(['warm', 'vertical', 'cold']);
    expect(outputs[2].placement?.passed[1]?.why).toContain('2 instances in a VM is the limit');
  });

  it('whose handler fails leaves no instance, and its memory is free; the VM goes on', async () => {
    const memory = await elastic(2);
    const { vmId } = await call();
    const long = call(LONG);
    await expect(call({ throw: 'no' })).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    expect(memory.history).toEqual(['+1', '+2', '-2']);
    await long;
    expect(await call()).toMatchObject({ startKind: 'warm', vmId });
  });

  it('ends at its time limit, and frees its slot and its memory', async () => {
    const memory = await elastic(2);
    await call();
    const long = call({ sleepMs: 500 });
    const hanging = call({ hang: true }, { timeoutMs: 20 });
    await expect(hanging).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(memory.history).toEqual(['+1', '+2', '-2']);
    expect(await call()).toMatchObject({ startKind: 'vertical' });
    await long;
  });

  it('that is the first of its VM to end gets new memory for the next', async () => {
    const memory = await elastic(1);
    const { vmId } = await call();
    await expect(call({ hang: true }, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'HANDLER_TIMEOUT',
    });
    expect(await call()).toMatchObject({ startKind: 'warm', vmId });
    expect(memory.history).toEqual(['+1', '-1', '+1']);
  });

  it('serves whoever names the VM, in whichever instance is free', async () => {
    await elastic(2);
    const { vmId } = await call();
    await Promise.all([call(LONG), call(LONG)]);
    const order: string[] = [];
    await Promise.all([
      call({ sleepMs: 80 }, { vmId }).then(() => order.push('long')),
      call({ sleepMs: 1 }, { vmId }).then(() => order.push('short')),
      call({ sleepMs: 1 }, { vmId }).then(() => order.push('next')),
    ]);
    expect(order).toEqual(['short', 'next', 'long']);
  });

  it('keeps a snapshot waiting until all instances are idle, and a clone has them all', async () => {
    await open({ memory: () => new FakeMemory(2) });
    const { vmId } = await call({ add: 1 });
    const done: string[] = [];
    const calls = [1, 2].map(() => call({ ...LONG, add: 1 }).then(() => done.push('call')));
    const taken = bed.platform.takeSnapshot({ vmId, ssId: 'ss-1' }).then(() => done.push('taken'));
    const behind = call({}, { vmId }).then(() => done.push('behind'));
    await Promise.all([...calls, taken, behind]);
    expect(done).toEqual(['call', 'call', 'taken', 'behind']);
    await bed.platform.deleteVm(vmId);
    const clone = await call({}, { ssId: 'ss-1' });
    expect(clone.result).toBe('{"count":3}');
    const order: string[] = [];
    await Promise.all([
      call(LONG, { vmId: clone.vmId }).then(() => order.push('long')),
      call({}, { vmId: clone.vmId }).then(() => order.push('short')),
    ]);
    expect(order).toEqual(['short', 'long']);
  });

  it('is not begun while a snapshot of its VM waits', async () => {
    await elastic(2);
    const { vmId } = await call();
    const long = call(LONG);
    const taken = bed.platform.takeSnapshot({ vmId });
    const other = await call();
    expect(other.placement?.passed[1]?.why).toContain('snapshot');
    await Promise.all([long, taken]);
  });
});

describe('a placed restore', () => {
  it('takes a VM of the pool where one waits', async () => {
    await open();
    const { vmId } = await call({ add: 5 });
    await bed.platform.takeSnapshot({ vmId, ssId: 'ss-1' });
    await bed.platform.deleteVm(vmId);
    const pooled = await bed.platform.poolVm({ ssId: 'ss-1' });
    while ((await bed.platform.getVm(pooled.vmId)).state === 'starting') await sleep(1);
    expect(await call()).toMatchObject({
      startKind: 'snapshot',
      pooled: true,
      vmId: pooled.vmId,
      placement: { why: 'ss-1 is its newest usable snapshot' },
      result: '{"count":5}',
    });
  });
});

describe('an idle instance', () => {
  it('beside others is ended, and its memory is free; the last one stays with its VM', async () => {
    const memory = await elastic(3, { config: { 'timeouts.idleInstanceMs': 40 } });
    const { vmId } = await call();
    await Promise.all([call(LONG), call(LONG), call(LONG)]);
    while (memory.given.size > 1) await sleep(1);
    await sleep(60);
    expect(memory.given.size).toBe(1);
    expect(await call()).toMatchObject({ startKind: 'warm', vmId });
  });
});

describe('a VM of blocks', () => {
  it('makes its instances from a zygote, one for each block, until there are no more', async () => {
    await open({ config: { 'memory.policy': 'blocks', 'memory.instances': 2 } });
    const first = await call();
    expect(first).toMatchObject({ startKind: 'cold', instance: { fromZygote: true } });
    const long = call(LONG);
    const second = await call();
    expect(second).toMatchObject({
      ...{ startKind: 'vertical', vmId: first.vmId, instance: { fromZygote: true } },
    });
    expect(second).not.toHaveProperty('phases.vmmUp');
    await long;
    const calls = [call(LONG), call(LONG), call()];
    const kinds = (await Promise.all(calls)).map(({ startKind }) => startKind);
    expect(kinds).toEqual(['warm', 'warm', 'cold']);
    const { memory } = await bed.platform.getVm(first.vmId);
    expect(memory).toMatchObject({ policy: 'blocks', grantedMiB: 256 });
  });
});
