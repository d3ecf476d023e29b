import { describe, expect, it } from 'vitest';
import { CAPABILITIES, ElasticVm, memorySettings } from '../../tests/support/elastic-vm.js';
import { Peaks } from './peaks.js';
import { planMemory, policyMissing } from './policies.js';
import { POLICY_NAMES } from './policy.js';
import { KEPT_PEAKS } from './population.js';
import { staticPolicy } from './static.js';

const MIB = 1024 * 1024;
const wish = { instanceMiB: 256, settings: memorySettings(), capabilities: CAPABILITIES };

describe('a policy', () => {
  it.each(POLICY_NAMES)('%s is to be had where the VMM can do it', (name) => {
    expect(policyMissing(name, CAPABILITIES)).toBeUndefined();
    expect(planMemory(name, wish, CAPABILITIES)).toMatchObject({ policy: name });
  });

  it.each([
    ['balloon', 'it broke'],
    ['virtio-mem', 'fake cannot do it'],
    ['blocks', 'fake cannot do it'],
  ] as const)('%s is refused where it cannot, with the reason', (name, why) => {
    const poor = { ...CAPABILITIES, memory: [], missingMemory: { balloon: 'it broke' } };
    expect(() => planMemory(name, wish, poor)).toThrow(
      expect.objectContaining({
        code: 'OPERATION_UNSUPPORTED',
        details: { field: 'memory_policy' },
        message: `The memory policy ${name} is not to be had here: ${why}.`,
      }),
    );
    expect(planMemory('static', wish, poor)).toMatchObject({ memMiB: 256 });
  });

  it.each(['static', 'balloon', 'virtio-mem'] as const)('%s has no blocks to list', (name) => {
    expect(() => planMemory(name, { ...wish, blocksMiB: [256] }, CAPABILITIES)).toThrow(
      `blocks: only the memory policy blocks has blocks; this VM has ${name}.`,
    );
  });
});

describe('static', () => {
  const open = () => staticPolicy.open(new ElasticVm(staticPolicy.plan(wish)));

  it('gives all to one instance at a time', async () => {
    const memory = await open();
    const grant = await memory.grow(256);
    // The VM itself is its limit.
    expect(grant).toMatchObject({ memMiB: 0 });
    expect(memory.promisedMiB).toBe(256);
    expect(memory.fits(1)).toContain('it holds one instance');
    await expect(memory.grow(1)).rejects.toMatchObject({ code: 'NO_MEMORY_BLOCK' });
    await grant.release();
    const next = await memory.grow(256);
    await grant.release();
    expect(memory.fits(1)).toContain('it holds one instance');
    await next.release();
    expect(memory.fits(256)).toBeUndefined();
  });

  it('limits its instance where that is asked for', async () => {
    const plan = staticPolicy.plan({ ...wish, memMiB: 1024, limited: true });
    const memory = await staticPolicy.open(new ElasticVm(plan));
    expect(await memory.grow(256)).toMatchObject({ memMiB: 256 });
  });

  it('has one size', async () => {
    const memory = await open();
    await expect(memory.resize(512)).rejects.toMatchObject({ code: 'OPERATION_UNSUPPORTED' });
    expect(await memory.view()).toEqual({
      ...{ policy: 'static', configuredMiB: 256, pluggedMiB: 256, grantedMiB: 0, instances: [] },
      ...{ usedByGuestBytes: 100 * MIB, residentBytes: 7 * MIB },
    });
  });
});

describe('Peaks', () => {
  it('keeps the highest of each instance, and the newest instances', () => {
    const stored = new Map<string, readonly number[]>();
    const peaks = new Peaks({
      memoryPeaks: (name) => stored.get(name) ?? [],
      putMemoryPeaks: (name, list) => void stored.set(name, list),
    });
    const [one, two] = [{}, {}];
    peaks.learn('f', one, 10);
    peaks.learn('f', two, 20);
    peaks.learn('f', one, 15);
    peaks.learn('f', two, 5);
    peaks.learn('g', {}, 99);
    expect(peaks.of('f')).toEqual([15, 20]);
    for (let i = 0; i < KEPT_PEAKS; i++) peaks.learn('f', {}, 100 + i);
    // Its lower peak is forgotten by now.
    peaks.learn('f', one, 1000);
    expect(peaks.of('f').at(-1)).toBe(1000);
    expect(peaks.of('f')).toHaveLength(KEPT_PEAKS);
    expect(peaks.of('f')).not.toContain(15);
  });
});
