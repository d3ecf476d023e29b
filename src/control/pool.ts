/** VMs that stand restored, rehearsed and paused for whoever invokes their snapshot next. */
import type { Config } from '../config/index.js';
import { SparklerError, type ErrorCode } from '../errors.js';
import type { Logger, Metrics, VmEnd } from '../telemetry/index.js';
import { Backoff, Demands, keyOf, type Kind } from './demands.js';
import { notFound } from './errors.js';
import type { Functions } from './functions.js';
import { shares } from './pool-demand.js';
import type { Restores } from './restores.js';
import type { Snapshots } from './snapshots.js';
import type { InvocationInput, PoolInfo, PoolInput } from './types.js';
import type { Vm } from './vm.js';
import type { Vms } from './vms.js';

export interface PoolDeps {
  readonly config: Config;
  readonly functions: Functions;
  readonly snapshots: Snapshots;
  readonly vms: Vms;
  readonly restores: Restores;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Processors of the host. */
  readonly cpus: number;
}

/** How often the pool is looked at, as a part of the time that a VM is kept, and at most, ms. */
const LOOKS = 4;
const LOOK_MAX_MS = 1_000;

/** Until a start was measured, ms. */
const START_GUESS_MS = 500;

/** What a VM that was not wanted any more ends with before it was started. */
const ENDED: readonly ErrorCode[] = ['VM_NOT_FOUND', 'SNAPSHOT_NOT_FOUND', 'SHUTTING_DOWN'];

/** A VM that was asked for and died while it waited; it is owed until somebody would have taken it. */
interface Owed {
  readonly input: PoolInput & { readonly ssId: string };
  readonly key: string;
  readonly until: number;
}

