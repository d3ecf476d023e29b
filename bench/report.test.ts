import { expect, it } from 'vitest';
import { type Limit, type Report, reportTable, rowsOf, type Sample, verdict } from './report.js';

const sample = (name: string, metric: string, value: number): Sample => ({
  ...{ case: name, metric, unit: 'ms', value },
});

it('makes one row of each case and metric, in the order of the cases', () => {
  const samples = [
    sample('b', 'x', 3),
    sample('a', 'x', 1),
    sample('b', 'y', 9),
    sample('b', 'x', 5),
  ];
  expect(rowsOf(samples, ['a', 'b'])).toEqual([
    { case: 'a', metric: 'x', unit: 'ms', n: 1, median: 1, p95: 1, min: 1, max: 1 },
    { case: 'b', metric: 'x', unit: 'ms', n: 2, median: 4, p95: 5, min: 3, max: 5 },
    { case: 'b', metric: 'y', unit: 'ms', n: 1, median: 9, p95: 9, min: 9, max: 9 },
  ]);
});

const limits: Limit[] = [
  { case: 'a', metric: 'x', of: 'median', atMost: 2 },
  { case: 'a', metric: 'left', of: 'max', atMost: 0 },
];

it.each([
  ['x', [1, 2, 50], 'ok'],
  ['x', [1, 2.1, 2.2], 'missed'],
  ['left', [0, 0, 0], 'ok'],
  ['left', [0, 0, 1], 'missed'],
  ['other', [9], undefined],
])('judges %s of %j: %s', (metric, values, expected) => {
  const [row] = rowsOf(values.map((value) => sample('a', metric, value)));
  expect(verdict(row!, limits)).toBe(expected);
});

it('prints the machine, the figures and what was missed', () => {
  const report: Report = {
    machine: {
      ...{ cpu: 'Some CPU', cores: 2, memoryMiB: 4096, kernel: '6.1', accelerator: 'tcg' },
      load: [0.5, 1, 2],
    },
    versions: { sparkler: '0.1.0', node: '20.1', qemu: '10.0', guestKernel: '6.12' },
    rows: rowsOf([sample('a', 'x', 12.345), sample('a', 'left', 0)]),
  };
  const text = reportTable(report, limits);
  expect(text).toContain('Some CPU, 2 cores, 4096 MiB, Linux 6.1, accelerator tcg');
  expect(text).toContain('load at start: 0.5 1 2');
  expect(text).toMatch(/a +│ x +│ ms +│ 1 │ +12\.3 │ .*median 2 │ missed/);
  expect(text).toMatch(/a +│ left +│ .* max 0 │ ok/);
});
