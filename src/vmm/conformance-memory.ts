/** The part of the driver suite about memory that changes while its machine runs. */
import { expect, it } from 'vitest';
import type { Bench, Vm } from './conformance-bench.js';
import type { VmState } from './driver.js';
import { bootMachine } from './machine.js';
import { MIB, PAGE_BYTES, type MemoryFeature, type MemoryLayout, type VmMemory } from './memory.js';

/** Blocks and plugged memory as a driver must have them, whatever its steps. */
const LAYOUT = {
  balloon: { freePageReporting: false },
  hotplug: { maxMiB: 256 },
  blocks: [{ memMiB: 128 }, { memMiB: 64 }],
} as const satisfies MemoryLayout;
const CONFIGURED_MIB = 256 + 128 + 64;
const PLUGGED_MIB = 128;

const NOTHING_ASKED = 'this driver cannot do all of it';

export function elasticMemory(bench: Bench): void {
  const features: readonly MemoryFeature[] = ['balloon', 'hotplug', 'blocks'];
  const has = (feature: MemoryFeature): boolean =>
    bench.under.driver.capabilities.memory.includes(feature);

  it('has no elastic memory unless it was made with it', async () => {
    const { machine } = await bench.vm();
    expect(machine.memory).toBeUndefined();
  });

  it('says of each feature that it has it, or why not', () => {
    const { memory, missingMemory } = bench.under.driver.capabilities;
    for (const feature of [...features, 'prefault'] as const) {
      expect(memory.includes(feature), feature).toBe(missingMemory?.[feature] === undefined);
    }
  });

  it('refuses a machine that it cannot make, with the nearest that works', async () => {
    const { driver, limits } = bench.under;
    const spec = await bench.spec();
    const boot = (memory: MemoryLayout) => bootMachine(driver, { ...spec, memory }, limits);
    const step = driver.capabilities.memorySteps.blockMiB;
    const nearest = `The nearest is ${64 * step}.`;
    const blocks = [{ memMiB: 64 * step + 0.25 }];
    await expect(boot({ blocks })).rejects.toMatchObject(
      has('blocks')
        ? { code: 'INVALID_REQUEST', message: expect.stringContaining(nearest) as string }
        : { code: 'OPERATION_UNSUPPORTED' },
    );
  });

  it('gives and takes memory while it runs', async (context) => {
    if (!features.every(has)) context.skip(NOTHING_ASKED);
    const vm = await bench.boot(LAYOUT);
    const memory = memoryOf(vm);
    await blocks(bench, memory);
    await plugged(bench, memory);
    await balloon(bench, memory);
    await refusals(vm, memory);
    expect(await bench.add(vm, 1)).toBe(1);
    await states(bench, vm, memory);
  });

  it('snapshots it when all of it is unused, and else refuses', async (context) => {
    if (!features.every(has)) context.skip(NOTHING_ASKED);
    const vm = await bench.boot(LAYOUT);
    const { pauseMs } = bench.under.limits;
    const memory = memoryOf(vm);
    await memory.ready(bench.under.bootMs);
    expect(await bench.add(vm, 5)).toBe(5);
    const kept = bench.under.memMiB - 16;
    expect(await memory.setBalloon(kept, pauseMs)).toMatchObject({ reached: true });
    await memory.populate(2, 0, MIB);
    await vm.machine.pause();
    await expect(bench.take(vm.machine)).rejects.toMatchObject({ code: 'OPERATION_UNSUPPORTED' });
    await vm.machine.resume();
    await memory.discard(2);
    const files = await bench.snapshot(vm);
    const clone = await bench.restore(files, vm.session.instances, LAYOUT);
    expect(await bench.add(clone, 1)).toBe(6);
    const its = memoryOf(clone);
    expect(await its.ready(pauseMs)).toMatchObject({ reached: true, mib: 192 });
    expect((await its.state()).balloonMiB).toBe(kept);
    expect(await its.setBalloon(bench.under.memMiB, pauseMs)).toMatchObject({ reached: true });
    expect(await its.setPlugged(PLUGGED_MIB, pauseMs)).toMatchObject({ reached: true });
    await its.populate(1, 0, MIB);
    expect((await its.state()).blocks.map((block) => block.residentBytes)).toEqual([MIB, 0]);
    expect(await bench.add(clone, 1)).toBe(7);
  });
}

function memoryOf({ machine }: Vm): VmMemory {
  if (machine.memory === undefined) throw new TypeError('the machine has no elastic memory');
  return machine.memory;
}

