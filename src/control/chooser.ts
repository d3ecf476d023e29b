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

type Measured = Map<StrategyName, number[]>;

export class Chooser {
  readonly #sources: readonly MemorySource['kind'][];
  readonly #measured = new Map<string, Measured>();
  readonly #choices = new Map<string, number>();

  constructor(sources: readonly MemorySource['kind'][]) {
    this.#sources = sources;
  }

  /** @param isMeasured an invocation waits for it: only then another look teaches something. */
  choose(wanted: StrategyChoice, sets: WorkingSets, isMeasured: boolean): Chosen {
    if (wanted !== 'auto') return { strategy: wanted, why: '' };
    const { ssId } = sets.snapshot.manifest;
    const count = isMeasured ? (this.#choices.get(ssId) ?? 0) + 1 : 1;
    if (isMeasured) this.#choices.set(ssId, count);
    return pick(this.#possible, this.#of(ssId), count);
  }

  /** Every candidate was measured. */
  isSettled(ssId: string): boolean {
    const measured = this.#of(ssId);
    return this.#possible.every((name) => (measured.get(name)?.length ?? 0) >= TRIALS);
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
): Chosen {
  const untried = possible.find((name) => (measured.get(name)?.length ?? 0) < TRIALS);
  if (untried !== undefined) {
    const times = measured.get(untried)?.length ?? 0;
    return { strategy: untried, why: `auto: ${untried} was measured ${times} times of ${TRIALS}` };
  }
  const ranked = possible
    .map((name) => ({ name, ms: medianOf(measured.get(name) ?? []) }))
    .sort((a, b) => a.ms - b.ms);
  const [best, second] = ranked;
  if (best === undefined) return { strategy: 'vanilla', why: 'auto: this VMM has no other' };
  if (second !== undefined && count % LOOK_AGAIN === 0) {
    return { strategy: second.name, why: `auto: a look whether ${second.name} is still slower` };
  }
  const others = ranked.slice(1).map(({ name, ms }) => `${name} ${ms.toFixed(0)} ms`);
  const why = `auto: ${best.name} answered in ${best.ms.toFixed(0)} ms, ${others.join(', ')}`;
  return { strategy: best.name, why };
}

function medianOf(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Infinity;
}

/** What a caller may name. */
export const STRATEGY_CHOICES: readonly StrategyChoice[] = [...STRATEGY_NAMES, 'auto'];
