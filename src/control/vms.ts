/** All VMs: who may start, who is there, and how each one ends. */
import { rm } from 'node:fs/promises';
import { asSparklerError, SparklerError } from '../errors.js';
import type { MemoryPlan } from '../memory/index.js';
import type { VmEnd } from '../telemetry/index.js';
import { admit, admitMemory, partsOf, promisedBytes, type AdmissionDeps } from './admission.js';
import { invalid, notFound } from './errors.js';
import type { Functions } from './functions.js';
import { whoGivesWay, type IdleVm } from './give-way.js';
import { whole } from './function-input.js';
import { newId } from './ids.js';
import { Starter, type StarterDeps } from './starter.js';
import type { Slot } from './slots.js';
import type { SnapshotRecord, VmInput } from './types.js';
import type { VmMemories } from './vm-memory.js';
import { Vm, type Pooled, type VmRequest } from './vm.js';

export interface VmsDeps extends StarterDeps, AdmissionDeps {
  readonly functions: Functions;
  readonly memories: VmMemories;
  /** @throws SparklerError SNAPSHOT_NOT_FOUND */
  readonly snapshot: (ssId: string) => SnapshotRecord;
}

/** How often idle VMs are looked for, as a part of the idle time, and at most, milliseconds. */
const IDLE_LOOKS = 4;
const IDLE_LOOK_MAX_MS = 5_000;

/** How a VM is created. */
export interface Creation {
  /** No invocation waits for it. */
  readonly ahead?: boolean;
  /** It is for the pool. */
  readonly pooled?: Pooled;
  /** The VM of the same snapshot that it is forked from; it stands restored and paused. */
  readonly forkedFrom?: Vm;
}

interface Ended {
  readonly why: string;
  readonly console: string;
}

export class Vms {
  readonly #deps: VmsDeps;
  readonly #starter: Starter;
  readonly #vms = new Map<string, Vm>();
  readonly #ends = new Map<string, Promise<void>>();
  /** VMs that failed lately, oldest first. */
  readonly #failed = new Map<string, Ended>();
  readonly #idleTimer: NodeJS.Timeout | undefined;
  #closed: SparklerError | undefined;

