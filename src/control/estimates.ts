/**
 * What the strategies should cost on this host, before any of them was measured on a snapshot: in
 * which order the strategy `auto` tries them, and which are not worth a try. Pure.
 */
import {
  combineRecordings,
  firstTouches,
  jaccard,
  type HostCosts,
  type Recording,
  type StrategyName,
} from '../snapshot/index.js';

/** What is known of the working set of a snapshot. */
export interface WorkingSetSize {
  /** Pages that invocations touch. */
  readonly pages: number;
  /** Blocks of 1 MiB in which they lie: a cold fault brings the pages around it. */
  readonly blocks: number;
  /** Of the pages, those of the least alike two recordings that both have; 1 for one recording. */
  readonly stability: number;
}

/** What a strategy should lose to paging, milliseconds, with files that are not cached. */
export type Estimates = ReadonlyMap<StrategyName, number>;

const PAGES_PER_BLOCK = 256;
const US_PER_MS = 1000;
const MS_PER_S = 1000;

/** Undefined without a recording. */
export function sizeOf(recordings: readonly Recording[]): WorkingSetSize | undefined {
  if (recordings.length === 0) return undefined;
  const pages = combineRecordings(recordings);
  const touched = recordings.map((recording) => firstTouches(recording));
  const pairs = touched.flatMap((one, i) => touched.slice(i + 1).map((two) => jaccard(one, two)));
  return {
    pages: pages.length,
    blocks: new Set([...pages].map((page) => Math.floor(page / PAGES_PER_BLOCK))).size,
    stability: Math.min(1, ...pairs),
  };
}

export function estimate(costs: HostCosts, size: WorkingSetSize): Estimates {
  const { pages, blocks, stability } = size;
  const missed = pages * (1 - stability);
  const readMs = ((pages / PAGES_PER_BLOCK) * MS_PER_S) / costs.coldSequentialMiBps;
  const ms = (us: number): number => us / US_PER_MS;
  const missedColdMs = ms(Math.min(missed, blocks) * costs.coldFaultUs);
  return new Map<StrategyName, number>([
    ['vanilla', ms(blocks * costs.coldFaultUs)],
    // It waits for all of its file, and copies what others map.
    ['reap', readMs + ms(pages * costs.populateUsPerPage + missed * costs.servedFaultUs)],
    ['faasnap', readMs + ms(pages * costs.minorFaultUs) + missedColdMs],
    ['populate', readMs + ms(pages * costs.populateUsPerPage) + missedColdMs],
  ]);
}
