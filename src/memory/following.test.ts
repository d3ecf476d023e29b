import { describe, expect, it } from 'vitest';
import {
  CAPABILITIES as capabilities,
  ElasticVm,
  memorySettings,
} from '../../tests/support/elastic-vm.js';
import { balloonPolicy } from './balloon.js';
import type { ElasticMemory, MemoryPolicy } from './policy.js';
import { virtioMemPolicy } from './virtio-mem.js';

const settings = memorySettings({ baseMiB: 200, restingMiB: 10 });
const MIB = 1024 * 1024;

/** A VM of 1024 MiB with room for instances of 256 MiB. */
async function open(policy: MemoryPolicy): Promise<{ vm: ElasticVm; memory: ElasticMemory }> {
  const plan = policy.plan({ instanceMiB: 256, memMiB: 1024, settings, capabilities });
  const vm = new ElasticVm(plan, { baseMiB: 200, restingMiB: 10 });
  return { vm, memory: await policy.open(vm) };
}

const instance = (number: number, currentMiB: number) => ({
  instance: number,
  currentBytes: currentMiB * MIB,
  peakBytes: currentMiB * MIB,
  limitBytes: null,
  nodes: [],
});

describe('plans', () => {
  it.each([
    // 200 MiB of its own, and 1/64 of all of it for what describes the memory.
    [balloonPolicy, { memMiB: 1024 }, { memMiB: 1024, baseMiB: 216, maxMiB: 1024 }],
    [balloonPolicy, {}, { memMiB: 1244, baseMiB: 220, maxMiB: 1244 }],
    [virtioMemPolicy, { memMiB: 1024 }, { memMiB: 214, baseMiB: 214, maxMiB: 1024 }],
    [virtioMemPolicy, { memMiB: 1025 }, { memMiB: 213, baseMiB: 213, maxMiB: 1025 }],
    [virtioMemPolicy, { memMiB: 1240 }, { memMiB: 216, baseMiB: 216, maxMiB: 1240 }],
    [virtioMemPolicy, {}, { memMiB: 216, baseMiB: 216, maxMiB: 1240 }],
  ])('$name of %j', (policy, wish, expected) => {
    expect(policy.plan({ instanceMiB: 256, ...wish, settings, capabilities })).toMatchObject({
      ...{ policy: policy.name, instanceMiB: 256 },
      ...expected,
    });
  });

  it.each([balloonPolicy, virtioMemPolicy])('$name holds as many as configured', (policy) => {
    for (const baseMiB of [200, 256, 300, 301]) {
      const wish = { instanceMiB: 128, capabilities };
      for (const instances of [1, 2, 4, 7]) {
        const more = memorySettings({ baseMiB, instances });
        const { maxMiB, baseMiB: base } = policy.plan({ ...wish, settings: more });
        expect(maxMiB - base).toBeGreaterThanOrEqual(instances * 128);
      }
    }
  });

  it.each([balloonPolicy, virtioMemPolicy])('$name refuses what holds no instance', (policy) => {
    expect(() => policy.plan({ instanceMiB: 1024, memMiB: 512, settings, capabilities })).toThrow(
      /mem: 512 MiB are too few for one instance.*the nearest that works is 12\d\d/,
    );
  });
});

