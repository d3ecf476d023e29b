/** One day of the Azure Functions 2019 data set, as it is held in memory. */

/** Columns of counts: the minutes of a day. */
export const MINUTES = 1440;
export const MS_PER_MINUTE = 60_000;

/**
 * Invocations by minute, without the minutes that have none: pairs of (minutes since the one
 * before, count), each a number in LEB128. The pairs of a function that is invoked in every minute
 * take 3 to 6 KB, those of a rare one a few bytes.
 */
export type PackedCounts = Uint8Array<ArrayBuffer>;

export interface FunctionTrace {
  counts: PackedCounts;
  /** Average time of an execution, ms; undefined: the day's file has no row for it. */
  readonly averageMs: number | undefined;
}

export interface Application {
  /** Average of its allocated memory, MiB; undefined: the day's file has no row for it. */
  readonly memoryMiB: number | undefined;
  readonly functions: FunctionTrace[];
}

/** What was made of rows that the published files are known to have and that mean nothing. */
export interface Repairs {
  /** Functions with several rows of counts, added up. */
  invocations: number;
  /** Functions with several rows of durations, averaged by their counts. */
  durations: number;
  /** Applications with several rows of memory, averaged by their samples. */
  memory: number;
  /** Negative averages of durations, replaced by the median, or dropped. */
  negativeDurations: number;
  /** Negative averages of memory, dropped. */
  negativeMemory: number;
}

export interface Day {
  readonly applications: readonly Application[];
  /** Median of all functions' average durations, ms: what a function without a row is taken for. */
  readonly medianMs: number;
  /** Median of all applications' average memory, MiB: likewise. */
  readonly medianMiB: number;
  readonly repairs: Readonly<Repairs>;
}

const PAYLOAD_BITS = 7;
const MORE = 1 << PAYLOAD_BITS;
/** Of a number below 2^35, and twice of it: a pair. */
const MAX_PAIR_BYTES = 10;
const scratch = new Uint8Array(MINUTES * MAX_PAIR_BYTES);

function put(value: number, at: number): number {
  let rest = value;
  let end = at;
  for (; rest >= MORE; rest = Math.floor(rest / MORE)) scratch[end++] = (rest % MORE) | MORE;
  scratch[end++] = rest;
  return end;
}

/** Packs the counts of a day, one for each minute. */
export function packCounts(counts: ArrayLike<number>): PackedCounts {
  let end = 0;
  let last = 0;
  for (let minute = 0; minute < MINUTES; minute++) {
    const count = counts[minute] ?? 0;
    if (count === 0) continue;
    end = put(count, put(minute - last, end));
    last = minute;
  }
  return scratch.slice(0, end);
}

/** Calls `visit` for each minute that has invocations, in their order. */
export function eachCount(
  packed: PackedCounts,
  visit: (minute: number, count: number) => void,
): void {
  let at = 0;
  let minute = 0;
  const take = (): number => {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = packed[at++] ?? 0;
      value += (byte % MORE) * factor;
      if (byte < MORE) return value;
      factor *= MORE;
    }
  };
  while (at < packed.length) {
    minute += take();
    visit(minute, take());
  }
}

/** The counts of both, minute by minute. */
export function addCounts(one: PackedCounts, other: PackedCounts): PackedCounts {
  const sum = new Float64Array(MINUTES);
  for (const packed of [one, other]) {
    eachCount(packed, (minute, count) => (sum[minute] = (sum[minute] ?? 0) + count));
  }
  return packCounts(sum);
}
