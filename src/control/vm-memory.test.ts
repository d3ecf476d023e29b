import { afterEach, describe, expect, it } from 'vitest';
import {
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import { createLogger } from '../telemetry/index.js';
import { FakeDriver, type FakeGuestFactory } from '../vmm/index.js';
import type { VmInput } from './types.js';
import { VmMemories } from './vm-memory.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

/** A function of 128 MiB; VMs have 100 MiB of their own and give blocks back at once. */
const CONFIG = { 'memory.baseMiB': 100, 'memory.giveBackMs': 0, 'memory.eagerMiB': 4 };

async function open(options: TestOptions = {}): Promise<TestPlatform> {
  bed = await testPlatform({ ...options, config: { ...CONFIG, ...options.config } });
  return bed;
}

async function start(input: Partial<VmInput>): Promise<string> {
  const { vmId } = await bed.platform.createVm({ functionName: 'hello', ...input });
  await bed.platform.invoke({ functionName: 'hello', vmId });
  return vmId;
}

const noGuest: FakeGuestFactory = () => ({ save: () => undefined, stop: () => undefined });

const memoryOf = async (vmId: string) => (await bed.platform.getVm(vmId)).memory;

describe('the memory of a VM', () => {
  it.each([
    ['static', { memMiB: 256 }, { configuredMiB: 256, pluggedMiB: 256, grantedMiB: 256 }],
    ['balloon', {}, { configuredMiB: 622, pluggedMiB: 142, grantedMiB: 128 }],
    ['virtio-mem', {}, { configuredMiB: 620, pluggedMiB: 236, grantedMiB: 128 }],
    ['blocks', {}, { configuredMiB: 620, pluggedMiB: 620, grantedMiB: 128 }],
  ] as const)('follows its instance: %s', async (policy, input, sizes) => {
    await open();
    const vmId = await start({ memoryPolicy: policy, ...input });
    await expect.poll(() => memoryOf(vmId)).toMatchObject({ policy, ...sizes });
    const { memMiB, memory } = await bed.platform.getVm(vmId);
    expect(memMiB).toBe(sizes.configuredMiB);
    expect(memory).toMatchObject({ instances: [{ instance: 1 }] });
    // A list asks no guest.
    expect((await bed.platform.listVms())[0]?.memory).toMatchObject({ policy, ...sizes });
    await bed.platform.deleteVm(vmId);
    expect(bed.driver.live.size).toBe(0);
  });

  it('has blocks, one of which its instance is bound to and limited by', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'blocks', blocksMiB: [128, 64] });
    expect(await memoryOf(vmId)).toMatchObject({
      blocks: [
        { node: 1, memMiB: 128, state: 'taken', usedBytes: 0 },
        { node: 2, memMiB: 64, state: 'free', residentBytes: 0 },
      ],
      instances: [{ nodes: [1], limitBytes: 128 * 1024 * 1024 }],
    });
  });

  it('goes back to the host when its instance has ended, and comes for the next', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'blocks', blocksMiB: [128] });
    const hang = { functionName: 'hello', vmId, params: '{"hang":true}', timeoutMs: 20 };
    await expect(bed.platform.invoke(hang)).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    await expect
      .poll(() => memoryOf(vmId))
      .toMatchObject({ grantedMiB: 0, blocks: [{ state: 'free', residentBytes: 0 }] });
    await bed.platform.invoke({ functionName: 'hello', vmId });
    expect(await memoryOf(vmId)).toMatchObject({ grantedMiB: 128, blocks: [{ state: 'taken' }] });
  });

  it('is known while the VM starts', async () => {
    await open({ faults: () => ({ delayMs: 5 }) });
    const vm = await bed.platform.createVm({ functionName: 'hello', memoryPolicy: 'virtio-mem' });
    expect(vm.memory).toEqual({
      ...{ policy: 'virtio-mem', configuredMiB: 620, pluggedMiB: 108, grantedMiB: 0 },
    });
  });

  it('is as the configuration says where a start says nothing', async () => {
    await open({ config: { 'memory.policy': 'balloon', 'memory.instances': 2 } });
    const { vmId } = await bed.platform.invoke({ functionName: 'hello' });
    expect(await memoryOf(vmId)).toMatchObject({ policy: 'balloon', configuredMiB: 362 });
  });

  it('remembers what instances needed over a restart of the daemon', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'blocks' });
    await expect.poll(() => memoryOf(vmId)).toMatchObject({ population: { peaks: 1 } });
    bed = await bed.restart('closed');
    // The one of before, and its own.
    const again = await start({ memoryPolicy: 'blocks' });
    expect(await memoryOf(again)).toMatchObject({ population: { peaks: 2, eagerBytes: 0 } });
  });
});

