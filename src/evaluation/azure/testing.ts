/** Small traces for tests, and a slow simulator that can be read at one glance. */
import { Demand } from './demand.js';
import { InstanceTally, runInstances } from './instances.js';
import { HISTOGRAM_MINUTES, keeperOf, type KeepingPolicy } from './policies.js';
import { MINUTES, MS_PER_MINUTE, packCounts } from './trace.js';

/** Counts by minute, from what is invoked when. */
export type Calls = Readonly<Record<number, number>>;

export function countsOf(calls: Calls): Float64Array<ArrayBuffer> {
  const counts = new Float64Array(MINUTES);
  for (const [minute, count] of Object.entries(calls)) counts[Number(minute)] = count;
  return counts;
}

/** What is looked at of a function's day, by minute; all are whole numbers. */
export interface Course {
  readonly ready: readonly number[];
  readonly cold: readonly number[];
  readonly ahead: readonly number[];
}

/** The product's answer. */
export function courseOf(calls: Calls, averageMs: number, policy: KeepingPolicy): Course {
  const demand = new Demand();
  demand.set(packCounts(countsOf(calls)), averageMs);
  const tally = new InstanceTally();
  tally.reset();
  runInstances(demand, averageMs, keeperOf(policy), tally);
  const ready = new Float64Array(MINUTES);
  tally.readyInto(ready);
  return { ready: [...ready], cold: [...tally.cold], ahead: [...tally.ahead] };
}

/** How many of `count` executions of `ms` (less than a minute) overlap at most, on the circle. */
export function overlap(count: number, ms: number): number {
  let most = 0;
  for (let at = 0; at < count; at++) {
    let running = 0;
    for (let back = 0; back < count; back++) {
      if (back === 0 || back * MS_PER_MINUTE < ms * count) running++;
    }
    most = Math.max(most, running);
  }
  return most;
}

interface Instance {
  /** The minute in which it was last busy. */
  last: number;
  from: number;
  to: number;
}

/** The windows of the histogram policy, from the list of all idle times so far. */
function windowOf(idleTimes: readonly number[]): { from: number; to: number } {
  const standard = { from: 0, to: HISTOGRAM_MINUTES };
  const inside = idleTimes.filter((idle) => idle < HISTOGRAM_MINUTES).sort((a, b) => a - b);
  if (inside.length === 0) return standard;
  if (idleTimes.length - inside.length > idleTimes.length / 2) return standard;
  const bins = new Array<number>(HISTOGRAM_MINUTES).fill(0);
  for (const idle of inside) bins[idle] = (bins[idle] ?? 0) + 1;
  const mean = inside.length / HISTOGRAM_MINUTES;
  const variance = bins.reduce((sum, n) => sum + (n - mean) ** 2, 0) / HISTOGRAM_MINUTES;
  if (Math.sqrt(variance) / mean < 2) return standard;
  const at = (share: number) => inside[Math.ceil(share * inside.length) - 1] ?? 0;
  return { from: Math.floor(at(0.05) * 0.9), to: Math.ceil(((at(0.99) + 1) * 11) / 10) };
}

/** The same by hand: every invocation, every instance, every minute. */
export function simulate(calls: Calls, averageMs: number, policy: KeepingPolicy): Course {
  const counts = countsOf(calls);
  const whole = Math.floor(averageMs / MS_PER_MINUTE);
  const rest = averageMs - whole * MS_PER_MINUTE;
  const ready = new Array<number>(MINUTES).fill(0);
  const cold = new Array<number>(MINUTES).fill(0);
  const ahead = new Array<number>(MINUTES).fill(0);
  const idleTimes: number[] = [];
  let instances: Instance[] = [];
  let lastBusy: number | undefined;
  for (let minute = 0; minute < MINUTES; minute++) {
    const arrivals = counts[minute] ?? 0;
    let long = 0;
    for (let start = Math.max(0, minute - whole + 1); start < minute; start++) {
      long += counts[start] ?? 0;
    }
    const ending = whole > 0 ? overlap(counts[minute - whole] ?? 0, rest) : 0;
    const endingNow = rest > 0 ? ending : 0;
    const continuing = whole > 0 ? long + endingNow : 0;
    const fresh = whole > 0 ? arrivals : overlap(arrivals, averageMs);

    // Newest first; those that were busy until now stand before those that were idle.
    instances.sort((a, b) => b.last - a.last);
    const busy = instances.slice(0, continuing);
    const others = instances.slice(continuing);
    const idleFor = ({ last }: Instance) => minute - last - 1;
    const there = others.filter((one) => idleFor(one) >= one.from && idleFor(one) < one.to);
    const later = others.filter((one) => idleFor(one) < one.from);
    ready[minute] = busy.length + there.length;
    ahead[minute] = there.filter((one) => one.from > 0 && idleFor(one) === one.from).length;

    const warm = there.slice(0, fresh);
    const missing = fresh - warm.length;
    cold[minute] = missing;
    if (arrivals > 0) {
      for (let i = 1; i < arrivals && arrivals * averageMs < MS_PER_MINUTE; i++) idleTimes.push(0);
      if (lastBusy !== undefined && continuing === 0) idleTimes.push(minute - lastBusy - 1);
    }
    const window = policy.kind === 'fixed' ? { from: 0, to: policy.minutes } : windowOf(idleTimes);
    const used = [
      ...busy,
      ...warm,
      ...Array.from({ length: missing }, (): Instance => ({ last: 0, from: 0, to: 0 })),
    ];
    for (const one of used) Object.assign(one, { last: minute, ...window });
    instances = [...used, ...there.slice(fresh), ...later.slice(missing)];
    if (used.length > 0) lastBusy = minute;
  }
  return { ready, cold, ahead };
}
