/** Figures over all functions, from those of the cells. Pure. */
import type { Limit, Sample } from '../report.js';
import { median } from '../statistics.js';
import { cellName, type Cache } from './cells.js';

/** The case under which figures over all functions stand. */
export const ALL = 'all functions';

const STRATEGIES = ['vanilla', 'cached', 'reap', 'faasnap', 'populate'] as const;

export const RESTORE_LIMITS: readonly Limit[] = [
  { case: ALL, metric: 'reap: faults served, of those on demand', of: 'median', atMost: 0.03 },
  { case: ALL, metric: 'lost to paging, dropped: vanilla / best', of: 'median', atLeast: 3 },
  { case: ALL, metric: 'first response, dropped: best / cached', of: 'median', atMost: 1.035 },
  { case: ALL, metric: 'first response, dropped: populate / reap', of: 'median', atMost: 1 },
  { case: 'hello and gVisor', metric: 'gVisor / not pooled', of: 'median', atLeast: 2 },
  { case: 'hello and gVisor', metric: 'gVisor / pooled', of: 'median', atLeast: 4 },
  { case: 'clones at rest', metric: 'proportional memory', of: 'median', atMost: 20 },
  { case: 'clones at rest', metric: 'of it guest memory', of: 'median', atMost: 4 },
  { case: 'private memory of ten', metric: 'populate / reap', of: 'median', atMost: 1 },
  { case: 'sustained', metric: 'restores per second and core', of: 'median', atLeast: 5 },
];

/** Medians by case and metric. */
export class Medians {
  readonly #values = new Map<string, number[]>();

  constructor(samples: readonly Sample[]) {
    for (const { case: name, metric, value } of samples) {
      const key = JSON.stringify([name, metric]);
      this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
    }
  }

  /** NaN when there is none. */
  of(name: string, metric: string): number {
    const values = this.#values.get(JSON.stringify([name, metric]));
    return values ? median(values) : NaN;
  }
}

/** What a way's first response takes longer than it would without any paging, ms. */
export function lostToPaging(medians: Medians, fn: string, way: string, cache: Cache): number {
  const at = (metric: string, name = cellName(fn, way, cache)): number => medians.of(name, metric);
  const warm = cellName(fn, 'vanilla', 'warm');
  const floor = cellName(fn, 'floor', 'warm');
  // The floor's memory was brought in before its guest ran: what counts of it is what came after.
  const without = at('resumed', warm) + at('firstResponse', floor) - at('resumed', floor);
  return at('firstResponse') - without;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Less than this is noise, ms: nothing is divided by less. */
const LEAST_MS = 1;

/** The rows over all functions; those whose cells were not measured are left out. */
export function derivedSamples(samples: readonly Sample[], functions: readonly string[]): Sample[] {
  const medians = new Medians(samples);
  const first = (fn: string, way: string): number =>
    medians.of(cellName(fn, way, 'dropped'), 'firstResponse');
  const mean = (ratio: (fn: string) => number): number => geometricMean(functions.map(ratio));
  const lost = (fn: string, way: string): number =>
    Math.max(LEAST_MS, lostToPaging(medians, fn, way, 'dropped'));
  const losses = STRATEGIES.map((way) => ({ way, ms: mean((fn) => lost(fn, way)) }));
  const best = losses
    .filter(({ way }) => way !== 'vanilla' && way !== 'cached')
    .reduce((a, b) => (b.ms < a.ms ? b : a));
  const fastest = (['reap', 'faasnap', 'populate'] as const)
    .map((way) => ({ way, ratio: mean((fn) => first(fn, way) / warmCached(medians, fn)) }))
    .reduce((a, b) => (b.ratio < a.ratio ? b : a));
  const figures: [string, Sample['unit'], number][] = [
    ['reap: faults served, of those on demand', 'x', mean((fn) => servedShare(medians, fn))],
    ...losses.map(({ way, ms }): [string, Sample['unit'], number] => [
      `lost to paging, dropped: ${way}`,
      'ms',
      ms,
    ]),
    [
      'lost to paging, dropped: vanilla / best',
      'x',
      mean((fn) => lost(fn, 'vanilla') / lost(fn, best.way)),
    ],
    ['first response, dropped: best / cached', 'x', fastest.ratio],
    [
      'first response, dropped: populate / reap',
      'x',
      mean((fn) => first(fn, 'populate') / first(fn, 'reap')),
    ],
  ];
  return figures
    .filter(([, , value]) => Number.isFinite(value))
    .map(([metric, unit, value]) => ({ case: ALL, metric, unit, value }));
}

/** `cached` with its files in the page cache: what the best strategy is compared with. */
function warmCached(medians: Medians, fn: string): number {
  return medians.of(cellName(fn, 'cached', 'warm'), 'firstResponse');
}

/** Faults that are left to the page server, of those when it serves all of them. */
function servedShare(medians: Medians, fn: string): number {
  const left = medians.of(cellName(fn, 'reap', 'dropped'), 'faults served');
  const all = medians.of(cellName(fn, 'on demand', 'dropped'), 'faults served');
  // A geometric mean knows no zero: half a fault stands for none.
  return Math.max(left, 0.5) / all;
}
