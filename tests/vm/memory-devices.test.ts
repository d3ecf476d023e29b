/**
 * The memory devices of QEMU with a real kernel that uses them: whose memory a process gets, what the
 * host gets back, and what becomes of a guest that does not do what is asked.
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  bootMachine,
  restoreMachine,
  type Machine,
  type MachineSpec,
  type MemoryLayout,
  type SnapshotFiles,
  type VmMemory,
} from '../../src/vmm/index.js';
import { MemoryGuest, memoryGuestInitrd } from '../support/memory-guest.js';
import { descriptorsOf, statusOf } from '../support/processes.js';
import { qemuUnderTest, type QemuUnderTest } from '../support/qemu.js';

const MIB = 1024 * 1024;
const PAGES_PER_MIB = 256;
const MEM_MIB = 192;
const BLOCKS = { blocks: [{ memMiB: 128 }, { memMiB: 64 }] } as const;
/** What the guest is asked for while it cannot do it: it is given up soon. */
const SHORT_MS = 500;

let under: QemuUnderTest;
let initrdPath: string;
const machines: Machine[] = [];

beforeAll(async () => {
  under = await qemuUnderTest('sparkler-memory', {});
  initrdPath = memoryGuestInitrd(under.dir, under.kernelPath);
});
afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.close()));
  expect(under.leftovers()).toEqual([]);
});
afterAll(() => under.dispose());

interface Vm {
  readonly machine: Machine;
  readonly memory: VmMemory;
  readonly guest: MemoryGuest;
}

function specWith(memory: MemoryLayout): MachineSpec {
  const dir = mkdtempSync(join(under.dir, 'vm-'));
  const { kernelPath } = under;
  const vmId = `memory-${randomBytes(4).toString('hex')}`;
  const sizes = { vcpus: 1, memMiB: MEM_MIB, memory };
  return { vmId, ...sizes, kernelPath, initrdPath, kernelArgs: '', drives: [], dir };
}

function vmOf(machine: Machine): Vm {
  machines.push(machine);
  if (!machine.memory) throw new TypeError('the machine has no elastic memory');
  return { machine, memory: machine.memory, guest: new MemoryGuest(machine.channel) };
}

/** @param modules what the guest loads; without them it is deaf. */
async function boot(memory: MemoryLayout, modules: readonly string[]): Promise<Vm> {
  const vm = vmOf(await bootMachine(under.driver, specWith(memory), under.config.timeouts));
  await vm.guest.ready();
  for (const module of modules) await vm.guest.load(module);
  return vm;
}

async function withBlocks(): Promise<Vm> {
  const vm = await boot(BLOCKS, ['virtio_mem']);
  const done = await vm.memory.ready(under.config.timeouts.bootMs);
  expect(done).toMatchObject({ reached: true, mib: 192 });
  for (const [k, { memMiB }] of BLOCKS.blocks.entries()) {
    await managed(vm, k + 1, memMiB * PAGES_PER_MIB);
  }
  return vm;
}

/** The guest uses what it has plugged in some moments after it has said so. */
async function managed({ guest }: Vm, node: number, pages: number): Promise<void> {
  while ((await guest.node(node)).managed < pages) await sleep(10);
}

async function restore(files: SnapshotFiles, memory: MemoryLayout): Promise<Vm> {
  const { driver, config } = under;
  const source = { kind: 'file' } as const;
  const vm = vmOf(await restoreMachine(driver, specWith(memory), files, source, config.timeouts));
  await vm.machine.resume();
  return vm;
}

async function snapshot({ machine }: Vm): Promise<SnapshotFiles> {
  const name = join(under.dir, randomBytes(4).toString('hex'));
  const files = { memoryPath: `${name}.memory`, statePath: `${name}.state` };
  await machine.pause();
  await machine.snapshot(files);
  return files;
}

const residentOf = async ({ memory }: Vm): Promise<number[]> =>
  (await memory.state()).blocks.map((block) => block.residentBytes);

const faultsOf = async ({ machine }: Vm): Promise<number> => (await machine.stats()).minorFaults;

