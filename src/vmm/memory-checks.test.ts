import { describe, expect, it } from 'vitest';
import type { VmmCapabilities } from './driver.js';
import { FakeDriver } from './fake/index.js';
import { checkForkable, checkMemoryLayout, checkSize, nearestSize } from './memory-checks.js';
import type { MemoryLayout } from './memory.js';

describe('the nearest size that works', () => {
  it.each([
    [100, 2, 0, 256, 100],
    [101, 2, 0, 256, 102],
    [99.9, 2, 0, 256, 100],
    [300, 2, 0, 256, 256],
    [300, 2, 0, 255, 254],
    [-5, 2, 0, 256, 0],
    [1, 2, 2, Infinity, 2],
    [0, 128, 1, Infinity, 128],
    [Number.NaN, 2, 0, 256, 0],
    [Infinity, 2, 0, 256, 0],
  ])('%d MiB in steps of %d from %d to %d is %d', (mib, step, least, most, nearest) => {
    expect(nearestSize(mib, step, least, most)).toBe(nearest);
  });

  it('is in what a wrong size is answered with', () => {
    expect(() => checkSize('It', 254, 2, [0, 256])).not.toThrow();
    expect(() => checkSize('It', 255, 2, [0, 256])).toThrow(
      'It cannot be 255 MiB: it is a multiple of 2, 0 to 256. The nearest is 256.',
    );
    expect(() => checkSize('It', 0, 2, [2, Infinity])).toThrow('2 or more. The nearest is 2.');
  });
});

describe('what a machine is made with', () => {
  const { capabilities } = new FakeDriver({ guest: () => ({ save: () => null, stop: () => {} }) });
  const check = (memory: MemoryLayout, other: Partial<VmmCapabilities> = {}) =>
    checkMemoryLayout({ memMiB: 64, memory }, { ...capabilities, ...other });
  const all = { balloon: { freePageReporting: false }, hotplug: { maxMiB: 64 } };

  it('is what its VMM can do', () => {
    expect(() => check({ ...all, blocks: [{ memMiB: 2 }] })).not.toThrow();
    expect(() => check({}, { memory: [] })).not.toThrow();
    expect(() => check({ blocks: [] }, { memory: [] })).not.toThrow();
  });

  it.each([
    ['balloon', { balloon: { freePageReporting: true } }],
    ['hotplug', { hotplug: { maxMiB: 2 } }],
    ['blocks', { blocks: [{ memMiB: 2 }] }],
  ] as const)('is refused with the reason: %s', (feature, layout) => {
    const memory = capabilities.memory.filter((name) => name !== feature);
    const lacking = { memory, missingMemory: { [feature]: 'the moon is full' } };
    expect(() => check(layout, lacking)).toThrow(
      expect.objectContaining({
        code: 'OPERATION_UNSUPPORTED',
        message: expect.stringContaining('the moon is full') as string,
      }) as Error,
    );
  });

  it.each([
    [{ hotplug: { maxMiB: 0 } }, 'The nearest is 2.'],
    [{ hotplug: { maxMiB: 63 } }, 'The nearest is 64.'],
    [{ hotplug: { maxMiB: 64, stepMiB: 128 } }, 'The nearest is 128.'],
    [{ hotplug: { maxMiB: 64, stepMiB: 1 } }, 'steps of 1 MiB: they are 2, doubled some times'],
    [{ hotplug: { maxMiB: 64, stepMiB: 6 } }, 'steps of 6 MiB'],
    [{ blocks: [{ memMiB: 64 }, { memMiB: 1 }] }, 'The nearest is 2.'],
    [{ blocks: Array.from({ length: 65 }, () => ({ memMiB: 2 })) }, '64 blocks of memory, not 65'],
  ])('has sizes that its VMM can make: %j', (layout, message) => {
    expect(() => check(layout)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        message: expect.stringContaining(message) as string,
      }) as Error,
    );
  });
});

describe('a VM whose VMM is to be forked', () => {
  it.each([undefined, {}, { balloon: { freePageReporting: true } }, { blocks: [] }])(
    'may have %j',
    (memory) => {
      expect(() => checkForkable({ vmId: 'vm', ...(memory && { memory }) })).not.toThrow();
    },
  );

  it.each([{ hotplug: { maxMiB: 2 } }, { blocks: [{ memMiB: 2 }] }])(
    'may not have %j, which both would write to',
    (memory) => {
      const refused = expect.objectContaining({ code: 'OPERATION_UNSUPPORTED' }) as Error;
      expect(() => checkForkable({ vmId: 'vm', memory })).toThrow(refused);
    },
  );
});
