import { expect, it } from 'vitest';
import { rowsOf, verdict, type Sample } from '../report.js';
import { PAGING_LIMITS, ratioSamples } from './ratios.js';

const total = (name: string, ...values: number[]): Sample[] =>
  values.map((value) => ({ case: name, metric: 'total', unit: 'ms', value }));

it('compares round by round, cold with cold, and names the best', () => {
  const samples = [
    ...total('scattered: lazy mapping, cold', 1200, 1000, 800),
    ...total('scattered: lazy mapping, warm', 1, 1, 1),
    ...total('scattered: quick, cold', 100, 50, 80),
    ...total('scattered: slow, cold', 1200, 500, 400),
    ...total('other: quick, cold', 1, 1, 1),
  ];
  const rows = rowsOf(ratioSamples(samples, 'lazy mapping'));
  expect(rows.map(({ case: name, median, n }) => [name, median, n])).toEqual([
    ['scattered: quick, cold', 12, 3],
    ['scattered: slow, cold', 2, 3],
    ['scattered: best way, cold', 12, 3],
  ]);
  expect(verdict(rows[2]!, PAGING_LIMITS)).toBe('ok');
  expect(verdict({ ...rows[2]!, median: 11.9 }, PAGING_LIMITS)).toBe('missed');
});

it('says nothing where nothing can be compared', () => {
  expect(ratioSamples(total('scattered: lazy mapping, cold', 1), 'lazy mapping')).toEqual([]);
  expect(ratioSamples(total('scattered: quick, cold', 1), 'lazy mapping')).toEqual([]);
});