/** The bytes of a block as the host has them. */
function blockBytes(machine: Machine, block: number): Buffer {
  const pid = machine.pid ?? 0;
  const memfds = [...descriptorsOf(pid)].filter(([, to]) => to.includes('sparkler-block'));
  const [fd] = memfds[block - 1] ?? [];
  const file = openSync(`/proc/${pid}/fd/${fd}`, 'r');
  try {
    const bytes = Buffer.alloc(128 * MIB);
    expect(readSync(file, bytes)).toBe(bytes.length);
    return bytes;
  } finally {
    closeSync(file);
  }
}

const isZero = (bytes: Buffer): boolean => bytes.equals(Buffer.alloc(bytes.length));

describe('blocks', () => {
  it('are all that a bound process gets, are wholly free after it, and go back to the host', async () => {
    const vm = await withBlocks();
    const { guest, machine, memory } = vm;
    expect(await residentOf(vm)).toEqual([0, 0]);
    const whole = [128, 64].map((mib) => mib * PAGES_PER_MIB);
    for (const [k, pages] of whole.entries()) {
      expect(await guest.node(k + 1)).toEqual({ managed: pages, free: pages });
    }
    const [one, two] = [await guest.take(1, 48), await guest.take(2, 32)];
    expect(one.pages).toEqual({ 1: 48 * PAGES_PER_MIB });
    expect(two.pages).toEqual({ 2: 32 * PAGES_PER_MIB });
    const [first = 0, second = 0] = await residentOf(vm);
    expect(first).toBeGreaterThanOrEqual(48 * MIB);
    expect(second).toBeGreaterThanOrEqual(32 * MIB);
    expect((await memory.state()).residentBytes).toBeGreaterThan(first + second);
    expect(isZero(blockBytes(machine, 1))).toBe(false);
    await guest.end(one);
    expect(await guest.node(1)).toEqual({ managed: whole[0], free: whole[0] });
    await memory.discard(1);
    expect(await residentOf(vm)).toEqual([0, second]);
    expect(isZero(blockBytes(machine, 1))).toBe(true);
    // The neighbour did not notice, and the next one finds the block as good as new.
    expect(await guest.intact(two)).toBe(32 * PAGES_PER_MIB);
    const next = await guest.take(1, 100);
    expect(next.pages).toEqual({ 1: 100 * PAGES_PER_MIB });
    expect(await guest.intact(next)).toBe(100 * PAGES_PER_MIB);
  });

  it('leave no host faults for the guest once they are populated', async () => {
    const vm = await withBlocks();
    const { guest, memory } = vm;
    const before = await faultsOf(vm);
    const lazily = await guest.take(2, 48);
    const lazy = (await faultsOf(vm)) - before;
    expect(lazy).toBeGreaterThanOrEqual(48 * PAGES_PER_MIB);
    await guest.end(lazily);
    await memory.discard(2);
    expect((await memory.populate(2, 0, 64 * MIB)).pages).toBe(64 * PAGES_PER_MIB);
    expect(await residentOf(vm)).toEqual([0, 64 * MIB]);
    const ahead = await faultsOf(vm);
    await guest.take(2, 48);
    expect((await faultsOf(vm)) - ahead).toBeLessThan(lazy / 100);
    expect(await residentOf(vm)).toEqual([0, 64 * MIB]);
  });

  it('are populated for one while another is used and a third thing is asked', async () => {
    const vm = await withBlocks();
    const { guest, memory } = vm;
    const populating = memory.populate(1, 0, 128 * MIB);
    const [taken, state] = await Promise.all([guest.take(1, 64), memory.state()]);
    await populating;
    expect(taken.pages).toEqual({ 1: 64 * PAGES_PER_MIB });
    expect(state.blocks).toHaveLength(2);
    expect(await guest.intact(taken)).toBe(64 * PAGES_PER_MIB);
    expect((await residentOf(vm))[0]).toBe(128 * MIB);
  });

  it('come with a clone that is forked from a template', async () => {
    const { memory, machine } = await withBlocks();
    const files = await snapshot({ machine } as Vm);
    expect((await memory.state()).blocks).toHaveLength(2);
    const isForked = (vm: Vm): boolean =>
      Number(statusOf(vm.machine.pid ?? 0, 'PPid')) !== process.pid;
    for (let attempt = 0; ; attempt++) {
      const clone = await restore(files, BLOCKS);
      const taken = await clone.guest.take(2, 16);
      expect(taken.pages).toEqual({ 2: 16 * PAGES_PER_MIB });
      await clone.memory.populate(1, 0, MIB);
      const [first, second = 0] = await residentOf(clone);
      expect(first).toBe(MIB);
      expect(second).toBeGreaterThanOrEqual(16 * MIB);
      if (isForked(clone)) break;
      expect(attempt).toBeLessThan(20);
      await sleep(250);
    }
  });
});