describe('a VM whose memory cannot be as asked', () => {
  it.each([
    [
      'too little for an instance',
      { memoryPolicy: 'blocks', memMiB: 200 },
      'INVALID_REQUEST',
      'mem',
    ],
    [
      'blocks of another policy',
      { memoryPolicy: 'balloon', blocksMiB: [64] },
      'INVALID_REQUEST',
      'blocks',
    ],
    [
      'no size of a block',
      { memoryPolicy: 'blocks', blocksMiB: [129] },
      'INVALID_REQUEST',
      'blocks',
    ],
    [
      'more than a VM may have',
      { memoryPolicy: 'blocks', blocksMiB: [32_768] },
      'LIMIT_EXCEEDED',
      'mem',
    ],
  ] as const)('is refused: %s', async (_, input, code, field) => {
    await open();
    const starting = bed.platform.createVm({ functionName: 'hello', ...input });
    await expect(starting).rejects.toMatchObject({ code, details: { field } });
    expect(bed.driver.live.size).toBe(0);
  });

  it('is refused where the VMM cannot do it, with the reason', async () => {
    await open({ capabilities: { memory: [], missingMemory: { balloon: 'it is no balloonist' } } });
    const starting = bed.platform.createVm({ functionName: 'hello', memoryPolicy: 'balloon' });
    await expect(starting).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
      message: 'The memory policy balloon is not to be had here: it is no balloonist.',
    });
  });

  it('ends when its kernel does not bring its blocks up, with the reason', async () => {
    await open({ faults: () => ({ deaf: ['blocks'] }), config: { 'timeouts.resizeMs': 5 } });
    await expect(start({ memoryPolicy: 'blocks' })).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
    });
    expect(bed.driver.live.size).toBe(0);
    expect(await bed.platform.listVms()).toEqual([]);
  });

  it('answers an invocation whose memory does not come, and goes on', async () => {
    let deaf: ('hotplug' | 'balloon')[] = [];
    await open({
      faults: () => ({
        get deaf() {
          return deaf;
        },
      }),
      config: { 'timeouts.resizeMs': 5 },
    });
    const vmId = await start({ memoryPolicy: 'virtio-mem' });
    const call = { functionName: 'hello', vmId };
    const hang = { ...call, params: '{"hang":true}', timeoutMs: 20 };
    await expect(bed.platform.invoke(hang)).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    await expect.poll(() => memoryOf(vmId)).toMatchObject({ pluggedMiB: 108 });
    deaf = ['hotplug'];
    await expect(bed.platform.invoke(call)).rejects.toMatchObject({ code: 'RESIZE_TIMED_OUT' });
    deaf = [];
    expect(await bed.platform.invoke(call)).toMatchObject({ vmId });
  });
});