  constructor(deps: VmsDeps) {
    this.#deps = deps;
    this.#starter = new Starter(deps);
    deps.memoryLedger.giveWay = (bytes) => this.#giveWay(bytes);
    const { idleVmMs, idleInstanceMs } = deps.config.timeouts;
    const waits = [idleVmMs, idleInstanceMs].filter((ms) => ms > 0);
    if (waits.length > 0) {
      const everyMs = Math.min(Math.ceil(Math.min(...waits) / IDLE_LOOKS), IDLE_LOOK_MAX_MS);
      this.#idleTimer = setInterval(() => {
        if (idleVmMs > 0) this.#endIdle(idleVmMs);
        if (idleInstanceMs > 0) this.#endIdleInstances(idleInstanceMs);
      }, everyMs).unref();
    }
  }

  get starter(): Starter {
    return this.#starter;
  }

  all(): Vm[] {
    return [...this.#vms.values()];
  }

  /** @throws SparklerError VM_NOT_FOUND, with the reason when it failed lately. */
  get(vmId: string): Vm {
    const vm = this.#vms.get(vmId);
    if (vm === undefined) throw notFound.vm(vmId, this.#failed.get(vmId)?.why);
    return vm;
  }

  /** @throws SparklerError VM_NOT_FOUND */
  console(vmId: string): string {
    return this.#failed.get(vmId)?.console ?? this.get(vmId).console();
  }

  /**
   * Admits and registers a VM and begins its start, which goes on after this returns: see
   * `vm.started`. A start that fails leaves nothing behind. At the limit a pooled VM gives way.
   * @throws SparklerError what admission finds wrong; SHUTTING_DOWN.
   */
  async create(input: VmInput, creation: Creation = {}): Promise<Vm> {
    const { ahead = false, pooled, forkedFrom } = creation;
    const request = this.#request(input);
    const { vm, room } = this.#register(request, pooled);
    if (forkedFrom) {
      vm.forkedFrom = forkedFrom;
      forkedFrom.clones++;
    }
    try {
      await room;
      vm.reservation = await admit(vm, this.#deps);
      vm.memoryReservation = await admitMemory(vm, this.#deps);
      const parts = await partsOf(request, this.#deps);
      vm.parts = parts;
      vm.mustLive();
      this.#begin(vm, this.#starter.start(vm, parts, ahead));
      return vm;
    } catch (error) {
      const known = vm.ending ?? asSparklerError(error);
      // Nothing was made yet: there is nothing to end but the place in the table.
      await this.#forget(vm, known);
      vm.begin(Promise.reject(known));
      throw known;
    }
  }

  /** A VM that somebody names and is about to use: it leaves the pool. @throws as `get`. */
  claim(vmId: string): Vm {
    const vm = this.get(vmId);
    vm.pooled = undefined;
    return vm;
  }

  /** Ends the pooled VMs of which `is` holds, and waits until they are gone. */
  async endPooled(is: (vm: Vm) => boolean): Promise<void> {
    const pooled = this.all().filter((vm) => vm.pooled && is(vm));
    const gone = (vm: Vm): SparklerError =>
      notFound.vm(vm.vmId, 'what it was made of was changed or deleted');
    await Promise.all(pooled.map((vm) => this.retire(vm, 'unused', gone(vm))));
  }

  /**
   * Ends a VM that nobody waits for: now, or with the last VM that was forked from it, which would
   * end with it. In that case this returns at once, and nothing is forked from it any more.
   */
  async retire(vm: Vm, why: VmEnd, error: SparklerError): Promise<void> {
    if (vm.clones === 0) return this.end(vm, why, error);
    vm.retired ??= { why, error };
    vm.pooled = undefined;
  }

  /** Ends the VM and waits until it is gone. Harmless when called again. */
  end(vm: Vm, why: VmEnd, error: SparklerError): Promise<void> {
    const running = this.#ends.get(vm.vmId);
    if (running) return running;
    if (this.#vms.get(vm.vmId) !== vm) return Promise.resolve();
    const ending = this.#end(vm, why, error).finally(() => this.#ends.delete(vm.vmId));
    this.#ends.set(vm.vmId, ending);
    return ending;
  }

  /** Ends the instance of a slot whose turn the caller has; the VM goes on. */
  async endInstance(vm: Vm, { instance }: Slot): Promise<void> {
    if (instance === undefined || vm.ending) return;
    const { session } = vm.live();
    // A guest that does not end it ends the session, and the VM with it.
    await session.kill(instance).catch((error: unknown) => {
      this.#deps.logger.warn({ vmId: vm.vmId, instance, err: error }, 'an instance stays');
    });
  }

  /** Refuses new VMs and ends all there are, within `shutdownMs`. */
  async close(error: SparklerError): Promise<void> {
    this.#closed = error;
    this.#deps.memoryLedger.close(error);
    clearInterval(this.#idleTimer);
    await Promise.all(this.all().map((vm) => this.end(vm, 'shutdown', error)));
  }

  #request(input: VmInput): VmRequest {
    const fn = this.#deps.functions.get(input.functionName);
    const { limits } = this.#deps.config;
    if (input.vcpus !== undefined) whole('vcpu', input.vcpus, limits.maxVcpus);
    if (input.memMiB !== undefined) whole('mem', input.memMiB, limits.maxMemMiB);
    const extras = {
      ...(input.namespace !== undefined && { namespace: input.namespace }),
      ...(input.restore && { restore: input.restore }),
    };
    if (input.ssId !== undefined) {
      const snapshot = this.#deps.snapshot(input.ssId);
      checkAgainst(snapshot, input);
      const { vcpus, memMiB, image, kernel, codeId } = snapshot;
      const memory = snapshot.memory ?? unchanging(memMiB);
      return { fn, snapshot, vcpus, memMiB, memory, image, kernel, codeId, ...extras };
    }
    const { codeId } = fn;
    // Says that there is no code, before anything else is looked at.
    this.#deps.functions.drive(fn.name, codeId);
    const memory = this.#deps.memories.plan(input, fn);
    return {
      fn,
      vcpus: input.vcpus ?? fn.vcpus,
      memMiB: memory.memMiB,
      memory,
      image: fn.image,
      kernel: this.#kernel(input.kernel ?? fn.kernel),
      codeId: codeId ?? '',
      ...extras,
    };
  }

  #kernel(alias: string): string {
    if (this.#deps.images.hasKernel(alias)) return alias;
    throw new SparklerError('KERNEL_NOT_FOUND', `There is no kernel named ${alias}.`, {
      field: 'kernel',
    });
  }

  /** Why no VM can be made for an invocation now; undefined: one can. */
  whyFull(): string | undefined {
    if (!this.#isFull() || this.#mayGiveWay(undefined)) return undefined;
    return `there are ${this.#vms.size} VMs, which is the limit (limits.maxVms)`;
  }

  #isFull(): boolean {
    const { maxVms } = this.#deps.config.limits;
    return this.all().filter((vm) => !vm.givesWay).length >= maxVms;
  }

  /** `room` settles when the VM that it takes the place of is gone. */
  #register(request: VmRequest, pooled: Pooled | undefined): { vm: Vm; room?: Promise<void> } {
    if (this.#closed) throw this.#closed;
    const { config } = this.#deps;
    const isFull = this.#isFull();
    const before = isFull ? this.#mayGiveWay(pooled) : undefined;
    if (isFull && before === undefined) {
      throw new SparklerError(
        'TOO_MANY_VMS',
        `There are ${this.#vms.size} VMs, which is the limit (limits.maxVms). Delete one, or wait.`,
      );
    }
    const { dataDir, limits } = config;
    const vm = new Vm(newId('vm'), request, dataDir, limits.consoleAnswerBytes);
    vm.pooled = pooled;
    this.#vms.set(vm.vmId, vm);
    if (before === undefined) return { vm };
    before.givesWay = true;
    const error = notFound.vm(before.vmId, 'it was ended to make room for another');
    return { vm, room: this.end(before, 'gave-way', error) };
  }

  /** The pool's own VMs, then those that were asked for; each only to what is worth more. */
  #mayGiveWay(pooled: Pooled | undefined): Vm | undefined {
    if (pooled?.isAsked === false) return undefined;
    // One that others are forked from stays while they do: its place would not be free.
    const waiting = this.all().filter((vm) => vm.pooled && !vm.ending && vm.clones === 0);
    const own = waiting.find((vm) => vm.pooled?.isAsked === false);
    return own ?? (pooled ? undefined : waiting[0]);
  }

  #begin(vm: Vm, starting: Promise<void>): void {
    const { metrics } = this.#deps;
    vm.starting = starting;
    const started = starting.then(
      () => {
        vm.isStarted = true;
        vm.usedAt = performance.now();
        metrics.vmStarted(vm.startKind, 'ok');
        this.#watch(vm);
      },
      async (error: unknown) => {
        const failure = await vm.failure(error);
        metrics.vmStarted(vm.startKind, failure.code);
        await this.end(vm, 'start-failed', failure);
        throw failure;
      },
    );
    vm.begin(started);
  }

  /** A VM that dies, or breaks the protocol, while nobody uses it is ended all the same. */
  #watch(vm: Vm): void {
    const endWith = async (error: SparklerError): Promise<void> => {
      if (!vm.ending) await this.end(vm, 'died', await vm.failure(error));
    };
    // A loading set that turns out damaged under a running guest.
    vm.restore?.beside?.catch((error: unknown) => endWith(asSparklerError(error)));
    void vm.session?.closed.then(endWith);
    void vm.machine?.exited.then((exit) =>
      endWith(new SparklerError('VM_DIED', `The VM ended by itself: ${exit.reason}.`)),
    );
  }

  async #end(vm: Vm, why: VmEnd, error: SparklerError): Promise<void> {
    const { logger, metrics, journal, restores, store, memoryLedger } = this.#deps;
    const snapshot = vm.parts?.snapshot;
    if (snapshot && error.code === 'SNAPSHOT_UNUSABLE') store.distrust(snapshot);
    vm.ending ??= error;
    // It may be waiting for memory.
    memoryLedger.look();
    vm.endsOnPurpose = why !== 'died' && why !== 'start-failed';
    vm.pooled?.ended(vm, why);
    // What was just recorded is worth the moment that it takes to be stored; it has its own limit.
    if (vm.endsOnPurpose) await vm.finishing;
    restores.abandon(vm);
    vm.slots.close(error);
    // It begins nothing more; what is under way ends with the session and the machine.
    void vm.elastic?.close();
    vm.session?.close();
    let left: unknown;
    try {
      await vm.machine?.close();
      // A start under way notices that it is being ended; its machine may have come up since.
      await vm.starting.catch(() => undefined);
      await vm.machine?.close();
      await vm.elastic?.close();
      await rm(vm.dir, { recursive: true, force: true });
      journal.doneAll(vm.journalIds);
    } catch (failure) {
      // The journal still names what is left: the next start of the daemon ends it.
      left = failure;
    }
    await this.#forget(vm, error, why);
    metrics.vmEnded(why);
    if (left !== undefined) logger.error({ vmId: vm.vmId, err: left }, 'a VM could not be ended');
    else if (why === 'died' || why === 'start-failed') {
      logger.warn({ vmId: vm.vmId, why, err: error }, 'a VM failed');
    } else logger.info({ vmId: vm.vmId, why }, 'a VM ended');
  }

  async #forget(vm: Vm, error: SparklerError, why?: VmEnd): Promise<void> {
    if (why === 'died' || why === 'start-failed') this.#keepConsole(vm, error);
    vm.dropMachine();
    vm.reservation?.release();
    vm.memoryReservation?.release();
    this.#vms.delete(vm.vmId);
    await this.#leave(vm);
    const { fn, codeId } = vm.request;
    const current = this.#deps.functions.find(fn.name)?.codeId;
    if (current !== codeId) await this.#deps.functions.sweep(fn.name);
  }

  /** Ends VMs that nobody uses, so that a request that lacks so many bytes may have them. */
  async #giveWay(bytes: number): Promise<boolean> {
    const idle = this.all().filter(
      ({ isStarted, ending, slots, clones }) =>
        // What was forked from it shares its memory.
        isStarted && !ending && !slots.taken && slots.waiting === 0 && clones === 0,
    );
    const facts = idle.map((vm): IdleVm => ({
      ...{ vmId: vm.vmId, usedAt: vm.usedAt, bytes: promisedBytes(vm, this.#deps.config) },
      ...(vm.pooled && { pooled: vm.pooled.isAsked ? 'asked' : 'own' }),
    }));
    const chosen = whoGivesWay(facts, bytes).map(({ vmId }) => vmId);
    const gone = idle.filter(({ vmId }) => chosen.includes(vmId));
    const ends = gone.map((vm) => {
      const error = notFound.vm(vm.vmId, 'it was idle, and its memory was needed for another');
      return this.end(vm, 'gave-way', error);
    });
    await Promise.all(ends);
    return gone.length > 0;
  }

  /** It is gone: the VM that it was forked from may be, too. */
  async #leave(vm: Vm): Promise<void> {
    const { forkedFrom } = vm;
    vm.forkedFrom = undefined;
    if (!forkedFrom) return;
    forkedFrom.clones--;
    forkedFrom.usedAt = performance.now();
    const { retired, clones } = forkedFrom;
    if (retired && clones === 0) await this.end(forkedFrom, retired.why, retired.error);
  }

  #keepConsole(vm: Vm, error: SparklerError): void {
    this.#failed.set(vm.vmId, { why: `it failed (${error.message})`, console: vm.console() });
    for (const [oldest] of this.#failed) {
      if (this.#failed.size <= this.#deps.config.limits.keptConsoles) break;
      this.#failed.delete(oldest);
    }
  }

  /** Beside others in its VM, an instance that nobody uses only holds memory. */
  #endIdleInstances(idleInstanceMs: number): void {
    const before = performance.now() - idleInstanceMs;
    for (const vm of this.#vms.values()) {
      if (!vm.isStarted || vm.ending || vm.asleep) continue;
      const idle = vm.slots.all().filter(({ usedAt }) => usedAt <= before);
      // The last one stays, and ends with its VM.
      for (const slot of idle.slice(0, vm.slots.size - 1)) {
        const turn = vm.slots.takeIdle(slot);
        if (turn) void this.endInstance(vm, slot).finally(turn.release);
      }
    }
  }

  #endIdle(idleVmMs: number): void {
    const before = performance.now() - idleVmMs;
    for (const vm of this.#vms.values()) {
      // The pool ends its own.
      if (
        vm.pooled ||
        vm.clones > 0 ||
        !vm.isStarted ||
        vm.ending ||
        vm.slots.taken ||
        vm.usedAt > before
      )
        continue;
      const error = notFound.vm(vm.vmId, `it was ended after ${idleVmMs} ms without work`);
      void this.end(vm, 'idle', error);
    }
  }
}

/** The memory of a machine that can do nothing with it. */
function unchanging(memMiB: number): MemoryPlan {
  return { policy: 'static', memMiB, baseMiB: 0, maxMiB: memMiB, instanceMiB: memMiB };
}

/** A restored VM is the machine of its snapshot: nothing of it can be asked for differently. */
function checkAgainst(snapshot: SnapshotRecord, input: VmInput): void {
  if (snapshot.functionName !== input.functionName) {
    throw new SparklerError(
      'FUNCTION_MISMATCH',
      `Snapshot ${snapshot.ssId} is of the function ${snapshot.functionName}, not of ${input.functionName}.`,
      { field: 'func_name' },
    );
  }
  const pairs = [
    ['vcpu', input.vcpus, snapshot.vcpus],
    ['mem', input.memMiB, snapshot.memory?.maxMiB ?? snapshot.memMiB],
    ['memory_policy', input.memoryPolicy, snapshot.memory?.policy ?? 'static'],
    ['kernel', input.kernel, snapshot.kernel],
  ] as const;
  for (const [field, asked, has] of pairs) {
    if (asked !== undefined && asked !== has) {
      throw invalid(field, `is ${asked}, but snapshot ${snapshot.ssId} has ${has}`);
    }
  }
}
