import { describe, expect, it } from 'vitest';
import {
  CAPABILITIES as capabilities,
  ElasticVm,
  gate,
  memorySettings,
} from '../../tests/support/elastic-vm.js';
import { blocksPolicy } from './blocks.js';
import type { ElasticMemory } from './policy.js';

const MIB = 1024 * 1024;
const settings = memorySettings({ baseMiB: 200, instances: 2 });

function planOf(wish: object) {
  return blocksPolicy.plan({ instanceMiB: 256, settings, capabilities, ...wish });
}

/** A VM with these blocks whose memory is populated and given back as the settings say. */
async function open(
  blocksMiB: readonly number[],
  { preAllocMem = false, giveBackMs = -1, ...more }: Readonly<Record<string, unknown>> = {},
): Promise<{ vm: ElasticVm; memory: ElasticMemory }> {
  const vm = new ElasticVm(planOf({ blocksMiB }), { preAllocMem, giveBackMs, ...more });
  const memory = await blocksPolicy.open(vm);
  vm.asked.length = 0;
  return { vm, memory };
}

const states = async (memory: ElasticMemory) =>
  (await memory.view()).blocks?.map(({ state }) => state);

describe('the plan', () => {
  it.each([
    ['two instances, as configured', {}, 208, [256, 256], 720],
    ['as many as there is memory for', { memMiB: 1024 }, 256, [256, 256, 256], 1024],
    [
      'one size for all',
      { memMiB: 720, settings: { ...settings, blockMiB: 512 } },
      208,
      [512],
      720,
    ],
    [
      'several small ones for an instance',
      { settings: { ...settings, blockMiB: 100 } },
      210,
      Array(6).fill(100),
      810,
    ],
    ['what is listed', { blocksMiB: [64, 512] }, 209, [64, 512], 785],
    [
      'what is listed, and the rest for the base',
      { blocksMiB: [256], memMiB: 1000 },
      744,
      [256],
      1000,
    ],
    ['whole steps', { instanceMiB: 101 }, 204, [102, 102], 408],
  ])('is %s', (_, wish, baseMiB, sizes, maxMiB) => {
    expect(planOf(wish)).toEqual({
      policy: 'blocks',
      ...{ memMiB: baseMiB, baseMiB, maxMiB, instanceMiB: expect.any(Number) as number },
      layout: { blocks: (sizes as number[]).map((memMiB) => ({ memMiB })) },
    });
  });

  it.each([
    [{ blocksMiB: [257] }, 'blocks: a block cannot have 257 MiB; the nearest that works is 258.'],
    [{ blocksMiB: [0] }, 'the nearest that works is 2.'],
    [{ blocksMiB: [128] }, 'one instance needs 256 MiB, the blocks have 128 MiB together.'],
    [{ blocksMiB: [256], memMiB: 300 }, 'the nearest that works is 460.'],
    [{ memMiB: 300 }, 'the nearest that works is 460.'],
    [{ memMiB: 30_000 }, 'at most 64 blocks'],
  ])('refuses %j', (wish, reason) => expect(() => planOf(wish)).toThrow(reason));
});

describe('opening', () => {
  it('refuses a kernel without the blocks, and names them', async () => {
    const vm = new ElasticVm(planOf({ blocksMiB: [256, 256, 256] }));
    vm.missingNodes = [2, 3];
    vm.resizeMs = 30;
    await expect(blocksPolicy.open(vm)).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
      message: expect.stringContaining('nodes 2, 3 are missing') as string,
    });
  });
  it('waits for a kernel that is not through with them', async () => {
    const vm = new ElasticVm(planOf({ blocksMiB: [256, 256] }));
    vm.missingNodes = [2];
    const opening = blocksPolicy.open(vm);
    setTimeout(() => (vm.missingNodes = []), 30);
    expect((await opening).summary()).toMatchObject({ pluggedMiB: 720 });
  });
  it('refuses a guest that did not take them in time', async () => {
    const vm = new ElasticVm(planOf({ blocksMiB: [256] }));
    vm.faults = { stuckAt: () => 0 };
    await expect(blocksPolicy.open(vm)).rejects.toMatchObject({ code: 'OPERATION_UNSUPPORTED' });
  });
});