describe('memory that is plugged in', () => {
  const LAYOUT = { hotplug: { maxMiB: 256 } } as const;

  it('comes and goes as often as it is asked for, and costs the host what is used', async () => {
    const vm = await boot(LAYOUT, ['virtio_mem']);
    const { guest, memory } = vm;
    const { pauseMs } = under.config.timeouts;
    const { managed: own } = await guest.node(0);
    for (const mib of [128, 256, 2, 130, 0, 256, 0]) {
      expect(await memory.setPlugged(mib, pauseMs)).toMatchObject({ reached: true, mib });
    }
    const before = (await memory.state()).residentBytes;
    await memory.setPlugged(256, pauseMs);
    await managed(vm, 0, own + 256 * PAGES_PER_MIB);
    const taken = await guest.take(0, 160);
    const used = (await memory.state()).residentBytes;
    expect(used - before).toBeGreaterThan(100 * MIB);
    await guest.end(taken);
    expect(await memory.setPlugged(0, pauseMs)).toMatchObject({ reached: true });
    expect((await memory.state()).residentBytes).toBeLessThan(used - 50 * MIB);
  });

  it('stays when the guest cannot spare it, and nothing is lost', async () => {
    const vm = await boot(LAYOUT, ['virtio_mem']);
    const { guest, memory, machine } = vm;
    const { pauseMs } = under.config.timeouts;
    const { managed: own } = await guest.node(0);
    await memory.setPlugged(256, pauseMs);
    await managed(vm, 0, own + 256 * PAGES_PER_MIB);
    const taken = await guest.take(0, 280);
    const refused = await memory.setPlugged(0, SHORT_MS);
    expect(refused.reached).toBe(false);
    expect(machine.state).toBe('running');
    expect(await guest.intact(taken)).toBe(280 * PAGES_PER_MIB);
    // The old size is wanted again: what had gone comes back.
    await guest.end(taken);
    expect(await memory.setPlugged(256, pauseMs)).toMatchObject({ reached: true, mib: 256 });
    expect(await memory.setPlugged(0, pauseMs)).toMatchObject({ reached: true, mib: 0 });
  });
});