async function blocks(bench: Bench, memory: VmMemory): Promise<void> {
  expect(await memory.ready(bench.under.bootMs)).toMatchObject({ reached: true, mib: 192 });
  const before = await memory.state();
  expect(before).toMatchObject({
    configuredMiB: bench.under.memMiB + CONFIGURED_MIB,
    pluggedMiB: 0,
    balloonMiB: bench.under.memMiB,
    blocks: [
      { memMiB: 128, pluggedMiB: 128, residentBytes: 0 },
      { memMiB: 64, pluggedMiB: 64, residentBytes: 0 },
    ],
  });
  expect(before.residentBytes).toBeGreaterThan(0);
  const { pages } = await memory.populate(2, 8 * MIB, 16 * MIB);
  expect(pages).toBe((16 * MIB) / PAGE_BYTES);
  await memory.populate(2, 16 * MIB, 16 * MIB);
  await memory.populate(1, 0, MIB);
  const resident = async () => (await memory.state()).blocks.map((block) => block.residentBytes);
  expect(await resident()).toEqual([MIB, 24 * MIB]);
  await memory.discard(2);
  expect(await resident()).toEqual([MIB, 0]);
  await memory.discard(1);
  expect(await resident()).toEqual([0, 0]);
}

async function plugged(bench: Bench, memory: VmMemory): Promise<void> {
  const { pauseMs } = bench.under.limits;
  const grown = await memory.setPlugged(PLUGGED_MIB, pauseMs);
  expect(grown).toMatchObject({ reached: true, mib: PLUGGED_MIB });
  expect((await memory.state()).pluggedMiB).toBe(PLUGGED_MIB);
  expect(await memory.setPlugged(0, pauseMs)).toMatchObject({ reached: true, mib: 0 });
  // What it has already is there at once.
  expect(await memory.setPlugged(0, pauseMs)).toMatchObject({ reached: true, mib: 0 });
}

async function balloon(bench: Bench, memory: VmMemory): Promise<void> {
  const { limits, memMiB } = bench.under;
  const before = (await memory.state()).residentBytes;
  // A quarter, so that a small guest is left enough.
  const less = Math.ceil(memMiB * 0.75);
  const inflated = await memory.setBalloon(less, limits.pauseMs);
  expect(inflated).toMatchObject({ reached: true, mib: less });
  const after = await memory.state();
  expect(after.balloonMiB).toBe(less);
  expect(after.residentBytes).toBeLessThanOrEqual(before);
  const deflated = await memory.setBalloon(memMiB, limits.pauseMs);
  expect(deflated).toMatchObject({ reached: true, mib: memMiB });
}

async function refusals(vm: Vm, memory: VmMemory): Promise<void> {
  const nearest = (mib: number) => ({
    code: 'INVALID_REQUEST',
    message: expect.stringContaining(`The nearest is ${mib}.`) as string,
  });
  await expect(memory.setPlugged(100_000, 1)).rejects.toMatchObject(nearest(256));
  await expect(memory.setPlugged(-2, 1)).rejects.toMatchObject(nearest(0));
  const { memMiB } = vm.machine.spec;
  await expect(memory.setBalloon(memMiB + 1, 1)).rejects.toMatchObject(nearest(memMiB));
  for (const [block, offset, bytes] of [
    [0, 0, MIB],
    [3, 0, MIB],
    [2, 1, MIB],
    [2, 0, 64 * MIB + PAGE_BYTES],
    [2, -PAGE_BYTES, MIB],
  ] as const) {
    const done = memory.populate(block, offset, bytes);
    await expect(done, `${block}, ${offset}, ${bytes}`).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    });
  }
  await expect(memory.discard(3)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
}

/** Each operation of the machine's memory, in the states in which it is not legal. Ends the VM. */
async function states(bench: Bench, { machine }: Vm, memory: VmMemory): Promise<void> {
  const refused = async (state: VmState): Promise<void> => {
    await bench.bring(machine, state);
    const attempts = [
      memory.ready(1),
      memory.setBalloon(bench.under.memMiB, 1),
      memory.setPlugged(0, 1),
      memory.populate(1, 0, PAGE_BYTES),
      memory.discard(1),
    ];
    for (const attempt of attempts) {
      await expect(attempt, state).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    }
  };
  await refused('paused');
  expect((await memory.state()).pluggedMiB).toBe(0);
  await machine.resume();
  await refused('failed');
  await expect(memory.state()).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
  await refused('closed');
}