describe('an instance', () => {
  it('gets a block of its own, and its end frees it for the next', async () => {
    const { vm, memory } = await open([256, 256]);
    const [first, second] = [await memory.grow(256), await memory.grow(256)];
    expect([first.nodes, second.nodes]).toEqual([[1], [2]]);
    expect(memory.fits(1)).toBe('it needs 1 MiB, and the blocks that are left are none');
    await expect(memory.grow(1)).rejects.toMatchObject({
      code: 'NO_MEMORY_BLOCK',
      message:
        'VM vm-1 has no room for the instance: it needs 1 MiB, and the blocks that are left are none.',
    });
    await second.release();
    await second.release();
    expect((await memory.grow(200)).nodes).toEqual([2]);
    // Nothing was asked of guest or VMM for any of it.
    expect(vm.asked).toEqual([]);
  });

  it('gets several blocks when it needs them, and says which sizes are left when it cannot', async () => {
    const { memory } = await open([256, 128, 512]);
    const grant = await memory.grow(600);
    expect(grant.nodes).toEqual([2, 3]);
    await expect(memory.grow(300)).rejects.toThrow(
      'it needs 300 MiB, and the blocks that are left are 1 × 256 MiB',
    );
    await grant.release();
    expect((await memory.grow(300)).nodes).toEqual([2, 1].sort());
  });
});

describe('population', () => {
  const on = { preAllocMem: true, eagerMiB: 100 };

  it('goes on beside the instance, in pieces', async () => {
    const { vm, memory } = await open([256], on);
    const grant = await memory.grow(256);
    expect(await grant.populated).toEqual({ pages: (100 * MIB) / 4096, ms: 2 });
    expect(vm.asked).toEqual(['populate 1 0+64', 'populate 1 64+36']);
    expect(await memory.view()).toMatchObject({
      blocks: [{ residentBytes: 100 * MIB }],
      population: { eagerBytes: 100 * MIB, peaks: 0, preTdpFault: 'off' },
    });
  });

  it('does as much as earlier instances needed', async () => {
    const { vm, memory } = await open([256, 256], on);
    const first = await memory.grow(256);
    const seen = (peakMiB: number) =>
      void (vm.instances = [
        { instance: 7, currentBytes: 0, peakBytes: peakMiB * MIB, limitBytes: null, nodes: [1] },
      ]);
    seen(20);
    first.rest(7);
    await vm.quiet();
    seen(30);
    first.rest(7);
    await vm.quiet();
    // The third is not looked at.
    seen(200);
    first.rest(7);
    await vm.quiet();
    expect(vm.stored.get('hello')).toEqual([30 * MIB]);
    vm.asked.length = 0;
    await (
      await memory.grow(256)
    ).populated;
    expect(vm.asked).toEqual(['populate 2 0+30']);
  });

  it('goes where a guest takes memory first, in a block that was used too', async () => {
    const { vm, memory } = await open([256], { ...on, giveBackMs: 0 });
    const first = await memory.grow(256);
    await first.populated;
    vm.instances = [
      { instance: 1, currentBytes: 0, peakBytes: 20 * MIB, limitBytes: null, nodes: [1] },
    ];
    first.rest(1);
    await vm.quiet();
    await first.release();
    await vm.quiet();
    vm.asked.length = 0;
    await (
      await memory.grow(256)
    ).populated;
    expect(vm.asked).toEqual(['populate 1 80+20']);
  });

  it('is not done to a block that the host has memory for', async () => {
    const { vm, memory } = await open([256], on);
    await (await memory.grow(256)).release();
    vm.asked.length = 0;
    expect((await memory.grow(256)).populated).toBeUndefined();
    expect(vm.asked).toEqual([]);
  });

  it('stops with its instance', async () => {
    const { vm, memory } = await open([1024], { ...on, eagerMiB: 1024 });
    const grant = await memory.grow(1024);
    await grant.release();
    // Of 16 pieces.
    expect(vm.asked.length).toBeLessThan(4);
    expect(await states(memory)).toEqual(['free']);
  });

  it('that fails is told, and harms nothing', async () => {
    const { vm, memory } = await open([256], on);
    vm.faults = { populate: 'refuse' };
    const grant = await memory.grow(256);
    expect(await grant.populated).toEqual({ pages: 0, ms: 0 });
    expect(vm.warnings).toEqual(['memory could not be populated ahead: no memory']);
  });

  it('says that second-level page tables cannot be filled where they cannot', async () => {
    const { memory } = await open([256], { preTdpFault: true });
    expect((await memory.view()).population).toMatchObject({
      preTdpFault: 'unavailable',
      why: 'it has no page tables',
    });
  });
});

