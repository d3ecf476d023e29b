/** Keep-alive policies: how long an instance stays when it has nothing to do. */
import { SparklerError } from '../../errors.js';
import { MINUTES } from './trace.js';

export type Policy =
  | { readonly kind: 'none' }
  | { readonly kind: 'fixed'; readonly minutes: number }
  | { readonly kind: 'histogram' };

/** A policy that keeps something. */
export type KeepingPolicy = Exclude<Policy, { kind: 'none' }>;

export const DEFAULT_POLICIES = 'none,1m,5m,10m,20m,60m,histogram';

/** `none`, `10 min`, `histogram`. */
export function policyName(policy: Policy): string {
  return policy.kind === 'fixed' ? `${policy.minutes} min` : policy.kind;
}

function parseOne(text: string): Policy {
  if (text === 'none' || text === 'histogram') return { kind: text };
  const minutes = Number(/^(\d{1,4})(?:m|min)$/.exec(text)?.[1]);
  if (minutes >= 1 && minutes <= MINUTES) return { kind: 'fixed', minutes };
  throw new SparklerError(
    'INVALID_REQUEST',
    `--keep-alive: "${text}" is no policy. Give none, histogram, or minutes from 1m to ${MINUTES}m, separated by commas.`,
    { field: '--keep-alive' },
  );
}

/** Policies as people write them: `none,10m,histogram`. @throws SparklerError INVALID_REQUEST */
export function parsePolicies(text: string): Policy[] {
  const names = text.split(',').map((name) => name.trim());
  return names.filter((name, i) => names.indexOf(name) === i).map(parseOne);
}

/** What a policy decides for one function; told of its idle times as they end. */
export interface Keeper {
  /** When an idle instance is there: after `from` and until `to` whole minutes of idleness. */
  readonly from: number;
  readonly to: number;
  /**
   * Invocations came.
   * @param idleMinutes whole minutes since an instance was last busy; undefined: none was idle
   * @param within how many idle times of less than a minute lay between them
   */
  observe(idleMinutes: number | undefined, within: number): void;
  /** Forgets all: another function's turn. */
  reset(): void;
}

/** The same window for everybody. */
class FixedKeeper implements Keeper {
  readonly from = 0;

  constructor(readonly to: number) {}

  observe(): void {
    // A fixed window learns nothing.
  }

  reset(): void {
    // And so has nothing to forget.
  }
}

/** Bins of the histogram, a minute each: four hours. */
export const HISTOGRAM_MINUTES = 240;
/** Percentiles of the idle times that the window begins and ends with. */
const HEAD = 0.05;
const TAIL = 0.99;
/** By so many tenths the window is widened on either side. */
const MARGIN_TENTHS = 1;
/** Below this coefficient of variation of the bins' counts the histogram says nothing. */
const MIN_VARIATION = 2;
/** Above this share of idle times beyond the histogram, it says nothing either. */
const MAX_BEYOND = 0.5;

/**
 * The hybrid histogram policy of Shahrad et al., "Serverless in the Wild" (USENIX ATC 2020), without
 * its time series forecast: where that would be asked, and where the histogram says nothing, an
 * instance stays for as long as the histogram is wide.
 */
export class HistogramKeeper implements Keeper {
  from = 0;
  to = HISTOGRAM_MINUTES;
  /** True once most idle times were longer than the histogram: the case for the forecast. */
  beyondRange = false;
  private readonly bins = new Float64Array(HISTOGRAM_MINUTES);
  private inside = 0;
  private beyond = 0;
  private squares = 0;

  reset(): void {
    this.bins.fill(0);
    this.inside = this.beyond = this.squares = 0;
    this.beyondRange = false;
    this.keepForRange();
  }

  observe(idleMinutes: number | undefined, within: number): void {
    if (within > 0) this.count(0, within);
    if (idleMinutes !== undefined) {
      if (idleMinutes < HISTOGRAM_MINUTES) this.count(idleMinutes, 1);
      else this.beyond++;
    }
    this.decide();
  }

  private count(bin: number, times: number): void {
    const before = this.bins[bin] ?? 0;
    this.bins[bin] = before + times;
    this.squares += times * (2 * before + times);
    this.inside += times;
  }

  private keepForRange(): void {
    this.from = 0;
    this.to = HISTOGRAM_MINUTES;
  }

  private decide(): void {
    const { inside, beyond } = this;
    this.beyondRange = beyond > MAX_BEYOND * (inside + beyond);
    if (this.beyondRange || this.variation() < MIN_VARIATION) {
      this.keepForRange();
      return;
    }
    const head = this.percentile(HEAD);
    const tail = this.percentile(TAIL) + 1;
    this.from = Math.floor((head * (10 - MARGIN_TENTHS)) / 10);
    this.to = Math.ceil((tail * (10 + MARGIN_TENTHS)) / 10);
  }

  /** Standard deviation of the bins' counts by their mean; 0 when all are empty. */
  private variation(): number {
    if (this.inside === 0) return 0;
    const mean = this.inside / HISTOGRAM_MINUTES;
    return Math.sqrt(Math.max(0, this.squares / HISTOGRAM_MINUTES - mean * mean)) / mean;
  }

  /** The bin in which so large a share of the idle times has been seen. */
  private percentile(share: number): number {
    let seen = 0;
    for (let bin = 0; bin < HISTOGRAM_MINUTES; bin++) {
      seen += this.bins[bin] ?? 0;
      if (seen >= share * this.inside) return bin;
    }
    return HISTOGRAM_MINUTES - 1;
  }
}

export function keeperOf(policy: KeepingPolicy): Keeper {
  return policy.kind === 'fixed' ? new FixedKeeper(policy.minutes) : new HistogramKeeper();
}
