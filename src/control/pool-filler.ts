/** Starts the pool's VMs, when they are wanted and the host has time for it, and ends them. */
import type { Config } from '../config/index.js';
import { SparklerError, type ErrorCode } from '../errors.js';
import type { Logger, Metrics, VmEnd } from '../telemetry/index.js';
import { Backoff, Demands, type Kind } from './demands.js';
import { notFound } from './errors.js';
import { shares } from './pool-demand.js';
import { countOf, keyOfVm, memOf, split } from './pooled.js';
import type { Restores } from './restores.js';
import type { Snapshots } from './snapshots.js';
import type { PoolInput } from './types.js';
import type { Vm } from './vm.js';
import type { Vms } from './vms.js';

export interface PoolFillerDeps {
  readonly config: Config;
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

type Wish = PoolInput & { readonly ssId: string };

/** A VM that was asked for and died while it waited: owed until its time would have been up. */
interface Owed {
  readonly wish: Wish;
  readonly key: string;
  readonly until: number;
}

export class PoolFiller {
  readonly demands = new Demands();
  readonly #deps: PoolFillerDeps;
  readonly #backoff = new Backoff();
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

  constructor(deps: PoolFillerDeps) {
    this.#deps = deps;
  }

  /** Pooled VMs that are not being ended. */
  all(): Vm[] {
    return this.#deps.vms.all().filter((vm) => vm.pooled && !vm.ending);
  }

  /** Starts a VM that somebody asks for; if it dies before its time is up, it is replaced. */
  add(wish: Wish): Promise<Vm> {
    return this.#create(wish, performance.now() + this.#deps.config.pool.keepMs);
  }

  /** Ends one that nobody has taken. */
  drop(vm: Vm, why: VmEnd, reason: string): void {
    const ended = this.#deps.vms.retire(vm, why, notFound.vm(vm.vmId, reason));
    void ended.then(() => this.#lookIn(0));
  }

  /** A VM of this kind failed before anybody was served by it. */
  failed(key: string): void {
    if (this.#isClosed) return;
    this.#backoff.failed(key, performance.now());
    this.#deps.metrics.poolReplaced();
  }

  /** One of them has served. */
  served(key: string): void {
    this.#backoff.served(key);
  }

  /** The snapshot is gone. */
  forget(ssId: string): void {
    this.demands.forget(ssId);
    this.#backoff.forget(ssId);
    this.#owed = this.#owed.filter(({ wish }) => wish.ssId !== ssId);
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

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** @param until somebody asked for it, and it is owed until then. */
  async #create(wish: Wish, until?: number): Promise<Vm> {
    const { ssId, strategy, namespace } = wish;
    const { functionName } = this.#deps.snapshots.get(ssId);
    const ended = (vm: Vm, why: VmEnd): void => {
      if (why !== 'died' && why !== 'start-failed') return;
      const key = keyOfVm(vm);
      this.failed(key);
      // What cannot be started was not waiting; its log says why.
      if (until !== undefined && why === 'died') this.#owed.push({ wish, key, until });
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

  /** An invocation uses a processor, and so does a start. */
  #hasSpareCpu(): boolean {
    return this.#busy <= Math.max(0, this.#deps.cpus - 2);
  }

  #isOfUse(): boolean {
    return this.demands.all().length > 0 || this.#owed.length > 0 || this.all().length > 0;
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
    this.demands.prune(now - pool.windowMs);
    this.#owed = this.#owed.filter(({ until }) => until > now);
    for (const vm of this.all()) {
      if (!vm.isStarted || vm.usedAt > now - pool.keepMs) continue;
      this.drop(vm, 'unused', `nobody took it from the pool for ${pool.keepMs} ms`);
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
      void this.#start(owed.wish, owed.key, owed.until);
      return;
    }
    const kind = this.#missing(now);
    if (kind) void this.#start({ ssId: kind.ssId, strategy: kind.strategy }, kind.key);
  }

  /**
   * The kind that lacks a VM, has room for it, and was called most. Where there is no room, a VM of
   * a kind that has too many gives way.
   */
  #missing(now: number): Kind | undefined {
    const { maxVms, maxMemMiB, windowMs } = this.#deps.config.pool;
    const [asked, own] = split(this.all(), (vm) => vm.pooled?.isAsked === true);
    const learned = this.demands.all().filter(({ isLearned }) => isLearned);
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
    if (surplus) this.drop(surplus, 'gave-way', 'another snapshot is invoked more often');
    return undefined;
  }

  /** Those that are being ended still take their room. */
  #hasRoom(memMiB: number): boolean {
    const { maxVms, maxMemMiB } = this.#deps.config.pool;
    const there = this.#deps.vms.all().filter((vm) => vm.pooled);
    return there.length < maxVms && memOf(there) + memMiB <= maxMemMiB;
  }

  async #start(wish: Wish, key: string, until?: number): Promise<void> {
    const { logger } = this.#deps;
    const began = performance.now();
    this.#isStarting = true;
    let vm: Vm | undefined;
    try {
      vm = await this.#create(wish, until);
      await vm.started;
      if (vm.pooled) this.demands.took(key, performance.now() - began);
    } catch (error) {
      // A VM that failed in its start has said so by itself, and one that was ended did not fail.
      const isOnPurpose = error instanceof SparklerError && ENDED.includes(error.code);
      if (vm === undefined && !isOnPurpose) {
        this.failed(key);
        logger.warn({ ssId: wish.ssId, err: error }, 'a VM could not be started for the pool');
      }
    } finally {
      this.#isStarting = false;
      this.#lookIn(0);
    }
  }
}
