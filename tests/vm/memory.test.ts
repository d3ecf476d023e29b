/** Memory policies over real guests, through a real daemon. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InvocationResult, Vm } from '../../src/client/index.js';
import { Home, type TestDaemon } from '../support/daemon.js';

const MIB = 1024 * 1024;
const FUNCTION_MIB = 128;

/** Takes memory, checks that it is its own, and keeps or lets it go. */
const HUNGRY = `
kept = []

def handler(event, context):
    block = bytearray(event["mib"] << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1 + at // 4096 % 251
    wrong = sum(block[at] != 1 + at // 4096 % 251 for at in range(0, len(block), 4096))
    if event.get("keep"):
        kept.append(block)
    return {"wrong": wrong}
`;

const home = new Home({
  timeouts: { defaultInvocationMs: 60_000, resizeMs: 30_000 },
  memory: { baseMiB: 256, instances: 2, giveBackMs: 0, eagerMiB: 16 },
});
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
  const settings = { func_name: 'hungry', runtime: 'python3', mem_size: FUNCTION_MIB } as const;
  await daemon.deployFiles({ 'app.py': HUNGRY }, { ...settings, handler: 'app.handler' });
});
afterAll(async () => {
  const code = await daemon.stop();
  const left = home.leftovers();
  home.remove();
  expect(code).toBe(0);
  expect(left).toEqual([]);
});

const call = (vmId: string, event: object, more: object = {}): Promise<InvocationResult> =>
  daemon.client.invoke({ func_name: 'hungry', vmId, params: JSON.stringify(event), ...more });

const start = async (settings: object): Promise<string> =>
  (await daemon.client.vms.start({ func_name: 'hungry', ...settings })).vmId;

const memoryOf = async (vmId: string): Promise<Vm['memory']> =>
  (await daemon.client.vms.get(vmId)).memory;

const result = ({ result: text }: InvocationResult): unknown => JSON.parse(text);

/** Guests number the nodes of many blocks in an order of their own. */
describe('memory in many blocks', () => {
  it('is that of the block on the host which the guest has for it', async () => {
    const size = FUNCTION_MIB;
    const blocks = [size, size, size];
    const vmId = await start({ memory_policy: 'blocks', blocks });
    const event = { mib: 30, keep: true };
    const params = JSON.stringify(event);
    const placement: 'vertical'[] = ['vertical'];
    const more = { func_name: 'hungry', params, placement };
    const answers = [await call(vmId, event)];
    for (let one = 0; one < 1; one++) answers.push(await daemon.client.invoke(more));
    for (const answer of answers) {
      expect(answer.vmId).toBe(vmId);
      expect(result(answer)).toEqual({ wrong: 0 });
    }
    const memory = await memoryOf(vmId);
    const taken = memory.instances?.flatMap(({ nodes }) => nodes) ?? [];
    expect(taken.length).toBe(2);
    for (const { node, usedBytes, residentBytes } of memory.blocks ?? []) {
      const isTaken = taken.includes(node);
      expect((usedBytes ?? 0) > 25 * MIB, `block ${node} in the guest`).toBe(isTaken);
      expect(residentBytes > 25 * MIB, `block ${node} on the host`).toBe(isTaken);
    }
    await daemon.client.vms.delete(vmId);
  });
});

describe.each(['balloon', 'virtio-mem'] as const)('memory by %s', (policy) => {
  let vmId: string;

  it('comes for the instance', async () => {
    vmId = await start({ memory_policy: policy });
    expect(result(await call(vmId, { mib: 64 }))).toEqual({ wrong: 0 });
    const memory = await memoryOf(vmId);
    expect(memory).toMatchObject({ policy, grantedMiB: FUNCTION_MIB });
    expect(memory.usedByGuestBytes).toBeGreaterThan(10 * MIB);
    expect(memory.usedByGuestBytes).toBeLessThan(400 * MIB);
    expect(memory.residentBytes).toBeGreaterThan(50 * MIB);
    expect(memory.instances).toMatchObject([{ limitBytes: FUNCTION_MIB * MIB }]);
    // What two instances could have is not there for one.
    await expect
      .poll(async () => (await memoryOf(vmId)).pluggedMiB, { timeout: 30_000 })
      .toBeLessThan(memory.configuredMiB - FUNCTION_MIB + 10);
  });

  it('is set by hand, and refused with the nearest size', async () => {
    const { configuredMiB } = await memoryOf(vmId);
    const grown = await daemon.client.vms.resize(vmId, configuredMiB);
    expect(grown.memory.pluggedMiB).toBe(configuredMiB);
    expect(result(await call(vmId, { mib: 64 }))).toEqual({ wrong: 0 });
    await expect(daemon.client.vms.resize(vmId, configuredMiB + 2)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining(`the nearest that works is ${configuredMiB}`) as string,
    });
    await expect(daemon.client.vms.resize(vmId, 16)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
    const smaller = configuredMiB - FUNCTION_MIB;
    expect((await daemon.client.vms.resize(vmId, smaller)).memory.pluggedMiB).toBe(smaller);
    expect(result(await call(vmId, { mib: 64 }))).toEqual({ wrong: 0 });
    await daemon.client.vms.delete(vmId);
  });
});