export class Pool {
  readonly #deps: PoolDeps;
  readonly #demands = new Demands();
  readonly #backoff = new Backoff();
  /** Snapshots as they were taken or invoked, the last one last. */
  readonly #recent: Set<string>;
  #owed: Owed[] = [];
  /** Invocations under way. */
  #busy = 0;
  /** Since when the host has a processor to spare, `performance.now()`. */
  #quietSince = performance.now();
  /** A start of the pool's own is under way: there is one at a time. */
  #isStarting = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #isClosed = false;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    const known = deps.snapshots.list().toSorted((a, b) => a.createdAt - b.createdAt);
    this.#recent = new Set(known.map(({ ssId }) => ssId));
  }

  /** Pooled VMs that are not being ended. */
  all(): Vm[] {
    return this.#deps.vms.all().filter((vm) => vm.pooled && !vm.ending);
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
    this.#demands.forget(ssId);
    this.#backoff.forget(ssId);
    this.#owed = this.#owed.filter(({ input }) => input.ssId !== ssId);
  }

  /**
   * Starts a VM for the pool because somebody asked for it. It may still be starting.
   * @throws SparklerError SNAPSHOT_NOT_FOUND, and what a restore is refused with.
   */
  async add(input: PoolInput): Promise<Vm> {
    const ssId = input.ssId ?? this.#last();
    const until = performance.now() + this.#deps.config.pool.keepMs;
    return this.#create({ ...input, ssId }, until);
  }

  /**
   * The VM that an invocation of a snapshot gets, out of the pool at once; undefined when none fits
   * or it must have one of its own.
   * @throws SparklerError SNAPSHOT_NOT_FOUND
   */
  take(input: InvocationInput): Vm | undefined {
    const { functionName, ssId, namespace, restore } = input;
    if (ssId === undefined) return undefined;
    const snapshot = this.#deps.snapshots.get(ssId);
    if (snapshot.functionName !== functionName) return undefined;
    this.used(ssId);
    // What is chosen or recorded for one invocation cannot have been done before.
    if (Object.keys(restore?.options ?? {}).length > 0) return undefined;
    const strategy = restore?.strategy ?? this.#deps.functions.get(functionName).restoreStrategy;
    const now = performance.now();
    if (this.#deps.config.pool.maxVms > 0) this.#demands.arrived(snapshot, strategy, now);
    const fits = (vm: Vm): boolean =>
      vm.request.snapshot?.ssId === ssId &&
      vm.request.namespace === namespace &&
      this.#agrees(vm, restore?.strategy, strategy);
    const vm = this.#choose(this.all().filter(fits), strategy, ssId);
    this.#deps.metrics.poolTaken(vm ? 'hit' : 'miss');
    if (vm) {
      vm.pooled = undefined;
      vm.usedAt = now;
    }
    return vm;
  }

  /** A VM that was taken failed before it was given its event: its invocation gets another. */
  lost(vm: Vm): void {
    if (this.#isClosed) return;
    this.#failed(keyOfVm(vm));
  }

  /**
   * A restored VM is ready for its first event.
   * @param readyMs from the request; VMs of the pool tell nothing of how long a start takes.
   */
  learn(vm: Vm, isPooled: boolean, readyMs: number): void {
    const { restore, request } = vm;
    if (restore === undefined || Object.keys(request.restore?.options ?? {}).length > 0) return;
    const key = keyOfVm(vm);
    if (isPooled) return this.#backoff.served(key);
    const kind = this.#demands.find(key);
    if (kind === undefined) return;
    kind.isLearned = restore.unlearned !== true && this.#isSettled(kind.strategy, kind.ssId);
    if (kind.startMs === undefined) this.#demands.took(key, readyMs);
  }

  /** An invocation begins. */
  begin(): void {
    this.#busy++;
  }

  /** An invocation has ended. */
  end(): void {
    const had = this.#hasSpareCpu();
    this.#busy--;
    if (!this.#hasSpareCpu()) return;
    if (!had) this.#quietSince = performance.now();
    if (this.#isOfUse()) this.#lookIn(this.#deps.config.pool.startWhenIdleMs);
  }

  /** Starts nothing any more. Its VMs are ended like all others. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
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

  /** Whoever asked for a VM of a strategy gets any invocation that names none. */
  #agrees(vm: Vm, named: string | undefined, strategy: string): boolean {
    if (vm.pooled?.isAsked === true && named === undefined) return true;
    const became = vm.restore?.strategy;
    return strategyOfVm(vm) === strategy || (became !== undefined && became === named);
  }

  /** The oldest that is ready, else the oldest that is starting. */
  #choose(fitting: readonly Vm[], strategy: Kind['strategy'], ssId: string): Vm | undefined {
    if (!this.#isSettled(strategy, ssId)) return undefined;
    const [unlearned, good] = split(fitting, (vm) => vm.restore?.unlearned === true);
    // Nobody will take them: what they lack is recorded by an invocation, this one maybe.
    const stale = unlearned.filter((vm) => strategyOfVm(vm) === strategy);
    for (const vm of stale) this.#end(vm, 'unused', 'it was restored before its recording');
    const ready = good.find((vm) => vm.isStarted && vm.machine?.state === 'paused');
    return ready ?? good.find((vm) => !vm.isStarted);
  }

  /** `auto` tries all strategies first, each in VMs of their own. */
  #isSettled(strategy: Kind['strategy'], ssId: string): boolean {
    return strategy !== 'auto' || this.#deps.restores.isSettled(ssId);
  }

  /** @param until somebody asked for it, and it is replaced if it dies before. */
  async #create(input: Owed['input'], until?: number): Promise<Vm> {
    const { ssId, strategy, namespace } = input;
    const { functionName } = this.#deps.snapshots.get(ssId);
    const ended = (vm: Vm, why: VmEnd): void => {
      if (why !== 'died' && why !== 'start-failed') return;
      const key = keyOfVm(vm);
      this.#failed(key);
      if (until !== undefined && why === 'died') this.#owed.push({ input, key, until });
    };
    const vm = await this.#deps.vms.create(
      {
        functionName,
        ssId,
        ...(strategy !== undefined && { restore: { strategy } }),
        ...(namespace !== undefined && { namespace }),
      },
      { ahead: true, pooled: { isAsked: until !== undefined, ended } },
    );
    this.#lookIn(this.#lookMs);
    return vm;
  }

  #failed(key: string): void {
    this.#backoff.failed(key, performance.now());
    this.#deps.metrics.poolReplaced();
  }

  #end(vm: Vm, why: VmEnd, reason: string): void {
    const ended = this.#deps.vms.end(vm, why, notFound.vm(vm.vmId, reason));
    void ended.then(() => this.#lookIn(0));
  }

  /** An invocation uses a processor, and so does a start. */
  #hasSpareCpu(): boolean {
    return this.#busy <= Math.max(0, this.#deps.cpus - 2);
  }

  #isOfUse(): boolean {
    return this.#demands.all().length > 0 || this.#owed.length > 0 || this.all().length > 0;
  }

  get #lookMs(): number {
    return Math.min(Math.ceil(this.#deps.config.pool.keepMs / LOOKS), LOOK_MAX_MS);
  }

  /** Looks after `ms`, or before if that is planned. */
  #lookIn(ms: number): void {
    const at = performance.now() + ms;
    if (this.#isClosed || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#look(), ms).unref();
  }

  #look(): void {
    this.#timerAt = Infinity;
    const { pool } = this.#deps.config;
    const now = performance.now();
    this.#demands.prune(now - pool.windowMs);
    this.#owed = this.#owed.filter(({ until }) => until > now);
    for (const vm of this.all()) {
      if (!vm.isStarted || vm.usedAt > now - pool.keepMs) continue;
      this.#end(vm, 'unused', `nobody took it from the pool for ${pool.keepMs} ms`);
    }
    if (!this.#isStarting && this.#hasSpareCpu()) {
      const quietMs = now - this.#quietSince;
      if (quietMs >= pool.startWhenIdleMs) this.#startNext(now);
      else this.#lookIn(pool.startWhenIdleMs - quietMs);
    }
    if (this.#isOfUse()) this.#lookIn(this.#lookMs);
  }

  #startNext(now: number): void {
    const { config, vms } = this.#deps;
    if (vms.all().length >= config.limits.maxVms) return;
    const owed = this.#owed.find(({ key }) => this.#backoff.isOver(key, now));
    if (owed) {
      this.#owed = this.#owed.filter((other) => other !== owed);
      return void this.#start(owed.input, owed.key, owed.until);
    }
    const kind = this.#missing(now);
    if (kind) void this.#start({ ssId: kind.ssId, strategy: kind.strategy }, kind.key);
  }

  /** The kind that lacks a VM, has room for it, and was called most; surplus VMs of other kinds give way to it. */
  #missing(now: number): Kind | undefined {
    const { maxVms, maxMemMiB, windowMs } = this.#deps.config.pool;
    const [asked, own] = split(this.all(), (vm) => vm.pooled?.isAsked === true);
    const learned = this.#demands.all().filter(({ isLearned }) => isLearned);
    const targets = shares(
      learned.map((kind) => ({
        ...kind,
        startMs: kind.startMs ?? START_GUESS_MS,
        asked: countOf(asked, kind.key),
      })),
      { vms: maxVms - asked.length, memMiB: maxMemMiB - memOf(asked) },
      now - windowMs,
    );
    const target = (key: string): number => targets.get(key) ?? 0;
    const [kind] = learned
      .filter(({ key }) => countOf(own, key) < target(key) && this.#backoff.isOver(key, now))
      .sort((a, b) => b.arrivals.length - a.arrivals.length);
    if (kind === undefined || this.#hasRoom(kind.memMiB)) return kind;
    const surplus = own.find((vm) => countOf(own, keyOfVm(vm)) > target(keyOfVm(vm)));
    if (surplus) this.#end(surplus, 'gave-way', 'another snapshot is invoked more often');
    return undefined;
  }

  /** Those that are being ended still take their room. */
  #hasRoom(memMiB: number): boolean {
    const { maxVms, maxMemMiB } = this.#deps.config.pool;
    const there = this.#deps.vms.all().filter((vm) => vm.pooled);
    return there.length < maxVms && memOf(there) + memMiB <= maxMemMiB;
  }

  async #start(input: Owed['input'], key: string, until?: number): Promise<void> {
    const { logger } = this.#deps;
    const began = performance.now();
    this.#isStarting = true;
    let vm: Vm | undefined;
    try {
      vm = await this.#create(input, until);
      await vm.started;
      if (vm.pooled) this.#demands.took(key, performance.now() - began);
    } catch (error) {
      // A VM that failed in its start has said so by itself, and one that was ended did not fail.
      const isOnPurpose = error instanceof SparklerError && ENDED.includes(error.code);
      if (vm === undefined && !isOnPurpose) {
        this.#failed(key);
        logger.warn({ ssId: input.ssId, err: error }, 'a VM could not be started for the pool');
      }
    } finally {
      this.#isStarting = false;
      this.#lookIn(0);
    }
  }
}

function strategyOfVm(vm: Vm): Kind['strategy'] {
  return vm.request.restore?.strategy ?? vm.request.fn.restoreStrategy;
}

function keyOfVm(vm: Vm): string {
  return keyOf(vm.request.snapshot?.ssId ?? '', strategyOfVm(vm));
}

function memOf(vms: readonly Vm[]): number {
  return vms.reduce((sum, vm) => sum + vm.request.memMiB, 0);
}

function countOf(vms: readonly Vm[], key: string): number {
  return vms.filter((vm) => keyOfVm(vm) === key).length;
}

/** Those of which `is` holds, and the others. */
function split<T>(all: readonly T[], is: (one: T) => boolean): [T[], T[]] {
  return [all.filter(is), all.filter((one) => !is(one))];
}
