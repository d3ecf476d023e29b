/** The instances of one function over a day, under a policy that keeps them. */
import type { Demand } from './demand.js';
import type { Keeper } from './policies.js';
import { MINUTES, MS_PER_MINUTE } from './trace.js';

/** Instances by minute; several functions may add to the same. */
export class InstanceTally {
  /**
   * Changes of the number of instances that are there when a minute begins, without those that are
   * started in it: `readyAt` adds them up.
   */
  private readonly changes = new Float64Array(MINUTES + 1);
  /** Instances that an invocation of this minute had to wait for. */
  readonly cold = new Float64Array(MINUTES);
  /** Instances that were loaded again as this minute began, before anybody asked. */
  readonly ahead = new Float64Array(MINUTES);

  reset(): void {
    this.changes.fill(0);
    this.cold.fill(0);
    this.ahead.fill(0);
  }

  /** `count` instances are there from the beginning of the minute `first` to that of `last`. */
  add(first: number, last: number, count: number): void {
    this.changes[first] = (this.changes[first] ?? 0) + count;
    this.changes[last + 1] = (this.changes[last + 1] ?? 0) - count;
  }

  addCold(minute: number, count: number): void {
    this.cold[minute] = (this.cold[minute] ?? 0) + count;
  }

  addAhead(minute: number, count: number): void {
    this.ahead[minute] = (this.ahead[minute] ?? 0) + count;
  }

  /** Writes into `ready` how many instances are there as each minute begins. */
  readyInto(ready: Float64Array): void {
    let now = 0;
    for (let minute = 0; minute < MINUTES; minute++) {
      now += this.changes[minute] ?? 0;
      ready[minute] = now;
    }
  }
}

/**
 * The instances of one function, in groups: those that were busy last in the same minute, with the
 * window they were given. The newest group is the last. Columns, since a day has millions of groups.
 */
class InstanceGroups {
  private size = 0;
  private readonly count = new Float64Array(MINUTES);
  private readonly last = new Int32Array(MINUTES);
  /** First and last minute in which they are there while idle. */
  private readonly first = new Int32Array(MINUTES);
  private readonly until = new Int32Array(MINUTES);

  clear(): void {
    this.size = 0;
  }

  /** `count` instances were busy in `minute`, and are there from `first` to `until` if idle. */
  push(minute: number, count: number, first: number, until: number): void {
    const at = this.size++;
    this.count[at] = count;
    this.last[at] = minute;
    this.first[at] = first;
    this.until[at] = until;
  }

  /** So many of the newest group go on being busy. */
  goOn(count: number): void {
    const at = this.size - 1;
    this.count[at] = (this.count[at] ?? 0) - count;
  }

  /**
   * Takes up to `wanted` instances that are there, those first that were busy last; and ends those
   * whose time is over.
   * @returns how many it took
   */
  take(minute: number, wanted: number, tally: InstanceTally): number {
    const { count, first, until } = this;
    let missing = wanted;
    for (let at = this.size - 1; at >= 0; at--) {
      const here = count[at] ?? 0;
      if ((until[at] ?? 0) < minute) {
        this.settle(at, minute, here, tally);
        count[at] = 0;
      } else if (missing > 0 && (first[at] ?? 0) <= minute) {
        const taken = Math.min(here, missing);
        this.settle(at, minute, taken, tally);
        count[at] = here - taken;
        missing -= taken;
      }
    }
    return wanted - missing;
  }

  /** Forgets up to `wanted` instances that are not there yet: others were started instead. */
  replace(minute: number, wanted: number): void {
    const { count, first } = this;
    let missing = wanted;
    for (let at = this.size - 1; at >= 0 && missing > 0; at--) {
      if ((first[at] ?? 0) <= minute) continue;
      const replaced = Math.min(count[at] ?? 0, missing);
      count[at] = (count[at] ?? 0) - replaced;
      missing -= replaced;
    }
  }

  /** Forgets groups that have nobody left. */
  compact(): void {
    const { count, last, first, until } = this;
    let kept = 0;
    for (let at = 0; at < this.size; at++) {
      if (count[at] === 0) continue;
      if (kept < at) {
        count[kept] = count[at] ?? 0;
        last[kept] = last[at] ?? 0;
        first[kept] = first[at] ?? 0;
        until[kept] = until[at] ?? 0;
      }
      kept++;
    }
    this.size = kept;
  }

  /** The day is over. */
  end(tally: InstanceTally): void {
    for (let at = 0; at < this.size; at++) {
      this.settle(at, MINUTES - 1, this.count[at] ?? 0, tally);
    }
  }

  /** `count` instances of a group were there, idle, up to the beginning of `minute`. */
  private settle(at: number, minute: number, count: number, tally: InstanceTally): void {
    const first = this.first[at] ?? 0;
    const end = Math.min(this.until[at] ?? 0, minute);
    if (count === 0 || first > end) return;
    tally.add(first, end, count);
    if (first > (this.last[at] ?? 0) + 1) tally.addAhead(first, count);
  }
}

/** Reused by all functions: they run one after the other. */
const groups = new InstanceGroups();

/**
 * Runs one function through a day. Idle time begins with the end of the minute in which an instance
 * was last busy. An invocation takes the instance that was busy last; one that is to be loaded
 * later is not waited for: it is started cold in its place. Nothing is there when the day begins.
 * @returns the cold starts
 */
export function runInstances(
  demand: Demand,
  averageMs: number,
  keeper: Keeper,
  tally: InstanceTally,
): number {
  let coldStarts = 0;
  let lastBusy = -1;
  keeper.reset();
  groups.clear();
  for (let at = 0; at < demand.length; at++) {
    const minute = demand.minute[at] ?? 0;
    const need = demand.need[at] ?? 0;
    const carried = demand.carried[at] ?? 0;
    const arrivals = demand.arrivals[at] ?? 0;
    if (carried > 0) {
      // They are of the minute before, and were never idle.
      groups.goOn(carried);
      tally.add(minute, minute, carried);
    }
    const wanted = need - carried;
    const cold = wanted - groups.take(minute, wanted, tally);
    if (cold > 0) {
      coldStarts += cold;
      tally.addCold(minute, cold);
      groups.replace(minute, cold);
    }
    groups.compact();
    if (arrivals > 0) {
      const gap = lastBusy < 0 || carried > 0 ? undefined : minute - lastBusy - 1;
      const spaced = arrivals * averageMs < MS_PER_MINUTE;
      keeper.observe(gap, spaced ? arrivals - 1 : 0);
    }
    groups.push(minute, need, minute + 1 + keeper.from, minute + keeper.to);
    lastBusy = minute;
  }
  groups.end(tally);
  return coldStarts;
}
