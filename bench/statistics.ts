/** What a benchmark says about a list of measurements. Pure. */

export interface Summary {
  /** How many values. */
  readonly n: number;
  readonly median: number;
  readonly p95: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The smallest value that at least `percent` percent of the values do not exceed (nearest rank).
 * @throws RangeError when there are no values, or `percent` is not above 0 and at most 100
 */
export function percentile(values: readonly number[], percent: number): number {
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`no percentage: ${percent}`);
  const sorted = [...values].sort((a, b) => a - b);
  // Counted in whole numbers where it can be: 0.95 * 20 is a little more than 19.
  const rank = Math.ceil((percent * sorted.length) / 100);
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError('no values');
  return value;
}

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const low = percentile(values, 50);
  if (values.length % 2 === 1) return low;
  const sorted = [...values].sort((a, b) => a - b);
  return (low + (sorted[values.length / 2] ?? low)) / 2;
}

/** @throws RangeError when there are no values */
export function summarize(values: readonly number[]): Summary {
  return {
    n: values.length,
    median: median(values),
    p95: percentile(values, 95),
    min: values.reduce((low, value) => Math.min(low, value)),
    max: values.reduce((high, value) => Math.max(high, value)),
  };
}
