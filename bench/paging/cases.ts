/** What is measured: workloads by ways by the state of the page cache. Pure. */
import type { TraceShape } from './traces.js';
import {
  FAASNAP,
  FAASNAP_SET,
  POPULATE_SET,
  POPULATED,
  REAP_SET,
  type LayerOptions,
  type SetOptions,
  type Way,
} from './ways.js';

export type CacheState = 'cold' | 'warm';

/** A way by its name in the report. */
export interface NamedWay {
  readonly name: string;
  readonly way: Way;
  readonly caches: readonly CacheState[];
}

const BOTH: readonly CacheState[] = ['cold', 'warm'];
const COLD: readonly CacheState[] = ['cold'];

/** What all others are compared with. */
export const LAZY = 'lazy mapping';

const layered = (
  name: string,
  set: SetOptions,
  layers: LayerOptions,
  caches: readonly CacheState[] = BOTH,
): NamedWay => ({ name, way: { kind: 'layers', set, layers }, caches });

const reap = (name: string, set: SetOptions, direct: boolean): NamedWay => ({
  ...{ name, way: { kind: 'userfault', set, direct } },
  // Past the page cache it makes no difference what is in there.
  caches: direct ? COLD : BOTH,
});

const WITHOUT_GAPS = { gap: 0 };
const LAZILY: NamedWay = { name: LAZY, way: { kind: 'private' }, caches: BOTH };
const NO_READ_AHEAD: NamedWay = {
  name: `${LAZY}: no read-ahead`,
  way: { kind: 'private', random: true },
  caches: COLD,
};

/** `lazy mapping, warm` is what the strategy `cached` gives. */
export const WAYS: readonly NamedWay[] = [
  LAZILY,
  { name: 'on-demand userfaultfd', way: { kind: 'userfault' }, caches: BOTH },
  reap('compact file, buffered', REAP_SET, false),
  reap('compact file, direct', REAP_SET, true),
  layered('layered', FAASNAP_SET, FAASNAP),
  layered('layered, no gaps', { ...FAASNAP_SET, ...WITHOUT_GAPS }, FAASNAP),
  layered('populated', POPULATE_SET, POPULATED),
  layered('populated, no gaps', { ...POPULATE_SET, ...WITHOUT_GAPS }, POPULATED),
];

/** Ways whose trace was recorded of another input than the one that is replayed. */
export const DRIFT_WAYS: readonly NamedWay[] = [
  LAZILY,
  reap('compact file, buffered', REAP_SET, false),
  layered('layered', FAASNAP_SET, FAASNAP),
  layered('populated', POPULATE_SET, POPULATED),
  layered('populated: memory not read ahead', POPULATE_SET, { ...POPULATED, random: true }, COLD),
];

/** `faasnap` with each of its parts left out in turn, then gaps, groups, and the others' settings. */
export const ABLATION_WAYS: readonly NamedWay[] = [
  LAZILY,
  NO_READ_AHEAD,
  { name: 'on-demand userfaultfd', way: { kind: 'userfault' }, caches: COLD },
  layered('layered', FAASNAP_SET, FAASNAP),
  layered('layered: memory file as base', FAASNAP_SET, { ...FAASNAP, overlay: false }),
  layered('layered: no compact file', FAASNAP_SET, { ...FAASNAP, from: 'memory', loader: false }),
  layered('layered: no loader', FAASNAP_SET, { ...FAASNAP, loader: false }),
  layered('layered: no groups', { ...FAASNAP_SET, groupPages: Number.MAX_SAFE_INTEGER }, FAASNAP),
  layered('layered: zero pages too', { ...FAASNAP_SET, zeroPages: true }, FAASNAP),
  layered('layered: memory not read ahead', FAASNAP_SET, { ...FAASNAP, random: true }, COLD),
  layered('layered: kernel reads ahead', FAASNAP_SET, {
    ...{ ...FAASNAP, loader: false, willNeed: true },
  }),
  ...[0, 2, 4, 8, 128].map((gap) =>
    layered(`layered: gap ${gap}`, { ...FAASNAP_SET, gap }, FAASNAP),
  ),
  ...[256, 4096].map((groupPages) =>
    layered(`layered: group ${groupPages}`, { ...FAASNAP_SET, groupPages }, FAASNAP),
  ),
  layered('populated', POPULATE_SET, POPULATED),
  ...[0, 2, 4, 8].map((gap) =>
    layered(`populated: gap ${gap}`, { ...POPULATE_SET, gap }, POPULATED),
  ),
  ...[1024, 4096].map((groupPages) =>
    layered(`populated: group ${groupPages}`, { ...POPULATE_SET, groupPages }, POPULATED),
  ),
  layered('populated: all for reading', POPULATE_SET, { ...POPULATED, populate: 'read' }),
  ...[16, 512].map((chunkPages) =>
    layered(`populated: chunks of ${chunkPages}`, POPULATE_SET, { ...POPULATED, chunkPages }),
  ),
  layered('populated: no loader', POPULATE_SET, { ...POPULATED, loader: false }, COLD),
  layered('populated: kernel reads ahead', POPULATE_SET, {
    ...{ ...POPULATED, loader: false, willNeed: true },
  }),
  layered('populated: memory not read ahead', POPULATE_SET, { ...POPULATED, random: true }, COLD),
  layered('populated: huge pages', POPULATE_SET, { ...POPULATED, huge: true }),
  reap('compact file, buffered', REAP_SET, false),
  reap('compact file, direct', REAP_SET, true),
  ...[2, 4, 8, 32].map((gap) =>
    reap(`compact file, direct: gap ${gap}`, { ...REAP_SET, gap }, true),
  ),
];

/** Workloads that are made up, by name. */
export interface Shape extends TraceShape {
  readonly name: string;
}

/** 64 MiB of 1 GiB, when `touches` is 16,384. */
export function shapes(touches: number): Record<'scattered' | 'clustered', Shape> {
  return {
    scattered: { name: 'scattered', touches, runPages: 1, zeroEvery: 0, writeEvery: 0 },
    clustered: { name: 'clustered', touches, runPages: 32, zeroEvery: 8, writeEvery: 4 },
  };
}

/** Runs of a drifting input: as long as what a guest touches together. */
export const DRIFT_RUN_PAGES = 8;
/** What the default run's drifting input shares with the recorded one. */
export const DRIFT_SHARE = 0.8;
/** What `--drift` has the other inputs share. */
export const DRIFT_SHARES: readonly number[] = [1, 0.95, 0.9, 0.8, 0.6, 0.4];

export const cellName = (workload: string, name: string, cache: CacheState): string =>
  `${workload}: ${name}, ${cache}`;
