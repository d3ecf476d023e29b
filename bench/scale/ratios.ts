/** What the figures of mechanisms and starts are promised to be to each other. Pure. */
import type { Limit, Sample } from '../report.js';
import { Medians } from '../restore/derived.js';
import { caseName, touchName, WAYS, type Mechanism, type State } from './cases.js';

/** The size that is promised about, MiB. */
const PROMISED_MIB = 1024;

export const JSON_STARTS = 'json started';
export const EIGHT = 'eight functions at once';
export const AFTER_USE = 'after mixed invocations';
export const OPERATIONS = 'random operations';
/** The case of figures over the write-through experiment. */
const TOUCHING = touchName('compared');

/** Cases of ratios; `used / fresh`: what one is to the other. */
export const ratioName = (sizeMiB: number, state: State | 'used / fresh'): string =>
  `${sizeMiB} MiB: compared, ${state}`;

const UP = 'up: usable';
const DOWN = 'down: reusable, from the end';
const BACK = 'down: host has it, from the end';
const COMPARED: readonly string[] = [
  ...[UP, 'up: instance ready', DOWN, 'down: reusable', BACK, 'down: host has it'],
];
const OTHERS = ['virtio-mem', 'balloon'] as const;
const STATES = ['fresh', 'used'] as const;

/** The metric of how many times as long the other mechanism takes as `blocks`. */
const times = (metric: string, other: Mechanism): string => `${metric}: ${other} / blocks`;

const PROMISES: readonly (readonly [metric: string, other: Mechanism, atLeast: number])[] = [
  [UP, 'virtio-mem', 10],
  [UP, 'balloon', 100],
  [DOWN, 'virtio-mem', 100],
  [DOWN, 'balloon', 300],
  [BACK, 'virtio-mem', 10],
];

export const SCALE_LIMITS: readonly Limit[] = [
  ...PROMISES.flatMap(([metric, other, atLeast]): Limit[] => [
    {
      ...{ case: ratioName(PROMISED_MIB, 'fresh'), metric: times(metric, other) },
      ...{ of: 'median', atLeast },
    },
    {
      ...{ case: ratioName(PROMISED_MIB, 'used / fresh'), metric: times(metric, other) },
      ...{ of: 'median', atLeast: 1 },
    },
  ]),
  { case: TOUCHING, metric: 'host faults: populated / lazily', of: 'median', atMost: 0.01 },
  { case: JSON_STARTS, metric: 'ready: vertical / restored', of: 'median', atMost: 0.11 },
  { case: EIGHT, metric: 'one VM / booted VMs', of: 'median', atMost: 0.5 },
  { case: AFTER_USE, metric: 'resident: after / before', of: 'max', atMost: 1.1 },
  { case: OPERATIONS, metric: 'wrong bytes', of: 'max', atMost: 0 },
  { case: OPERATIONS, metric: 'hangs', of: 'max', atMost: 0 },
  { case: OPERATIONS, metric: 'other failures', of: 'max', atMost: 0 },
];

/** The rows that follow from the medians of others; those that were not measured are left out. */
export function ratioSamples(samples: readonly Sample[], sizes: readonly number[]): Sample[] {
  const medians = new Medians(samples);
  const rows = [
    ...sizes.flatMap((size) => mechanismRatios(medians, size)),
    ...touchRatios(medians),
    ...restOf(medians),
  ];
  return rows.filter(({ value }) => Number.isFinite(value));
}

function mechanismRatios(medians: Medians, size: number): Sample[] {
  return OTHERS.flatMap((other) =>
    COMPARED.flatMap((metric) => {
      const of = (way: string, state: State): number =>
        medians.of(caseName(size, way, state), metric);
      const [fresh = NaN, used = NaN] = STATES.map(
        (state) => of(other, state) / of('blocks', state),
      );
      return (
        [
          [ratioName(size, 'fresh'), fresh],
          [ratioName(size, 'used'), used],
          [ratioName(size, 'used / fresh'), used / fresh],
        ] as const
      ).map(([name, value]) => ratio(name, times(metric, other), value));
    }),
  );
}

function touchRatios(medians: Medians): Sample[] {
  const of = (way: string, metric: string): number => medians.of(touchName(way), metric);
  const [lazy, ahead] = ['blocks', 'blocks, populated'] as const;
  const first = of(lazy, 'first touch');
  return [
    ratio(
      TOUCHING,
      'host faults: populated / lazily',
      of(ahead, 'first touch: host faults') / of(lazy, 'first touch: host faults'),
    ),
    {
      ...{ case: TOUCHING, metric: 'guest time saved', unit: 'ms' },
      value: first - of(ahead, 'first touch'),
    },
    // Without any host fault: what is left is the guest's own work, as slow as it is emulated.
    ratio(TOUCHING, 'first touch: populated / lazily', of(ahead, 'first touch') / first),
    ratio(TOUCHING, 'lazily: second touch / first', of(lazy, 'second touch') / first),
  ];
}

function restOf(medians: Medians): Sample[] {
  const of = (name: string, one: string, other: string): number =>
    medians.of(name, one) / medians.of(name, other);
  return [
    ratio(
      JSON_STARTS,
      'ready: vertical / restored',
      of(JSON_STARTS, 'vertical: ready', 'restored: ready'),
    ),
    ratio(EIGHT, 'one VM / booted VMs', of(EIGHT, 'one VM', 'booted VMs')),
    ratio(EIGHT, 'one VM / restored VMs', of(EIGHT, 'one VM', 'restored VMs')),
    ratio(
      AFTER_USE,
      'resident: after / before',
      of(AFTER_USE, 'resident after', 'resident before'),
    ),
  ];
}

const ratio = (name: string, metric: string, value: number): Sample => ({
  ...{ case: name, metric, unit: 'x', value },
});

/** The cases in the order of the report. */
export function caseOrder(sizes: readonly number[]): string[] {
  return [
    ...sizes.flatMap((size) =>
      STATES.flatMap((state) => WAYS.map(({ name }) => caseName(size, name, state))),
    ),
    ...WAYS.map(({ name }) => touchName(name)),
    ...sizes.flatMap((size) =>
      ([...STATES, 'used / fresh'] as const).map((state) => ratioName(size, state)),
    ),
    ...[TOUCHING, JSON_STARTS, EIGHT, AFTER_USE, OPERATIONS],
  ];
}
