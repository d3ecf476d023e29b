import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../tests/support/random.js';
import {
  countPages,
  difference,
  dropShort,
  earlierGroup,
  intersection,
  mergeGrouped,
  mergeRuns,
  pagesOf,
  runsFromBitmap,
  runsFromPages,
  union,
  type GroupedRun,
  type Run,
} from './runs.js';

/** `[0, 3]` is pages 0, 1 and 2. */
const runs = (...list: [number, number][]): Run[] => list.map(([page, pages]) => ({ page, pages }));
const grouped = (...list: [number, number, number][]): GroupedRun[] =>
  list.map(([page, pages, group]) => ({ page, pages, group }));

describe('runs from a bitmap', () => {
  it.each<[string, number[], number, Run[]]>([
    ['nothing', [], 0, []],
    ['zeros', [0, 0], 16, []],
    ['page 0 alone', [0b1], 8, runs([0, 1])],
    ['the first run when it starts at page 0', [0b111], 8, runs([0, 3])],
    ['the last page', [0, 0b1000_0000], 16, runs([15, 1])],
    ['a run across bytes', [0b1100_0000, 0b1], 16, runs([6, 3])],
    ['all', [0xff, 0xff], 16, runs([0, 16])],
    ['bits beyond the last page are none', [0xff], 5, runs([0, 5])],
    ['a bitmap that is too short has no more pages', [0xff], 16, runs([0, 8])],
  ])('%s', (_, bytes, pages, expected) => {
    expect(runsFromBitmap(Uint8Array.from(bytes), pages)).toEqual(expected);
  });
});

describe('runs from pages', () => {
  it.each<[string, number[], Run[]]>([
    ['none', [], []],
    ['page 0', [0], runs([0, 1])],
    ['neighbours', [0, 1, 2, 7, 9, 10], runs([0, 3], [7, 1], [9, 2])],
    ['a page several times', [3, 3, 4, 4, 4, 6], runs([3, 2], [6, 1])],
  ])('%s', (_, pages, expected) => {
    expect(runsFromPages(pages)).toEqual(expected);
  });

  it.each([[[2, 1]], [[0, 1, 2, 1]], [[5, 9, 5]]])('refuses %j, which do not ascend', (pages) => {
    expect(() => runsFromPages(pages)).toThrow(/comes after/);
  });
});

describe('merging', () => {
  it.each<[string, Run[], number, Run[]]>([
    ['a gap below the threshold', runs([0, 2], [33, 1]), 32, runs([0, 34])],
    ['not one as large as it', runs([0, 2], [34, 1]), 32, runs([0, 2], [34, 1])],
    ['neighbours always', runs([0, 2], [2, 1], [4, 1]), 0, runs([0, 3], [4, 1])],
    ['many in a row', runs([0, 1], [2, 1], [4, 1], [9, 1]), 2, runs([0, 5], [9, 1])],
    ['nothing', [], 32, []],
  ])('joins over %s', (_, list, threshold, expected) => {
    expect(mergeRuns(list, threshold)).toEqual(expected);
  });

  it.each<[string, GroupedRun[], GroupedRun[]]>([
    ['when the earlier comes first', grouped([0, 1, 2], [3, 1, 5]), grouped([0, 4, 2])],
    ['when the earlier comes last', grouped([0, 1, 5], [3, 1, 2]), grouped([0, 4, 2])],
    ['of three', grouped([0, 1, 5], [3, 1, 2], [5, 1, 9]), grouped([0, 6, 2])],
    ['over no group', grouped([0, 1, 0], [3, 1, 7]), grouped([0, 4, 7])],
    ['over no group behind', grouped([0, 1, 7], [3, 1, 0]), grouped([0, 4, 7])],
    ['of what is joined only', grouped([0, 1, 5], [40, 1, 1]), grouped([0, 1, 5], [40, 1, 1])],
  ])('keeps the earlier group %s', (_, list, expected) => {
    expect(mergeGrouped(list, 32)).toEqual(expected);
  });

  it('does not change what it was given', () => {
    const list = grouped([0, 1, 5], [3, 1, 2]);
    mergeGrouped(list, 32);
    expect(list).toEqual(grouped([0, 1, 5], [3, 1, 2]));
  });

  it('drops runs that are shorter than the threshold, not those as long', () => {
    expect(dropShort(runs([0, 1], [3, 2], [9, 3]), 2)).toEqual(runs([3, 2], [9, 3]));
    expect(dropShort(runs([0, 1]), 0)).toEqual(runs([0, 1]));
  });

  it.each([
    [0, 0, 0],
    [0, 3, 3],
    [3, 0, 3],
    [3, 2, 2],
  ])('of groups %i and %i the earlier is %i', (a, b, earlier) => {
    expect(earlierGroup(a, b)).toBe(earlier);
  });
});

describe('the algebra of sets', () => {
  it.each<[string, Run[], Run[], Run[], Run[], Run[]]>([
    ['two empty ones', [], [], [], [], []],
    ['one and nothing', runs([0, 2]), [], runs([0, 2]), [], runs([0, 2])],
    ['nothing and one', [], runs([0, 2]), runs([0, 2]), [], []],
    ['the same', runs([0, 2]), runs([0, 2]), runs([0, 2]), runs([0, 2]), []],
    ['neighbours', runs([0, 2]), runs([2, 2]), runs([0, 4]), [], runs([0, 2])],
    [
      'one inside the other',
      runs([0, 9]),
      runs([3, 2]),
      runs([0, 9]),
      runs([3, 2]),
      runs([0, 3], [5, 4]),
    ],
    [
      'one over several',
      runs([0, 2], [4, 2], [8, 2]),
      runs([1, 8]),
      runs([0, 10]),
      runs([1, 1], [4, 2], [8, 1]),
      runs([0, 1], [9, 1]),
    ],
  ])('%s', (_, a, b, both, shared, left) => {
    expect(union(a, b)).toEqual(both);
    expect(intersection(a, b)).toEqual(shared);
    expect(difference(a, b)).toEqual(left);
  });

  it('agrees with sets of pages', () => {
    const random = seededRandom();
    for (let round = 0; round < 200; round++) {
      const size = 1 + random(40);
      const some = (): number[] =>
        Array.from({ length: size }, (_, page) => page).filter(() => random(3) > 0);
      const [a, b] = [some(), some()];
      const [x, y] = [runsFromPages(a), runsFromPages(b)];
      const all = [...new Set([...a, ...b])].sort((p, q) => p - q);
      expect(union(x, y)).toEqual(runsFromPages(all));
      expect(intersection(x, y)).toEqual(runsFromPages(a.filter((page) => b.includes(page))));
      expect(difference(x, y)).toEqual(runsFromPages(a.filter((page) => !b.includes(page))));
      expect([...pagesOf(x)]).toEqual(a);
      expect(countPages(x)).toBe(a.length);
    }
  });
});