describe('giving back', () => {
  it('happens at once where that is said, after the proof', async () => {
    const { vm, memory } = await open([256], { giveBackMs: 0 });
    await (await memory.grow(256)).release();
    await vm.quiet();
    expect(vm.asked).toEqual(['prove 1', 'discard 1']);
    expect(await states(memory)).toEqual(['free']);
  });

  it('never happens where that is said', async () => {
    const { vm, memory } = await open([256], { giveBackMs: -1 });
    await (await memory.grow(256)).release();
    await vm.quiet();
    expect(vm.asked).toEqual([]);
  });

  it('happens after a while where that is said, and not when the block was taken again', async () => {
    const { vm, memory } = await open([256, 256], { giveBackMs: 30 });
    const [first, second] = [await memory.grow(256), await memory.grow(256)];
    await first.release();
    await second.release();
    await memory.grow(256);
    await expect.poll(() => vm.asked).toEqual(['prove 2', 'discard 2']);
    expect(await states(memory)).toEqual(['taken', 'free']);
  });

  it('does not happen without the proof, and is tried again', async () => {
    const { vm, memory } = await open([256], { giveBackMs: 0 });
    vm.held.set(1, 12);
    await (await memory.grow(256)).release();
    await vm.quiet();
    expect(vm.asked).toEqual(['prove 1']);
    vm.held.delete(1);
    await expect
      .poll(() => vm.asked, { timeout: 5000 })
      .toEqual(['prove 1', 'prove 1', 'discard 1']);
  });

  it.each(['refuse', 'die'] as const)('is told when it goes wrong: %s', async (how) => {
    const { vm, memory } = await open([256], { giveBackMs: 0 });
    if (how === 'refuse') vm.faults = { discard: 'refuse' };
    else vm.proofs.set(1, Promise.reject(new Error('no answer')));
    await (await memory.grow(256)).release();
    await vm.quiet();
    expect(vm.warnings[0]).toContain('block 1 of vm-1 could not be given back');
    expect(await states(memory)).toEqual(['free']);
    await memory.close();
  });

  it('lets nobody have the block meanwhile; who waits for it gets it afterwards', async () => {
    const { vm, memory } = await open([256, 512], { giveBackMs: 0 });
    const proof = gate();
    vm.proofs.set(1, proof.passed);
    await (await memory.grow(256)).release();
    // Another one is free: it does not wait.
    const other = await memory.grow(256);
    expect(other.nodes).toEqual([2]);
    const waiting = memory.grow(256);
    await vm.quiet();
    expect(vm.asked).toEqual(['prove 1']);
    expect(await states(memory)).toEqual(['returning', 'taken']);
    proof.open();
    expect((await waiting).nodes).toEqual([1]);
    // Its memory went back before it was taken, not after.
    expect(vm.asked).toEqual(['prove 1', 'discard 1']);
    expect(await states(memory)).toEqual(['taken', 'taken']);
  });

  it('asks nothing of a guest that stands still', async () => {
    const { vm, memory } = await open([256], { giveBackMs: 0 });
    const grant = await memory.grow(256);
    vm.running = false;
    await grant.release();
    await vm.quiet();
    expect(vm.asked).toEqual([]);
  });

  it('is over with the VM, in the middle of a proof too', async () => {
    const { vm, memory } = await open([256, 256], { giveBackMs: 0 });
    const proof = gate();
    vm.proofs.set(1, proof.passed);
    await (await memory.grow(256)).release();
    const closed = memory.close();
    proof.open();
    await closed;
    await memory.close();
    expect(vm.asked).toEqual(['prove 1']);
    await expect(memory.grow(256)).rejects.toMatchObject({ code: 'NO_MEMORY_BLOCK' });
  });
});

