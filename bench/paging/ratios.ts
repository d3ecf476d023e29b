/** How much faster than lazy mapping, cold by cold, round by round. Pure. */
import type { Limit, Sample } from '../report.js';
import { median } from '../statistics.js';
import { cellName } from './cases.js';

const METRIC = 'times faster than lazy mapping';
const BEST = 'best way';

/** What is promised: 64 MiB scattered in 1 GiB, the files not in the page cache. */
export const PAGING_LIMITS: readonly Limit[] = [
  { case: `scattered: ${BEST}, cold`, metric: METRIC, of: 'median', atLeast: 12 },
];

/**
 * A ratio for each round and each cold cell beside the lazy one of its workload, and once more for
 * the way with the best median, as `best way`. Samples come round by round.
 * @param lazy the name of the way that is compared with.
 */
export function ratioSamples(samples: readonly Sample[], lazy: string): Sample[] {
  const totals = new Map<string, number[]>();
  for (const { case: name, metric, value } of samples) {
    if (metric === 'total') totals.set(name, [...(totals.get(name) ?? []), value]);
  }
  const suffix = `: ${lazy}, cold`;
  const workloads = [...totals.keys()].filter((name) => name.endsWith(suffix));
  return workloads.flatMap((lazyName) => {
    const workload = lazyName.slice(0, -suffix.length);
    const base = totals.get(lazyName) ?? [];
    const others = [...totals].filter(
      ([name]) => name !== lazyName && name.startsWith(`${workload}: `) && name.endsWith(', cold'),
    );
    const ratios = others.map(([name, values]) => ({
      name,
      values: values.map((value, round) => (base[round] ?? NaN) / value),
    }));
    const [best] = [...ratios].sort((a, b) => median(b.values) - median(a.values));
    const named = best ? [{ name: cellName(workload, BEST, 'cold'), values: best.values }] : [];
    return [...ratios, ...named].flatMap(({ name, values }) =>
      values.map((value): Sample => ({ case: name, metric: METRIC, unit: 'x', value })),
    );
  });
}
