/**
 * The strategy `auto`: picks a restore strategy for each snapshot from what was measured of it on
 * this host, says why, and takes it back when it was wrong.
 */
import {
  isPossible,
  STRATEGY_NAMES,
  type StrategyName,
  type WorkingSets,
} from '../snapshot/index.js';
import type { MemorySource } from '../vmm/index.js';
import type { Estimates } from './estimates.js';

export type StrategyChoice = StrategyName | 'auto';

export interface Chosen {
  readonly strategy: StrategyName;
  /** Empty when the caller chose. */
  readonly why: string;
}

/** First responses of a strategy that are remembered, of each snapshot. */
const REMEMBERED = 8;
/** A candidate is measured so often before it is judged. */
const TRIALS = 2;
/** Of so many choices one looks at another strategy again: what was true may have changed. */
const LOOK_AGAIN = 32;

/** In the order in which they are tried; what has to be recorded first comes first. */
const CANDIDATES: readonly StrategyName[] = ['populate', 'vanilla', 'reap', 'faasnap'];

const NO_ESTIMATES: Estimates = new Map<StrategyName, number>();

type Measured = Map<StrategyName, number[]>;

export class Chooser {
  readonly #sources: readonly MemorySource['kind'][];
  readonly #measured = new Map<string, Measured>();
  readonly #choices = new Map<string, number>();
  readonly #estimates = new Map<string, Estimates>();

  constructor(sources: readonly MemorySource['kind'][]) {
    this.#sources = sources;
  }

  /** @param isMeasured an invocation waits for it: only then another look teaches something. */
  choose(wanted: StrategyChoice, sets: WorkingSets, isMeasured: boolean): Chosen {
    if (wanted !== 'auto') return { strategy: wanted, why: '' };
    const { ssId } = sets.snapshot.manifest;
    const count = isMeasured ? (this.#choices.get(ssId) ?? 0) + 1 : 1;
    if (isMeasured) this.#choices.set(ssId, count);
    return pick(this.#possible, this.#of(ssId), count, this.#estimates.get(ssId));
  }

  /** Every candidate that is worth it was measured. */
  isSettled(ssId: string): boolean {
    const measured = this.#of(ssId);
    const worth = worthATry(this.#possible, measured, this.#estimates.get(ssId) ?? NO_ESTIMATES);
    return worth.every((name) => (measured.get(name)?.length ?? 0) >= TRIALS);
  }

  /** What its strategies should cost, once something of a snapshot is recorded. */
  expect(ssId: string, estimates: Estimates): void {
    this.#estimates.set(ssId, estimates);
  }

  /** A first response after a restore whose working set was known, milliseconds. */
  learn(ssId: string, strategy: StrategyName, firstResponseMs: number): void {
    const measured = this.#of(ssId);
    const times = [...(measured.get(strategy) ?? []), firstResponseMs].slice(-REMEMBERED);
    measured.set(strategy, times);
    this.#measured.set(ssId, measured);
  }

  forget(ssId: string): void {
    this.#measured.delete(ssId);
    this.#choices.delete(ssId);
    this.#estimates.delete(ssId);
  }

  get #possible(): StrategyName[] {
    return CANDIDATES.filter((name) => isPossible(name, this.#sources));
  }

  #of(ssId: string): Measured {
    return this.#measured.get(ssId) ?? new Map<StrategyName, number[]>();
  }
}

/** The choice, as a pure function of what is possible and what was measured. */
export function pick(
  possible: readonly StrategyName[],
  measured: ReadonlyMap<StrategyName, readonly number[]>,
  count: number,
  estimates: Estimates = NO_ESTIMATES,
): Chosen {
  const worth = worthATry(possible, measured, estimates);
  const untried = worth.find((name) => (measured.get(name)?.length ?? 0) < TRIALS);
  if (untried !== undefined) {
    const times = measured.get(untried)?.length ?? 0;
    const expected = estimates.get(untried);
    const cost = expected === undefined ? '' : `, should lose ${expected.toFixed(0)} ms to paging`;
    const why = `auto: ${untried} was measured ${times} times of ${TRIALS}${cost}`;
    return { strategy: untried, why };
  }
  const ranked = worth
    .map((name) => ({ name, ms: medianOf(measured.get(name) ?? []) }))
    .sort((a, b) => a.ms - b.ms);
  const [best, second] = ranked;
  if (best === undefined) return { strategy: 'vanilla', why: 'auto: this VMM has no other' };
  if (second !== undefined && count % LOOK_AGAIN === 0) {
    return { strategy: second.name, why: `auto: a look whether ${second.name} is still slower` };
  }
  const others = ranked.slice(1).map(({ name, ms }) => `, ${name} ${ms.toFixed(0)} ms`);
  const left = possible
    .filter((name) => !worth.includes(name))
    .map((name) => `, ${name} not tried`);
  const why = `auto: ${best.name} answered in ${best.ms.toFixed(0)} ms`;
  return { strategy: best.name, why: [why, ...others, ...left].join('') };
}

/**
 * In the order in which they should be fast. One that should lose more to paging alone than the
 * fastest so far takes in all is not tried.
 */
function worthATry(
  possible: readonly StrategyName[],
  measured: ReadonlyMap<StrategyName, readonly number[]>,
  estimates: Estimates,
): readonly StrategyName[] {
  const best = Math.min(...[...measured.values()].map(medianOf));
  const cost = (name: StrategyName): number => estimates.get(name) ?? 0;
  return possible
    .filter((name) => (measured.get(name)?.length ?? 0) > 0 || cost(name) <= best)
    .toSorted((a, b) => cost(a) - cost(b));
}

function medianOf(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Infinity;
}

/** What a caller may name. */
export const STRATEGY_CHOICES: readonly StrategyChoice[] = [...STRATEGY_NAMES, 'auto'];
