/** VMs that stand restored, rehearsed and paused for whoever invokes their snapshot next. */
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { Metrics } from '../telemetry/index.js';
import type { StrategyChoice } from './chooser.js';
import type { Functions } from './functions.js';
import { PoolFiller, type PoolFillerDeps } from './pool-filler.js';
import { keyOfVm, memOf, split, strategyOfVm } from './pooled.js';
import type { InvocationInput, PoolInfo, PoolInput } from './types.js';
import type { Vm } from './vm.js';

/** What an invocation found in the pool. */
export interface PoolHit {
  readonly vm: Vm;
  /** The VM stays in the pool, and the invocation's own is forked from it. */
  readonly isForked: boolean;
}

export interface PoolDeps extends PoolFillerDeps {
  readonly config: Config;
  readonly functions: Functions;
  readonly metrics: Metrics;
}

export class Pool {
  readonly #deps: PoolDeps;
  readonly #filler: PoolFiller;
  /** Snapshots as they were taken or invoked, the last one last. */
  readonly #recent: Set<string>;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#filler = new PoolFiller(deps);
    const known = deps.snapshots.list().toSorted((a, b) => a.createdAt - b.createdAt);
    this.#recent = new Set(known.map(({ ssId }) => ssId));
  }

  /** Pooled VMs that are not being ended. */
  all(): Vm[] {
    return this.#filler.all();
  }

  info(): PoolInfo {
    const { maxVms, maxMemMiB, windowMs, keepMs } = this.#deps.config.pool;
    const there = this.all();
    return { ...{ vms: there.length, memMiB: memOf(there) }, maxVms, maxMemMiB, windowMs, keepMs };
  }

  /** The snapshot was taken or invoked. */
  used(ssId: string): void {
    this.#recent.delete(ssId);
    this.#recent.add(ssId);
  }

  /** The snapshot is gone. */
  forget(ssId: string): void {
    this.#recent.delete(ssId);
    this.#filler.forget(ssId);
  }

  /**
   * Starts a VM for the pool because somebody asked for it. It may still be starting.
   * @throws SparklerError SNAPSHOT_NOT_FOUND, and what a restore is refused with.
   */
  async add(input: PoolInput): Promise<Vm> {
    const ssId = input.ssId ?? this.#last();
    return this.#filler.add({ ...input, ssId });
  }

  /**
   * The VM that an invocation of a snapshot gets, out of the pool at once, or is forked from;
   * undefined when none fits or it must have one of its own.
   * @throws SparklerError SNAPSHOT_NOT_FOUND
   */
  take(input: InvocationInput): PoolHit | undefined {
    const { functionName, ssId, namespace, restore } = input;
    if (ssId === undefined) return undefined;
    const snapshot = this.#deps.snapshots.get(ssId);
    if (snapshot.functionName !== functionName) return undefined;
    this.used(ssId);
    // What is chosen or recorded for one invocation cannot have been done before.
    if (Object.keys(restore?.options ?? {}).length > 0) return undefined;
    const strategy = restore?.strategy ?? this.#deps.functions.get(functionName).restoreStrategy;
    const now = performance.now();
    if (this.#deps.config.pool.maxVms > 0) this.#filler.demands.arrived(snapshot, strategy, now);
    const fits = (vm: Vm): boolean =>
      vm.request.snapshot?.ssId === ssId &&
      vm.request.namespace === namespace &&
      agrees(vm, restore?.strategy, strategy);
    const hit = this.#choose(this.all().filter(fits), strategy, ssId);
    this.#deps.metrics.poolTaken(hit ? 'hit' : 'miss');
    if (hit) {
      hit.vm.usedAt = now;
      if (!hit.isForked) hit.vm.pooled = undefined;
    }
    return hit;
  }

  /** A VM that was taken failed before it was given its event: its invocation gets another. */
  lost(vm: Vm): void {
    this.#filler.failed(keyOfVm(vm));
  }

  /**
   * A restored VM is ready for its first event.
   * @param readyMs from the request; VMs of the pool tell nothing of how long a start takes.
   */
  learn(vm: Vm, isPooled: boolean, readyMs: number): void {
    const { restore, request } = vm;
    if (restore === undefined || Object.keys(request.restore?.options ?? {}).length > 0) return;
    const key = keyOfVm(vm);
    const { demands } = this.#filler;
    if (isPooled) this.#filler.served(key);
    const kind = demands.find(key);
    if (isPooled || kind === undefined) return;
    kind.isLearned = restore.unlearned !== true && this.#isSettled(kind.strategy, kind.ssId);
    if (kind.startMs === undefined) demands.took(key, readyMs);
  }

  /** An invocation begins. */
  begin(): void {
    this.#filler.begin();
  }

  /** An invocation has ended. */
  end(): void {
    this.#filler.end();
  }

  /** Starts nothing any more. Its VMs are ended like all others. */
  close(): void {
    this.#filler.close();
  }

  /** @throws SparklerError SNAPSHOT_NOT_FOUND when there is none. */
  #last(): string {
    const last = [...this.#recent].at(-1);
    if (last !== undefined) return last;
    throw new SparklerError(
      'SNAPSHOT_NOT_FOUND',
      'A pooled VM is restored from a snapshot and none exists yet: take one first, or name it with ssId.',
      { field: 'ssId' },
    );
  }

  /**
   * The oldest that is ready, else the oldest that is starting. The last one that is ready stays, and
   * the invocation's VM is forked from it, where that can be done.
   */
  #choose(fitting: readonly Vm[], strategy: StrategyChoice, ssId: string): PoolHit | undefined {
    if (!this.#isSettled(strategy, ssId)) return undefined;
    const [unlearned, good] = split(fitting, (vm) => vm.restore?.unlearned === true);
    // Nobody will take them: what they lack is recorded by an invocation, this one maybe.
    const stale = unlearned.filter((vm) => strategyOfVm(vm) === strategy);
    for (const vm of stale) this.#filler.drop(vm, 'unused', 'it was restored before its recording');
    const ready = good.filter((vm) => vm.isStarted && vm.machine?.state === 'paused');
    const source = ready.find((vm) => vm.canFork);
    // One that others are forked from is theirs, too: it is not given away.
    const spare = ready.find((vm) => vm !== source && vm.clones === 0);
    if (spare) return { vm: spare, isForked: false };
    if (source) return { vm: source, isForked: true };
    const starting = good.find((vm) => !vm.isStarted);
    return starting && { vm: starting, isForked: false };
  }

  /** `auto` tries all strategies first, each in VMs of their own. */
  #isSettled(strategy: StrategyChoice, ssId: string): boolean {
    return strategy !== 'auto' || this.#deps.restores.isSettled(ssId);
  }
}

/** Whoever asked for a VM of a strategy gets any invocation that names none. */
function agrees(vm: Vm, named: StrategyChoice | undefined, strategy: StrategyChoice): boolean {
  if (vm.pooled?.isAsked === true && named === undefined) return true;
  const became = vm.restore?.strategy;
  return strategyOfVm(vm) === strategy || (became !== undefined && became === named);
}