describe('virtio-mem', () => {
  it('plugs for each instance and unplugs after it', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    const first = await memory.grow(256);
    const second = await memory.grow(100);
    expect(vm.asked).toEqual(['plugged 256', 'plugged 356']);
    expect(memory.summary()).toMatchObject({ pluggedMiB: 570, grantedMiB: 356 });
    await first.release();
    await first.release();
    await vm.quiet();
    await second.release();
    await vm.quiet();
    expect(vm.asked.slice(2)).toEqual(['plugged 100', 'plugged 0']);
    expect(await memory.view()).toMatchObject({ residentBytes: 5 * MIB, pluggedMiB: 214 });
    await memory.close();
  });

  it('does not unplug what the next instance takes at once', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    const first = await memory.grow(256);
    await first.release();
    await memory.grow(256);
    await vm.quiet();
    expect(vm.asked).toEqual(['plugged 256']);
  });

  it('refuses what is more than is left, and says how much that is', async () => {
    const { memory } = await open(virtioMemPolicy);
    await memory.grow(700);
    expect(memory.fits(110)).toBeUndefined();
    expect(memory.fits(111)).toBe('110 MiB of 1024 MiB are left, 111 MiB are needed');
    await expect(memory.grow(111)).rejects.toMatchObject({ code: 'NO_MEMORY_BLOCK' });
  });

  it('answers a guest that does not get there in time, and gives its room to others', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    vm.faults = { stuckAt: (mib) => (mib > 300 ? 0 : undefined) };
    await expect(memory.grow(512)).rejects.toMatchObject({
      code: 'RESIZE_TIMED_OUT',
      message: expect.stringMatching(
        /did not get to 726 MiB.*it got to 214 MiB and keeps 214 MiB/,
      ) as string,
    });
    expect(memory.summary()).toMatchObject({ pluggedMiB: 214, grantedMiB: 0 });
    await memory.grow(256);
    expect(memory.summary()).toMatchObject({ pluggedMiB: 470, grantedMiB: 256 });
  });

  it('says what the guest kept when it was to give', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    const grant = await memory.grow(256);
    vm.faults = { stuckAt: () => 64 };
    await grant.release();
    await vm.quiet();
    expect(vm.warnings).toEqual([
      'the guest did not give memory back: it got to 278 MiB, not 214 MiB',
    ]);
    expect(memory.summary()).toMatchObject({ pluggedMiB: 470 });
  });

  it('does as the hand says, between what is in use and the most', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    const grant = await memory.grow(256);
    await memory.resize(1024);
    expect(memory.summary().pluggedMiB).toBe(1024);
    for (const [mem, near] of [
      [468, 470],
      [1025, 1024],
      [501, '500 and 502'],
    ]) {
      await expect(memory.resize(Number(mem))).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining(String(near)) as string,
      });
    }
    await memory.resize(500);
    await grant.release();
    await vm.quiet();
    // It stays at what the hand has set, although nobody needs it.
    expect(memory.summary().pluggedMiB).toBe(500);
    await memory.resize(214);
    expect(memory.summary().pluggedMiB).toBe(214);
  });

  it('counts what the guest itself uses', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    await memory.resize(1024);
    vm.usedMiB = 600;
    await expect(memory.resize(400)).rejects.toThrow('the nearest that works is 600');
  });

  it('keeps its size when the guest does not answer the hand', async () => {
    const { vm, memory } = await open(virtioMemPolicy);
    vm.faults = { stuckAt: (mib) => (mib === 786 ? 0 : undefined) };
    await expect(memory.resize(1000)).rejects.toMatchObject({ code: 'RESIZE_TIMED_OUT' });
    expect(memory.summary().pluggedMiB).toBe(214);
  });
});

describe('balloon', () => {
  it('leaves the guest what running invocations need', async () => {
    const { vm, memory } = await open(balloonPolicy);
    expect(memory.summary().pluggedMiB).toBe(1024);
    const grant = await memory.grow(256);
    await vm.quiet();
    expect(vm.asked).toEqual(['balloon 472']);
    // Between invocations: what the instance uses, and a little.
    vm.instances = [instance(1, 40)];
    grant.rest(1);
    await vm.quiet();
    await grant.engage();
    expect(vm.asked.slice(1)).toEqual(['balloon 266', 'balloon 472']);
    await grant.release();
    await vm.quiet();
    expect(vm.asked.slice(3)).toEqual(['balloon 216']);
  });

  it('takes nothing from an instance that is at work again', async () => {
    const { vm, memory } = await open(balloonPolicy);
    const grant = await memory.grow(256);
    await vm.quiet();
    vm.instances = [instance(1, 40)];
    grant.rest(1);
    await grant.engage();
    await vm.quiet();
    expect(vm.asked).toEqual(['balloon 472']);
  });

  it('takes no more than an instance has, however much it uses', async () => {
    const { vm, memory } = await open(balloonPolicy);
    const grant = await memory.grow(256);
    await vm.quiet();
    vm.instances = [instance(1, 250)];
    grant.rest(1);
    await vm.quiet();
    expect(vm.asked).toEqual(['balloon 472']);
  });

  it('fails an invocation whose memory does not come, and tries again for the next', async () => {
    const { vm, memory } = await open(balloonPolicy);
    const grant = await memory.grow(256);
    vm.instances = [instance(1, 40)];
    grant.rest(1);
    await vm.quiet();
    vm.faults = { stuckAt: () => 300 };
    await expect(grant.engage()).rejects.toMatchObject({ code: 'RESIZE_TIMED_OUT' });
    vm.faults = {};
    await grant.engage();
    expect(memory.summary().pluggedMiB).toBe(472);
  });

  it.each([true, false])(
    'knows what the guest uses: what is taken counts as used: %s',
    async (counts) => {
      const { vm, memory } = await open(balloonPolicy);
      vm.countsBalloon = counts;
      await memory.resize(400);
      vm.usedMiB = 300;
      expect(await memory.view()).toMatchObject({ usedByGuestBytes: 300 * MIB, pluggedMiB: 400 });
      await expect(memory.resize(250)).rejects.toThrow('the nearest that works is 300');
    },
  );

  it('asks nothing of a guest that stands still', async () => {
    const { vm, memory } = await open(balloonPolicy);
    vm.running = false;
    expect(await memory.view()).not.toHaveProperty('usedByGuestBytes');
    vm.running = true;
    expect(await memory.view()).toMatchObject({ usedByGuestBytes: 100 * MIB });
  });
});