describe('resizing by hand', () => {
  it('answers with what the VM has then', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'virtio-mem' });
    expect((await bed.platform.resizeVm(vmId, 500)).memory).toMatchObject({ pluggedMiB: 500 });
    await expect(bed.platform.resizeVm(vmId, 501)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining('the nearest that work are 500 and 502') as string,
    });
    expect(await memoryOf(vmId)).toMatchObject({ pluggedMiB: 500 });
  });

  it('waits for a VM that starts', async () => {
    await open({ faults: () => ({ delayMs: 5 }) });
    const { vmId } = await bed.platform.createVm({ functionName: 'hello', memoryPolicy: 'blocks' });
    expect((await bed.platform.resizeVm(vmId, 236)).memory).toMatchObject({ pluggedMiB: 236 });
  });

  it.each([
    ['static', 'OPERATION_UNSUPPORTED'],
    ['nobody', 'VM_NOT_FOUND'],
  ])('is refused: %s', async (which, code) => {
    await open();
    const vmId = which === 'nobody' ? which : await start({ memoryPolicy: 'static' });
    await expect(bed.platform.resizeVm(vmId, 200)).rejects.toMatchObject({ code });
  });

  it('keeps the size of before when the guest does not answer', async () => {
    let deaf: 'balloon'[] = [];
    await open({
      faults: () => ({
        get deaf() {
          return deaf;
        },
      }),
      config: { 'timeouts.resizeMs': 5 },
    });
    const vmId = await start({ memoryPolicy: 'balloon' });
    await expect.poll(() => memoryOf(vmId)).toMatchObject({ pluggedMiB: 142 });
    deaf = ['balloon'];
    await expect(bed.platform.resizeVm(vmId, 400)).rejects.toMatchObject({
      code: 'RESIZE_TIMED_OUT',
    });
    expect(await bed.platform.getVm(vmId)).toMatchObject({
      state: 'running',
      memory: { pluggedMiB: 142 },
    });
  });
});

describe('snapshots', () => {
  it('of a VM with a balloon are restored with it', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'balloon' });
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    expect(snapshot).toMatchObject({ memMiB: 622, memory: { policy: 'balloon', baseMiB: 110 } });
    bed = await bed.restart('closed');
    const paused = await bed.platform.createVm({ functionName: 'hello', ssId: snapshot.ssId });
    await expect(bed.platform.resizeVm(paused.vmId, 400)).rejects.toMatchObject({
      code: 'VM_WRONG_STATE',
    });
    await bed.platform.invoke({ functionName: 'hello', vmId: paused.vmId });
    expect(await memoryOf(paused.vmId)).toMatchObject({ policy: 'balloon', grantedMiB: 128 });
    expect((await bed.platform.resizeVm(paused.vmId, 400)).memory).toMatchObject({
      pluggedMiB: 400,
    });
  });

  it('are not taken of a VM whose instance is in a block', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'blocks' });
    await expect(bed.platform.takeSnapshot({ vmId })).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
    });
    expect(await bed.platform.invoke({ functionName: 'hello', vmId })).toMatchObject({ vmId });
  });

  it('are restored with the policy that they have', async () => {
    await open();
    const vmId = await start({ memoryPolicy: 'static' });
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const other = { functionName: 'hello', ssId: snapshot.ssId, memoryPolicy: 'balloon' } as const;
    await expect(bed.platform.createVm(other)).rejects.toMatchObject({
      details: { field: 'memory_policy' },
    });
  });
});

describe('the daemon', () => {
  it('does not start with a policy that is not to be had', async () => {
    await open();
    const { registry, driver } = bed;
    const config = { ...bed.config, memory: { ...bed.config.memory, policy: 'blocks' as const } };
    const poor = new FakeDriver({ guest: noGuest, capabilities: { memory: [] } });
    const deps = { config, registry, logger: createLogger('silent') };
    expect(() => new VmMemories({ ...deps, driver })).not.toThrow();
    expect(() => new VmMemories({ ...deps, driver: poor })).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: 'memory.policy cannot be blocks here: fake cannot do it.',
      }),
    );
  });

  it('says that second-level page tables cannot be filled', async () => {
    await open({ config: { 'memory.preTdpFault': true } });
    expect(bed.platform.info().warnings).toEqual([
      'memory.preTdpFault is unavailable: it has no page tables',
    ]);
  });
});
