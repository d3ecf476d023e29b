/** One application over a day when nothing is kept: an instance, and a VM, live while they work. */
import type { Demand } from './demand.js';
import { MINUTES, MS_PER_MINUTE } from './trace.js';

/**
 * Every invocation is a new instance. With a VM for each instance, that is all. With a VM for the
 * application, it is there while any of its functions runs, so what counts is how their invocations
 * lie to each other within a minute, which the data set does not say. Assumed: each function's are
 * spaced evenly, and functions are independent of each other (their phases are uniformly random).
 * The figures are the expected ones.
 */
export class UnkeptApplication {
  /** Instances that are busy, averaged over each minute. */
  readonly busy = new Float64Array(MINUTES);
  invocations = 0;
  /** Chance that no function is running. */
  private readonly empty = new Float64Array(MINUTES);
  /** Invocations by the chance that their own function is not running yet when they come. */
  private readonly openings = new Float64Array(MINUTES);

  reset(): void {
    this.busy.fill(0);
    this.empty.fill(1);
    this.openings.fill(0);
    this.invocations = 0;
  }

  /** Adds a function. */
  add(demand: Demand, averageMs: number): void {
    const { busy, empty, openings } = this;
    for (let at = 0; at < demand.length; at++) {
      const minute = demand.minute[at] ?? 0;
      const work = demand.busy[at] ?? 0;
      const arrivals = demand.arrivals[at] ?? 0;
      this.invocations += arrivals;
      busy[minute] = (busy[minute] ?? 0) + work;
      empty[minute] = (empty[minute] ?? 0) * Math.max(0, 1 - work);
      if (work < 1 && averageMs < MS_PER_MINUTE) {
        openings[minute] = (openings[minute] ?? 0) + arrivals / (1 - work);
      }
    }
  }

  /** Chance that the application's VM is there, in a minute. */
  present(minute: number): number {
    return 1 - (this.empty[minute] ?? 1);
  }

  /**
   * Starts of the application's VM in a minute. A minute in which some function always runs has one
   * at its beginning, unless the minute before was such a one, too.
   */
  starts(minute: number): number {
    const empty = this.empty[minute] ?? 1;
    if (empty > 0) return empty * (this.openings[minute] ?? 0);
    return this.empty[minute - 1] === 0 ? 0 : 1;
  }
}