describe('the size set by hand', () => {
  it('takes blocks out and puts them in', async () => {
    const { vm, memory } = await open([256, 512, 512]);
    const [first, second] = [await memory.grow(256), await memory.grow(512)];
    await second.release();
    // 220 MiB of base; block 1 is taken, block 2 was used, block 3 never.
    await memory.resize(220 + 256);
    expect(vm.asked).toEqual(['prove 2', 'discard 2']);
    expect(await states(memory)).toEqual(['taken', 'closed', 'closed']);
    expect(memory.summary()).toMatchObject({
      configuredMiB: 1500,
      pluggedMiB: 476,
      grantedMiB: 256,
    });
    expect(memory.fits(1)).toContain('1024 MiB were taken out by hand');
    await memory.resize(220 + 256 + 512);
    expect(await states(memory)).toEqual(['taken', 'free', 'closed']);
    await memory.resize(1500);
    expect(await states(memory)).toEqual(['taken', 'free', 'free']);
    await first.release();
    await memory.resize(220);
    expect(await states(memory)).toEqual(['closed', 'closed', 'closed']);
  });

  it.each([
    [100, 'less than is in use; the nearest that works is 476'],
    [475, 'less than is in use; the nearest that works is 476'],
    [600, 'the nearest that work are 476 and 988'],
    [1501, 'more than the VM can have; the nearest that works is 1500'],
    [1.5, 'is not a whole number of MiB'],
  ])('refuses %d MiB', async (mem, reason) => {
    const { memory } = await open([256, 512, 512]);
    await memory.grow(256);
    await expect(memory.resize(mem)).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      message: expect.stringContaining(reason) as string,
    });
    expect(memory.summary().pluggedMiB).toBe(1500);
  });

  it('stays as it was when the guest does not prove a block free', async () => {
    const { vm, memory } = await open([256, 256]);
    const grants = [await memory.grow(256), await memory.grow(256)];
    await Promise.all(grants.map((grant) => grant.release()));
    vm.held.set(2, 8);
    await expect(memory.resize(208)).rejects.toMatchObject({
      code: 'RESIZE_TIMED_OUT',
      message: 'VM vm-1 keeps its size: block 2 still holds 8 KiB of the guest.',
    });
    expect(vm.asked).not.toContain('discard 2');
    expect(await states(memory)).toEqual(['free', 'free']);
    expect(memory.summary().pluggedMiB).toBe(720);
  });

  it('gives no instance a block that is being taken out', async () => {
    const { vm, memory } = await open([256, 256], { giveBackMs: 0 });
    const proof = gate();
    vm.proofs.set(1, proof.passed);
    await (await memory.grow(256)).release();
    const resized = memory.resize(208);
    await vm.quiet();
    await expect(memory.grow(256)).rejects.toMatchObject({ code: 'NO_MEMORY_BLOCK' });
    proof.open();
    await resized;
    expect(await states(memory)).toEqual(['closed', 'closed']);
    expect(vm.asked).toEqual(['prove 1', 'discard 1']);
  });
});