describe('memory in blocks', () => {
  let vmId: string;

  it('is where its instance lives', async () => {
    vmId = await start({ memory_policy: 'blocks', blocks: [256, 128] });
    expect(result(await call(vmId, { mib: 40 }))).toEqual({ wrong: 0 });
    const memory = await memoryOf(vmId);
    expect(memory.instances).toMatchObject([{ nodes: [2] }]);
    const [first, second] = memory.blocks ?? [];
    expect(first).toMatchObject({ node: 1, state: 'free', residentBytes: 0, usedBytes: 0 });
    expect(second).toMatchObject({ node: 2, state: 'taken' });
    expect(memory.instances?.[0]?.peakBytes).toBeGreaterThan(40 * MIB);
    expect(second?.residentBytes).toBeGreaterThan(40 * MIB);
  });

  it('limits it, and is free as a whole when it was ended', async () => {
    await expect(call(vmId, { mib: 200 })).rejects.toMatchObject({ code: 'HANDLER_OUT_OF_MEMORY' });
    // The guest has proved that nothing is left in it, and the host has its memory back.
    await expect
      .poll(async () => (await memoryOf(vmId)).blocks?.[1], { timeout: 30_000 })
      .toMatchObject({ state: 'free', residentBytes: 0, usedBytes: 0 });
    expect((await memoryOf(vmId)).grantedMiB).toBe(0);
  });

  it('is used again, with as much populated ahead as was learned', async () => {
    expect(result(await call(vmId, { mib: 40 }))).toEqual({ wrong: 0 });
    const { population, grantedMiB, blocks } = await memoryOf(vmId);
    expect(grantedMiB).toBe(128);
    expect(population?.peaks).toBeGreaterThan(0);
    const eager = population?.eagerBytes ?? 0;
    expect(eager).toBeGreaterThan(40 * MIB);
    // It is the part that the guest took: else the host had that twice.
    expect(blocks?.[1]?.residentBytes).toBeLessThan(eager + 20 * MIB);
  });

  it('is taken out and put in by hand', async () => {
    const { configuredMiB } = await memoryOf(vmId);
    await expect(daemon.client.vms.resize(vmId, configuredMiB - 100)).rejects.toMatchObject({
      message: expect.stringContaining(
        `the nearest that work are ${configuredMiB - 256} and ${configuredMiB}`,
      ) as string,
    });
    const { memory } = await daemon.client.vms.resize(vmId, configuredMiB - 256);
    expect(memory).toMatchObject({
      pluggedMiB: configuredMiB - 256,
      blocks: [{ state: 'closed' }, { state: 'taken' }],
    });
    expect(result(await call(vmId, { mib: 40 }))).toEqual({ wrong: 0 });
    await daemon.client.vms.resize(vmId, configuredMiB);
    await daemon.client.vms.delete(vmId);
  });
});

describe('static memory', () => {
  it('has one size', async () => {
    const vmId = await start({ mem: 256 });
    expect(result(await call(vmId, { mib: 40 }))).toEqual({ wrong: 0 });
    expect(await memoryOf(vmId)).toMatchObject({ configuredMiB: 256, pluggedMiB: 256 });
    await expect(daemon.client.vms.resize(vmId, 300)).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
    });
    await daemon.client.vms.delete(vmId);
  });
});
