import { describe, expect, it } from 'vitest';
import { loadingSet, overlayRegions, type LoadingSetOptions } from './loading-set.js';
import type { GroupedRun, Run } from './runs.js';

/** A bitmap from a row of `1` and `0`, page 0 first. */
function bitmap(row: string): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(row.length / 8));
  for (let page = 0; page < row.length; page++) {
    if (row[page] === '1') bytes[page >> 3] = (bytes[page >> 3] ?? 0) | (1 << (page & 7));
  }
  return bytes;
}
const groups = (row: string): Uint16Array => Uint16Array.from(row, Number);
const run = (page: number, pages: number, group: number): GroupedRun => ({ page, pages, group });

describe('the overlay regions', () => {
  it.each<[string, string, { intervalThreshold?: number; sizeThreshold?: number }, Run[]]>([
    ['keep page 0', '1000', { intervalThreshold: 0 }, [{ page: 0, pages: 1 }]],
    ['absorb small gaps', '1001', { intervalThreshold: 3 }, [{ page: 0, pages: 4 }]],
    ['but not zeros at the end', '01100', { intervalThreshold: 3 }, [{ page: 1, pages: 2 }]],
    [
      'drop small regions after that',
      '101001',
      { intervalThreshold: 2, sizeThreshold: 2 },
      [{ page: 0, pages: 3 }],
    ],
    ['are none in zeros', '0000', {}, []],
  ])('%s', (_, row, options, expected) => {
    expect(overlayRegions(bitmap(row), row.length, options)).toEqual(expected);
  });

  it('absorb fewer than 32 zero pages when nobody says otherwise', () => {
    const at = (gap: number): Run[] => {
      const row = `1${'0'.repeat(gap)}1`;
      return overlayRegions(bitmap(row), row.length);
    };
    expect(at(31)).toHaveLength(1);
    expect(at(32)).toHaveLength(2);
  });
});

describe('the loading set', () => {
  //            page 0123456789
  const nonZero = '1011010010';
  const layers = '2210030010';
  const exact = { intervalThreshold: 0 };
  it.each<[string, LoadingSetOptions, GroupedRun[]]>([
    [
      'pages in a group that are not zero',
      exact,
      [run(2, 1, 1), run(8, 1, 1), run(0, 1, 2), run(5, 1, 3)],
    ],
    [
      'also zero pages in a group',
      { ...exact, zeroWs: true },
      [run(0, 3, 1), run(8, 1, 1), run(5, 1, 3)],
    ],
    [
      'also pages in no group; they come last',
      { ...exact, inactiveWs: true, sizeThreshold: 0 },
      [run(2, 2, 1), run(8, 1, 1), run(0, 1, 2), run(5, 1, 3)],
    ],
    [
      'joined over small gaps',
      { intervalThreshold: 2 },
      [run(0, 3, 1), run(8, 1, 1), run(5, 1, 3)],
    ],
    ['without short ones', { ...exact, inactiveWs: true, sizeThreshold: 2 }, [run(2, 2, 1)]],
  ])('has %s', (_, options, expected) => {
    expect(loadingSet(groups(layers), bitmap(nonZero), options)).toEqual(expected);
  });

  it('puts pages that are in no group behind all groups', () => {
    expect(loadingSet(groups('0009'), bitmap('1001'), { ...exact, inactiveWs: true })).toEqual([
      run(3, 1, 9),
      run(0, 1, 0),
    ]);
  });

  it('sorts by page within a group, also within none', () => {
    const options = { ...exact, inactiveWs: true };
    expect(
      loadingSet(groups('0001000'), bitmap('1010100'), options).map(({ page }) => page),
    ).toEqual([0, 2, 4]);
  });

  it('does not join regions over 8 pages when nobody says otherwise', () => {
    const row = `1${'0'.repeat(8)}1`;
    expect(loadingSet(groups(row), bitmap(row))).toHaveLength(2);
    const near = `1${'0'.repeat(7)}1`;
    expect(loadingSet(groups(near), bitmap(near))).toEqual([run(0, 9, 1)]);
  });
});
