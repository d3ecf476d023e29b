/** The figures of a report. */
import { type Axis, decades } from '../plot/axes.js';
import { barFigure, type Line, lineFigure, type LinePanel } from '../plot/figure.js';
import type { Analysis, Result } from './analysis.js';
import type { Scaling } from './outcome.js';
import { MINUTES } from './trace.js';

const MINUTES_PER_HOUR = 60;
const MIB_PER_GIB = 1024;
/** Points of a distribution's line. */
const CDF_POINTS = 300;

const SCALINGS: readonly Scaling[] = ['horizontal', 'vertical'];
const TITLES = {
  horizontal: 'Horizontal: one instance a VM',
  vertical: 'Vertical: one VM an application',
};

const HOURS: Axis = {
  label: 'hour of the day',
  kind: 'linear',
  domain: [0, MINUTES / MINUTES_PER_HOUR],
  ticks: [0, 4, 8, 12, 16, 20, 24],
};

const percent = (value: number): string => `${Math.round(value * 100)} %`;

const SHARE: Axis = {
  label: '',
  kind: 'linear',
  domain: [0, 1],
  ticks: [0, 0.25, 0.5, 0.75, 1],
  format: percent,
};

/** An axis of powers of ten over all values that are positive. */
function logAxis(label: string, values: readonly ArrayLike<number>[]): Axis {
  let min = Infinity;
  let max = 0;
  for (const list of values) {
    for (let i = 0; i < list.length; i++) {
      const value = list[i] ?? 0;
      if (value > 0) min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  return { label, kind: 'log', domain: max > 0 ? decades(min, max) : [1, 10] };
}

/** The share of values that are at most x, for rising x. */
function cdf(values: ArrayLike<number>): [number, number][] {
  const sorted = Float64Array.from(values).sort();
  const { length } = sorted;
  const points = Math.min(length, CDF_POINTS);
  const line = Array.from({ length: points }, (_, i): [number, number] => {
    const at = Math.ceil(((i + 1) / points) * length) - 1;
    return [sorted[at] ?? 0, (at + 1) / length];
  });
  // A distribution begins at nothing, at its least value.
  return [[sorted[0] ?? 0, 0], ...line];
}

const namesOf = (results: readonly Result[]): string[] => [
  ...new Set(results.map(({ figures }) => figures.policy)),
];

/** Two panels, a line for each policy. */
function byPolicy(
  results: readonly Result[],
  axes: { readonly x: Axis; readonly y: Axis },
  points: (result: Result) => Line['points'],
): LinePanel[] {
  return SCALINGS.map((scaling) => ({
    title: TITLES[scaling],
    ...axes,
    lines: results
      .filter(({ figures }) => figures.scaling === scaling)
      .map((result) => ({ name: result.figures.policy, points: points(result) })),
  }));
}

const overDay = (values: Float64Array): [number, number][] =>
  [...values].map((value, minute) => [minute / MINUTES_PER_HOUR, value]);

function daily(
  title: string,
  label: string,
  results: readonly Result[],
  values: (result: Result) => Float64Array,
): string {
  // Expected values far below one come from hours in which nearly nothing happens.
  const y = logAxis(label, results.map(values));
  const lowest = Math.max(y.domain[0], y.domain[1] / 1e5);
  return lineFigure({
    title,
    panels: byPolicy(results, { x: HOURS, y: { ...y, domain: [lowest, y.domain[1]] } }, (result) =>
      overDay(values(result)),
    ),
    legend: namesOf(results),
  });
}

function coldStarts(results: readonly Result[]): string {
  const figures = results.map((result) => result.figures);
  const of = (policy: string, scaling: Scaling): number =>
    figures.find((one) => one.policy === policy && one.scaling === scaling)?.coldStarts ?? 0;
  const starts = figures.map((one) => one.coldStarts);
  return barFigure({
    title: 'Cold starts in a day, by keep-alive policy',
    // Down to half of the least, or its bar could have no height.
    y: logAxis('starts of a VM that somebody waits for', [starts, starts.map((n) => n / 2)]),
    xLabel: 'keep-alive policy',
    bars: [...SCALINGS],
    groups: namesOf(results).map((name) => ({
      name,
      values: SCALINGS.map((scaling) => of(name, scaling)),
    })),
  });
}

function coldShares(results: readonly Result[]): string {
  return lineFigure({
    title: 'Cold starts by application',
    panels: byPolicy(
      results,
      {
        x: { ...SHARE, label: "share of the application's invocations that are cold starts" },
        y: { ...SHARE, label: 'share of applications' },
      },
      ({ outcome }) => [...cdf(outcome.coldShares), [1, 1]],
    ),
    legend: namesOf(results),
  });
}

function traceItself({ invocationsOf, averageMsOf, memoryMiBOf }: Analysis): string {
  const panel = (title: string, label: string, values: Float64Array, of: string): LinePanel => ({
    title,
    x: logAxis(label, [values]),
    y: { ...SHARE, label: `share of ${of}` },
    lines: [{ name: title, points: cdf(values) }],
  });
  return lineFigure({
    title: 'The trace',
    panels: [
      panel('Invocations', 'invocations of a function in the day', invocationsOf, 'functions'),
      panel('Durations', 'average execution of a function, ms', averageMsOf, 'functions'),
      panel('Memory', 'average memory of an application, MiB', memoryMiBOf, 'applications'),
    ],
    legend: [],
  });
}

/** SVG documents by file name. */
export function plots(analysis: Analysis): Map<string, string> {
  const { results } = analysis;
  return new Map([
    [
      'vms.svg',
      daily('VMs over the day, by keep-alive policy', 'VMs', results, ({ outcome }) => outcome.vms),
    ],
    [
      'memory.svg',
      daily('Memory over the day, by keep-alive policy', 'GiB', results, ({ outcome }) =>
        outcome.memoryMiB.map((value) => value / MIB_PER_GIB),
      ),
    ],
    ['cold-starts.svg', coldStarts(results)],
    ['cold-share-cdf.svg', coldShares(results)],
    ['trace-cdf.svg', traceItself(analysis)],
  ]);
}
