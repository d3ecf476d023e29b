/** Runs a day under every policy and both ways of scaling, one application after the other. */
import { Demand } from './demand.js';
import { InstanceTally, runInstances } from './instances.js';
import { Outcome, type Scaling, type Summary, summarize } from './outcome.js';
import {
  HistogramKeeper,
  type Keeper,
  keeperOf,
  type KeepingPolicy,
  type Policy,
  policyName,
} from './policies.js';
import { type Application, type Day, eachCount, MINUTES } from './trace.js';
import { UnkeptApplication } from './unkept.js';

export interface AnalysisOptions {
  readonly policies: readonly Policy[];
  /** Memory of a VM before it holds an instance, MiB. */
  readonly vmMemoryMiB: number;
  /** Checked between applications. @throws its reason */
  readonly signal: AbortSignal;
}

/** Figures of one policy and one way of scaling. */
export interface PolicyResult extends Summary {
  /** `none`, `10 min`, `histogram`. */
  readonly policy: string;
  readonly scaling: Scaling;
  /** Functions for which the histogram policy would have asked its forecast at the day's end. */
  readonly wouldForecast?: number;
}

export interface Result {
  readonly figures: PolicyResult;
  /** What they were made of. */
  readonly outcome: Outcome;
}

export interface Analysis {
  readonly functions: number;
  readonly applications: number;
  readonly invocations: number;
  readonly functionsWithoutDuration: number;
  readonly applicationsWithoutMemory: number;
  readonly results: readonly Result[];
  /** Of each function that was invoked. */
  readonly invocationsOf: Float64Array;
  readonly averageMsOf: Float64Array;
  /** Of each application. */
  readonly memoryMiBOf: Float64Array;
}

/** The two outcomes of one policy. */
interface Pair {
  readonly horizontal: Outcome;
  readonly vertical: Outcome;
}

const newPair = (): Pair => ({ horizontal: new Outcome(), vertical: new Outcome() });

/** A policy that keeps instances, with what it has of the application at hand. */
class Kept {
  readonly pair = newPair();
  readonly tally = new InstanceTally();
  wouldForecast = 0;
  private readonly keeper: Keeper;
  private readonly ready = new Float64Array(MINUTES);
  private cold = 0;

  constructor(policy: KeepingPolicy) {
    this.keeper = keeperOf(policy);
  }

  open(): void {
    this.tally.reset();
    this.cold = 0;
  }

  add(demand: Demand, averageMs: number): void {
    const { keeper } = this;
    this.cold += runInstances(demand, averageMs, keeper, this.tally);
    if (keeper instanceof HistogramKeeper && keeper.beyondRange) this.wouldForecast++;
  }

  close(invocations: number, instanceMiB: number, vmMiB: number): void {
    const { ready, tally, pair, cold } = this;
    tally.readyInto(ready);
    let boots = 0;
    for (let minute = 0; minute < MINUTES; minute++) {
      const there = ready[minute] ?? 0;
      const started = tally.cold[minute] ?? 0;
      const ahead = tally.ahead[minute] ?? 0;
      const instances = there + started;
      if (instances === 0) continue;
      // The VM is a new one when none of its instances was there before.
      if (there === 0) boots++;
      else if (there === ahead) pair.vertical.startsAhead++;
      pair.horizontal.startsAhead += ahead;
      pair.horizontal.add(minute, instances, instances * (instanceMiB + vmMiB));
      pair.vertical.add(minute, 1, instances * instanceMiB + vmMiB);
    }
    pair.horizontal.close(cold, invocations);
    pair.vertical.verticalStarts += cold - boots;
    pair.vertical.close(boots, invocations);
  }
}

/** The same for the policy that keeps nothing. */
class Unkept {
  readonly pair = newPair();
  private readonly application = new UnkeptApplication();

  open(): void {
    this.application.reset();
  }

  add(demand: Demand, averageMs: number): void {
    this.application.add(demand, averageMs);
  }

  close(invocations: number, instanceMiB: number, vmMiB: number): void {
    const { application, pair } = this;
    let boots = 0;
    for (let minute = 0; minute < MINUTES; minute++) {
      const busy = application.busy[minute] ?? 0;
      const present = application.present(minute);
      boots += application.starts(minute);
      pair.horizontal.add(minute, busy, busy * (instanceMiB + vmMiB));
      pair.vertical.add(minute, present, busy * instanceMiB + present * vmMiB);
    }
    pair.horizontal.close(invocations, invocations);
    pair.vertical.verticalStarts += invocations - boots;
    pair.vertical.close(boots, invocations);
  }
}

function invocationsIn(application: Application): number[] {
  return application.functions.map(({ counts }) => {
    let total = 0;
    eachCount(counts, (_minute, count) => (total += count));
    return total;
  });
}

/** So often, at least, other work of the process gets its turn: applications. */
const YIELD_EVERY = 256;

const breathe = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/**
 * What a day would have cost.
 * @throws the signal's reason
 */
export async function analyze(day: Day, options: AnalysisOptions): Promise<Analysis> {
  const { policies, vmMemoryMiB, signal } = options;
  const runs = policies.map((policy) => (policy.kind === 'none' ? new Unkept() : new Kept(policy)));
  const demand = new Demand();
  const invocationsOf: number[] = [];
  const averageMsOf: number[] = [];
  const memoryMiBOf: number[] = [];
  let invocations = 0;
  let functionsWithoutDuration = 0;
  let applicationsWithoutMemory = 0;

  for (const [i, application] of day.applications.entries()) {
    if (i % YIELD_EVERY === 0) await breathe();
    signal.throwIfAborted();
    const { memoryMiB = day.medianMiB, functions } = application;
    if (application.memoryMiB === undefined) applicationsWithoutMemory++;
    memoryMiBOf.push(memoryMiB);
    for (const run of runs) run.open();
    const totals = invocationsIn(application);
    for (const [at, { counts, averageMs = day.medianMs }] of functions.entries()) {
      if (functions[at]?.averageMs === undefined) functionsWithoutDuration++;
      const total = totals[at] ?? 0;
      if (total === 0) continue;
      invocationsOf.push(total);
      averageMsOf.push(averageMs);
      demand.set(counts, averageMs);
      for (const run of runs) run.add(demand, averageMs);
    }
    const sum = totals.reduce((all, total) => all + total, 0);
    invocations += sum;
    if (sum > 0) for (const run of runs) run.close(sum, memoryMiB, vmMemoryMiB);
  }

  return {
    functions: day.applications.reduce((count, { functions }) => count + functions.length, 0),
    applications: day.applications.length,
    ...{ invocations, functionsWithoutDuration, applicationsWithoutMemory },
    invocationsOf: Float64Array.from(invocationsOf),
    averageMsOf: Float64Array.from(averageMsOf),
    memoryMiBOf: Float64Array.from(memoryMiBOf),
    results: policies.flatMap((policy, i) => {
      const run = runs[i];
      if (!run) return [];
      return (['horizontal', 'vertical'] as const).map((scaling): Result => {
        const outcome = run.pair[scaling];
        const forecasts =
          policy.kind === 'histogram' && run instanceof Kept
            ? { wouldForecast: run.wouldForecast }
            : {};
        const named = { policy: policyName(policy), scaling };
        return { figures: { ...named, ...summarize(outcome, invocations), ...forecasts }, outcome };
      });
    }),
  };
}
