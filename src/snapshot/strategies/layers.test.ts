import { describe, expect, it } from 'vitest';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import { overlayOf, populateRegions, workingSetRegions } from './layers.js';

/** A map of pages with these pages. */
function mapOf(...pages: number[]): Uint8Array {
  const map = new Uint8Array(16);
  for (const page of pages) map[page >> 3] = (map[page >> 3] ?? 0) | (1 << (page & 7));
  return map;
}

const PAGES = 128;
const settings = (record: boolean, intervalThreshold: number, sizeThreshold: number) => ({
  regions: { record, intervalThreshold, sizeThreshold },
});

describe('the overlay of a memory', () => {
  it('is its regions over anonymous memory, which has the zeros', () => {
    expect(overlayOf(mapOf(3, 4, 60), PAGES, settings(true, 32, 0), 0)).toEqual({
      base: 'anonymous',
      regions: [
        { page: 3, pages: 2, from: 'memory', filePage: 3, populate: 'no' },
        { page: 60, pages: 1, from: 'memory', filePage: 60, populate: 'no' },
      ],
    });
    const { regions } = overlayOf(mapOf(3, 4, 60), PAGES, settings(true, 64, 0), 0);
    expect(regions).toMatchObject([{ page: 3, pages: 58 }]);
  });

  it('lies over the memory file where regions were left out: no data becomes zeros', () => {
    expect(overlayOf(mapOf(3, 4, 60), PAGES, settings(true, 0, 2), 0)).toMatchObject({
      base: 'memory',
      regions: [{ page: 3, pages: 2 }],
    });
  });

  it('is the memory file alone where no regions were recorded, or too many', () => {
    const alone = { base: 'memory', regions: [] };
    expect(overlayOf(mapOf(3), PAGES, settings(false, 32, 0), 0)).toEqual(alone);
    expect(overlayOf(mapOf(3), PAGES, settings(true, 32, 0), 1_000_000)).toEqual(alone);
  });
});

describe('layered memory', () => {
  it('maps a working set’s regions one after the other from its file', () => {
    const regions = [
      { page: 50, pages: 2, group: 1 },
      { page: 7, pages: 3, group: 2 },
    ];
    const set = { regions, dataAt: 8192 } as unknown as WorkingSet;
    expect(workingSetRegions(set, 'read')).toEqual([
      { page: 50, pages: 2, from: 'workingSet', filePage: 2, populate: 'read' },
      { page: 7, pages: 3, from: 'workingSet', filePage: 4, populate: 'read' },
    ]);
  });

  it('populates in the order of the runs, written pages for writing', () => {
    const runs = [
      { page: 50, pages: 4 },
      { page: 7, pages: 2 },
    ];
    const regions = populateRegions(runs, [{ page: 51, pages: 2 }], 0);
    expect(regions.map(({ page, pages, populate }) => [page, pages, populate])).toEqual([
      [50, 1, 'read'],
      [53, 1, 'read'],
      [51, 2, 'write'],
      [7, 2, 'read'],
    ]);
    expect(new Set(regions.map(({ from }) => from))).toEqual(new Set(['base']));
    expect(populateRegions(runs, [], 1_000_000)).toEqual([]);
  });
});
