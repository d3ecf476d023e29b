/**
 * How many VMs should stand in the pool, from what was asked for lately: plain data in, plain data
 * out.
 */

/** The restores of one snapshot by one strategy. */
export interface Demand {
  readonly key: string;
  /** A VM's memory, MiB. */
  readonly memMiB: number;
  /** When invocations asked for one, milliseconds of any clock, ascending. */
  readonly arrivals: readonly number[];
  /** How long it takes until a VM that is started ahead is ready, milliseconds. */
  readonly startMs: number;
  /** VMs of this kind that stand in the pool because somebody asked for them. */
  readonly asked: number;
}

/** What the pool may still take. */
export interface Room {
  readonly vms: number;
  readonly memMiB: number;
}

/** One call is no pattern. */
const FEWEST_ARRIVALS = 2;

/** Arrivals that count: later than `since`. */
export function recent(arrivals: readonly number[], since: number): readonly number[] {
  const first = arrivals.findIndex((at) => at > since);
  return first < 0 ? [] : arrivals.slice(first);
}

/**
 * How many VMs would have been needed for every call to find one: the most calls that came while
 * one VM is made.
 */
export function wanted(arrivals: readonly number[], startMs: number): number {
  if (arrivals.length < FEWEST_ARRIVALS) return 0;
  let most = 0;
  let from = 0;
  arrivals.forEach((at, last) => {
    while ((arrivals[from] ?? at) < at - startMs) from++;
    most = Math.max(most, last - from + 1);
  });
  return most;
}

/**
 * How many VMs of each kind the pool should hold beside those that were asked for. Where not all
 * find room, each kind gets its part of it by its number of calls; a kind that is called has its
 * first VM before another has its second only if it is called half as often.
 * @param since earlier arrivals do not count.
 */
export function shares(demands: readonly Demand[], room: Room, since: number): Map<string, number> {
  const open = demands
    .map((demand) => {
      const arrivals = recent(demand.arrivals, since);
      const want = Math.max(0, wanted(arrivals, demand.startMs) - demand.asked);
      return { ...demand, calls: arrivals.length, want, given: 0 };
    })
    .filter(({ want }) => want > 0)
    // The order decides between equals: it must not change from look to look.
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  let { vms, memMiB } = room;
  while (vms > 0) {
    const next = open
      .filter(({ given, want, memMiB: needs }) => given < want && needs <= memMiB)
      .reduce<(typeof open)[number] | undefined>(
        (best, kind) => (best === undefined || weight(kind) > weight(best) ? kind : best),
        undefined,
      );
    if (next === undefined) break;
    next.given++;
    vms--;
    memMiB -= next.memMiB;
  }
  return new Map(open.map(({ key, given }) => [key, given]));
}

/** D'Hondt's: how many calls each VM would have if it got one more. */
function weight({ calls, given }: { readonly calls: number; readonly given: number }): number {
  return calls / (given + 1);
}