describe('a balloon', () => {
  const LAYOUT = { balloon: { freePageReporting: false } } as const;

  it('gives the host what the guest leaves it, and takes it back', async () => {
    const { guest, memory } = await boot(LAYOUT, ['virtio_balloon']);
    const { pauseMs } = under.config.timeouts;
    await guest.end(await guest.take(0, 96));
    const before = (await memory.state()).residentBytes;
    expect(await memory.setBalloon(96, pauseMs)).toMatchObject({ reached: true, mib: 96 });
    const after = await memory.state();
    expect(after.balloonMiB).toBe(96);
    expect(before - after.residentBytes).toBeGreaterThan(40 * MIB);
    expect(await memory.setBalloon(MEM_MIB, pauseMs)).toMatchObject({ reached: true });
    const taken = await guest.take(0, 96);
    expect(await guest.intact(taken)).toBe(96 * PAGES_PER_MIB);
  });

  it('leaves a guest what it cannot spare', async () => {
    const { guest, memory, machine } = await boot(LAYOUT, ['virtio_balloon']);
    const taken = await guest.take(0, 64);
    const refused = await memory.setBalloon(8, 2 * SHORT_MS);
    expect(refused.reached).toBe(false);
    expect(refused.mib).toBeGreaterThan(64);
    expect(machine.state).toBe('running');
    expect(await guest.intact(taken)).toBe(64 * PAGES_PER_MIB);
    const { pauseMs } = under.config.timeouts;
    expect(await memory.setBalloon(MEM_MIB, pauseMs)).toMatchObject({ reached: true });
  });

  it('of a clone gives back what is the clone’s own, and leaves the snapshot as it was', async () => {
    const vm = await boot(LAYOUT, ['virtio_balloon']);
    const files = await snapshot(vm);
    const digest = (): string =>
      createHash('sha256').update(readFileSync(files.memoryPath)).digest('hex');
    const before = digest();
    const { pauseMs } = under.config.timeouts;
    const originals = await Promise.all([
      restore(files, LAYOUT),
      vm.machine.resume().then(() => vm),
    ]);
    for (const { guest, memory, machine } of originals) {
      await guest.end(await guest.take(0, 96));
      const full = (await memory.state()).residentBytes;
      expect(await memory.setBalloon(96, pauseMs)).toMatchObject({ reached: true, mib: 96 });
      expect(full - (await memory.state()).residentBytes).toBeGreaterThan(40 * MIB);
      expect(machine.vmmLog()).toBe('');
      expect(await memory.setBalloon(MEM_MIB, pauseMs)).toMatchObject({ reached: true });
      const taken = await guest.take(0, 96);
      expect(await guest.intact(taken)).toBe(96 * PAGES_PER_MIB);
    }
    expect(digest()).toBe(before);
  });

  it('has the guest report its free pages, where that is wanted', async () => {
    const layout = { balloon: { freePageReporting: true } };
    const { guest, memory } = await boot(layout, ['virtio_balloon']);
    const taken = await guest.take(0, 96);
    const used = (await memory.state()).residentBytes;
    await guest.end(taken);
    const freed = async (): Promise<number> => used - (await memory.state()).residentBytes;
    // The guest reports some seconds after it freed them.
    for (let k = 0; k < 300 && (await freed()) < 64 * MIB; k++) await sleep(100);
    expect(await freed()).toBeGreaterThanOrEqual(64 * MIB);
  });

  it('says what the guest has, some seconds after it has come', async () => {
    const { memory } = await boot(LAYOUT, ['virtio_balloon']);
    const stats = async () => (await memory.state()).guestStats;
    for (let k = 0; k < 300 && !(await stats()); k++) await sleep(100);
    const { totalBytes = 0, freeBytes = 0 } = (await stats()) ?? {};
    expect(totalBytes).toBeGreaterThan(100 * MIB);
    expect(freeBytes).toBeLessThan(totalBytes);
  });
});

describe('a guest without drivers', () => {
  it('is given up, keeps what it has, and hears the old wish when it comes round', async () => {
    const layout = { balloon: { freePageReporting: false }, hotplug: { maxMiB: 128 }, ...BLOCKS };
    const { guest, memory, machine } = await boot(layout, []);
    const { bootMs, pauseMs } = under.config.timeouts;
    const deaf = { reached: false };
    expect(await memory.ready(SHORT_MS)).toMatchObject({ ...deaf, mib: 0 });
    expect(await memory.setPlugged(128, SHORT_MS)).toMatchObject({ ...deaf, mib: 0 });
    expect(await memory.setBalloon(128, SHORT_MS)).toMatchObject({ ...deaf, mib: MEM_MIB });
    expect(machine.state).toBe('running');
    await guest.load('virtio_mem');
    await guest.load('virtio_balloon');
    expect(await memory.ready(bootMs)).toMatchObject({ reached: true, mib: 192 });
    expect(await memory.state()).toMatchObject({ pluggedMiB: 0, balloonMiB: MEM_MIB });
    expect(await memory.setPlugged(128, pauseMs)).toMatchObject({ reached: true });
  });
});
