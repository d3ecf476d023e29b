import { expect, it } from 'vitest';
import type { Ground, Trace } from './traces.js';
import { FAASNAP, layeredPlan, POPULATED, setMiB, setRegions } from './ways.js';

/** Pages 0 to 63 and 192 to 255 are data. */
const nonZero = new Uint8Array(32).map((_, byte) => (byte < 8 || byte >= 24 ? 0xff : 0));
const ground: Ground = { pages: 256, nonZero };
/** Page 100 is zero and written. */
const recorded: Trace = {
  pages: Uint32Array.from([200, 201, 2, 100, 5, 210]),
  written: Uint32Array.from([5, 100]),
};
const touch = { order: 'touch', groupPages: 4, gap: 0 } as const;
const shown = (runs: readonly { page: number; pages: number }[]): number[][] =>
  runs.map(({ page, pages }) => [page, pages]);

it('puts what is touched first into the file first, without zero pages', () => {
  expect(setRegions(ground, recorded, touch)).toEqual([
    { page: 2, pages: 1, group: 1 },
    { page: 200, pages: 2, group: 1 },
    { page: 5, pages: 1, group: 2 },
    { page: 210, pages: 1, group: 2 },
  ]);
});

it('takes gaps and zero pages when told to', () => {
  expect(shown(setRegions(ground, recorded, { ...touch, gap: 4 }))).toEqual([
    [2, 4],
    [200, 2],
    [210, 1],
  ]);
  expect(shown(setRegions(ground, recorded, { ...touch, zeroPages: true }))).toContainEqual([
    100, 1,
  ]);
});

it("has all touched pages by their addresses in REAP's file", () => {
  const set = setRegions(ground, recorded, { order: 'address', groupPages: 1, gap: 0 });
  expect(shown(set)).toEqual([
    [2, 1],
    [5, 1],
    [100, 1],
    [200, 2],
    [210, 1],
  ]);
  expect(setMiB(set)).toBe(6 / 256);
});

it('maps the file over the overlay over anonymous memory', () => {
  const set = setRegions(ground, recorded, touch);
  const { base, regions } = layeredPlan(ground, recorded, set, 2, FAASNAP);
  expect(base).toBe('anonymous');
  expect(regions.map(({ page, from, filePage }) => [from, page, filePage])).toEqual([
    ['memory', 0, 0],
    ['memory', 192, 192],
    ['workingSet', 2, 2],
    ['workingSet', 200, 3],
    ['workingSet', 5, 5],
    ['workingSet', 210, 6],
  ]);
  expect(regions.every(({ populate }) => populate === 'no')).toBe(true);
});

it('leaves parts out', () => {
  const set = setRegions(ground, recorded, touch);
  const plan = layeredPlan(ground, recorded, set, 2, {
    ...FAASNAP,
    overlay: false,
    from: 'memory',
  });
  expect(plan.base).toBe('memory');
  expect(plan.regions.map(({ page, from, filePage }) => [from, page, filePage])).toEqual([
    ['memory', 2, 2],
    ['memory', 200, 200],
    ['memory', 5, 5],
    ['memory', 210, 210],
  ]);
});

it('populates what is written for writing, zeros last, in chunks', () => {
  const set = setRegions(ground, recorded, touch);
  const populated = (options: typeof POPULATED): unknown[] =>
    layeredPlan(ground, recorded, set, 2, options)
      .regions.filter(({ from }) => from === 'base')
      .map(({ page, pages, populate }) => [populate, page, pages]);
  const expected = [
    ['read', 2, 1],
    ['read', 200, 2],
    ['write', 5, 1],
    ['read', 210, 1],
    ['write', 100, 1],
  ];
  expect(populated(POPULATED)).toEqual(expected);
  expect(populated({ ...POPULATED, populate: 'read' })).not.toContainEqual(['write', 5, 1]);
  expect(populated({ ...POPULATED, chunkPages: 1 }).slice(0, 3)).toEqual([
    ['read', 2, 1],
    ['read', 200, 1],
    ['read', 201, 1],
  ]);
});
