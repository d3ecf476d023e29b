import { describe, expect, it } from 'vitest';
import { eagerBytes, KEPT_PEAKS, pieces, withPeak } from './population.js';

const MIB = 1024 * 1024;

describe('eagerBytes', () => {
  const many = Array.from({ length: 10 }, (_, i) => (i + 1) * 10 * MIB);
  it.each([
    ['what is configured, before anything is known', [], 512, 64, 64],
    ['no more than the instance may have', [], 32, 64, 32],
    ['nothing, when that is configured', [], 512, 0, 0],
    ['the one peak that is known', [20 * MIB], 512, 64, 20],
    ['whole huge pages', [20 * MIB + 1], 512, 64, 22],
    ['the highest of a few', [30 * MIB, 10 * MIB, 20 * MIB], 512, 64, 30],
    ['all but the highest tenth of many', many, 512, 64, 90],
    ['nothing for a function that needed nothing', [0], 512, 64, 0],
    ['no more than the limit, whatever was learned', [900 * MIB], 512, 64, 512],
  ])('is %s', (_, peaks, memMiB, firstMiB, expectedMiB) => {
    expect(eagerBytes(peaks, memMiB, firstMiB)).toBe(expectedMiB * MIB);
  });
});

describe('withPeak', () => {
  it('keeps the newest', () => {
    const all = Array.from({ length: KEPT_PEAKS + 3 }, (_, i) => i);
    const kept = all.reduce<number[]>((peaks, bytes) => withPeak(peaks, bytes), []);
    expect(kept).toEqual(all.slice(3));
  });
});

describe('pieces', () => {
  const blocks = [
    { node: 2, memMiB: 100, touchedBytes: 0 },
    { node: 5, memMiB: 100, touchedBytes: 0 },
  ];
  it.each([
    ['nothing', 0, []],
    ['a part of the first block', 10, [[2, 0, 10]]],
    [
      'a large part in several',
      70,
      [
        [2, 0, 64],
        [2, 64, 6],
      ],
    ],
    [
      'the second block after the first',
      101,
      [
        [2, 0, 64],
        [2, 64, 36],
        [5, 0, 1],
      ],
    ],
    [
      'no more than there is',
      1000,
      [
        [2, 0, 64],
        [2, 64, 36],
        [5, 0, 64],
        [5, 64, 36],
      ],
    ],
  ])('are %s', (_, mib, expected) => {
    const found = pieces(blocks, mib * MIB);
    expect(found.map(({ block, offset, bytes }) => [block, offset / MIB, bytes / MIB])).toEqual(
      expected,
    );
  });

  it.each([
    ['the lowest of a new one', 0, 20, [[1, 0, 20]]],
    ['those below the highest that was touched', 60, 20, [[1, 40, 20]]],
    [
      'all that was touched, and more',
      60,
      80,
      [
        [1, 0, 64],
        [1, 64, 16],
      ],
    ],
    [
      'the highest of one that was filled',
      100,
      70,
      [
        [1, 30, 64],
        [1, 94, 6],
      ],
    ],
  ])('begin where the guest does: %s', (_, touchedMiB, mib, expected) => {
    const used = [{ node: 1, memMiB: 100, touchedBytes: touchedMiB * MIB }];
    const found = pieces(used, mib * MIB);
    expect(found.map(({ block, offset, bytes }) => [block, offset / MIB, bytes / MIB])).toEqual(
      expected,
    );
  });
});
