/** How many instances of a function are busy in each minute. */
import { eachCount, MINUTES, MS_PER_MINUTE, type PackedCounts } from './trace.js';

/**
 * The busy minutes of one function, in their order; the first `length` entries of each array count.
 *
 * The layout that is assumed: all executions take the average time. The invocations of a minute are
 * spread evenly over it, and what runs over its end is counted at its start, as if the minute were
 * a circle; so `n` invocations of `d` ms each need `n × d / 60000` instances, rounded up. Of an
 * execution of a minute or longer, the whole minutes count from the minute of its invocation on,
 * and only the rest is shared like that, in the minute after them. Work is conserved.
 */
export class Demand {
  length = 0;
  /** 0 to 1439. */
  readonly minute = new Uint16Array(MINUTES);
  /** Invocations that come in it. */
  readonly arrivals = new Float64Array(MINUTES);
  /** Instances that are busy, averaged over it; not a whole number. */
  readonly busy = new Float64Array(MINUTES);
  /** Instances that are busy at once in it, at most. */
  readonly need = new Float64Array(MINUTES);
  /** Of those, how many are busy already when it begins, with invocations of minutes before. */
  readonly carried = new Float64Array(MINUTES);

  private push(minute: number, arrivals: number, before: number, busy: number): void {
    const at = this.length++;
    this.minute[at] = minute;
    this.arrivals[at] = arrivals;
    this.busy[at] = busy;
    // An execution of no time at all needs an instance, too.
    this.need[at] = Math.max(Math.ceil(busy), arrivals > 0 ? 1 : 0);
    this.carried[at] = Math.ceil(before);
  }

  /** Replaces what it held by the demand of one function. */
  set(counts: PackedCounts, averageMs: number): void {
    this.length = 0;
    const whole = Math.floor(averageMs / MS_PER_MINUTE);
    if (whole === 0) {
      eachCount(counts, (minute, count) =>
        this.push(minute, count, 0, (count * averageMs) / MS_PER_MINUTE),
      );
    } else {
      this.setLong(counts, whole, averageMs - whole * MS_PER_MINUTE);
    }
  }

  /** Executions of `whole` minutes and `restMs`. */
  private setLong(counts: PackedCounts, whole: number, restMs: number): void {
    const arrivals = new Float64Array(MINUTES);
    eachCount(counts, (minute, count) => (arrivals[minute] = count));
    // Invocations of the last whole - 1 minutes before this one.
    let running = 0;
    for (let minute = 0; minute < MINUTES; minute++) {
      const now = arrivals[minute] ?? 0;
      const ending = ((arrivals[minute - whole] ?? 0) * restMs) / MS_PER_MINUTE;
      const before = running + ending;
      if (now + before > 0) this.push(minute, now, before, now + before);
      running += now - (arrivals[minute - whole + 1] ?? 0);
    }
  }
}
