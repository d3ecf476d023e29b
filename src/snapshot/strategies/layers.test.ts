import { describe, expect, it } from 'vitest';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import { overlayOf, populateRegions, workingSetRegions } from './layers.js';

/** 65536 pages of which every second is not zero: 32768 regions when none are joined. */
const PAGES = 65_536;
const everySecond = new Uint8Array(PAGES / 8).fill(0b01010101);
const regions = { record: true, intervalThreshold: 0, sizeThreshold: 0 };

describe('the overlay of a memory', () => {
  it('lies over anonymous memory when it has all that is not zero', () => {
    const bitmap = new Uint8Array(PAGES / 8);
    bitmap[1] = 0b110;
    expect(overlayOf(bitmap, PAGES, { regions }, 0)).toEqual({
      base: 'anonymous',
      regions: [{ page: 9, pages: 2, from: 'memory', filePage: 9, populate: 'no' }],
    });
  });

  it('lies over the memory file when it leaves something out', () => {
    const overlay = overlayOf(everySecond, PAGES, { regions: { ...regions, sizeThreshold: 2 } }, 0);
    expect(overlay).toEqual({ base: 'memory', regions: [] });
  });

  it.each([
    ['the snapshot has no regions', { ...regions, record: false }, 0],
    ['there are more regions than can be mapped', regions, 0],
    ['there are more beside the others', { ...regions, intervalThreshold: 3 }, 30_000],
  ])('is the memory file when %s', (_, settings, others) => {
    const overlay = overlayOf(everySecond, PAGES, { regions: settings }, others);
    expect(overlay).toEqual({ base: 'memory', regions: [] });
  });
});

describe('what is populated', () => {
  const runs = Array.from({ length: 100 }, (_, i) => ({ page: 2 * i, pages: 1 }));

  it('is all there is, written pages for writing', () => {
    const found = populateRegions(runs, [{ page: 4, pages: 1 }], 0);
    expect(found).toHaveLength(100);
    expect(found.filter(({ populate }) => populate === 'write').map(({ page }) => page)).toEqual([
      4,
    ]);
  });

  it('is the first that there is room for beside what is mapped', () => {
    expect(populateRegions(runs, [], 59_990)).toHaveLength(10);
    expect(populateRegions(runs, [], 70_000)).toEqual([]);
  });
});

describe('a working set', () => {
  it('is mapped region after region from its file', () => {
    const set = {
      regions: [
        { page: 50, pages: 2, group: 1 },
        { page: 7, pages: 3, group: 2 },
      ],
      dataAt: 8192,
    } as unknown as WorkingSet;
    expect(workingSetRegions(set, 'read')).toEqual([
      { page: 50, pages: 2, from: 'workingSet', filePage: 2, populate: 'read' },
      { page: 7, pages: 3, from: 'workingSet', filePage: 4, populate: 'read' },
    ]);
  });

  it('is populated in the order of its regions', () => {
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
  });
});
