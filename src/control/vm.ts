/** One VM as the use cases see it: its machine, its session, its line of waiting work. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestSession } from '../guest/index.js';
import { asSparklerError, SparklerError, type ErrorCode } from '../errors.js';
import type { VmEnd } from '../telemetry/index.js';
import type { Accelerator, Drive, Machine, MachineSpec, VmStats } from '../vmm/index.js';
import type { ElasticMemory, MemoryPlan } from '../memory/index.js';
import type { Reservation } from './disk.js';
import type { MemoryReservation } from './memory-ledger.js';
import { ownBytes } from './host-memory.js';
import type { ImageInfo, KernelInfo } from './ports.js';
import { settingsIdOf } from './settings.js';
import { Slots } from './slots.js';
import type { LoadedSnapshot, PreparedRestore, StrategyName } from '../snapshot/index.js';
import type { FunctionRecord, RestoreChoice, SnapshotRecord, VmView } from './types.js';
import { withConsole } from './errors.js';

/** What was asked for; fixed before anything is made. */
export interface VmRequest {
  readonly fn: FunctionRecord;
  readonly snapshot?: SnapshotRecord;
  readonly vcpus: number;
  /** The machine's own memory; what can come and go beside it is in `memory`. */
  readonly memMiB: number;
  readonly memory: MemoryPlan;
  readonly image: string;
  readonly kernel: string;
  readonly codeId: string;
  readonly namespace?: string;
  /** How the snapshot is restored. */
  readonly restore?: RestoreChoice;
}

/** Where the parts lie; known once admission has looked. */
export interface VmParts {
  readonly image: ImageInfo;
  readonly kernel: KernelInfo;
  readonly codePath: string;
  readonly kernelArgs: string;
  /** Restores only: the instances that live in the snapshot. */
  readonly instances: readonly number[];
  /** Restores only: the snapshot, proved whole. */
  readonly snapshot?: LoadedSnapshot;
}

/** A VM's restore, from its preparation until its first invocation was answered. */
export interface VmRestore extends PreparedRestore {
  readonly strategy: StrategyName;
  readonly ssId: string;
}

/** What the pool knows of a VM that waits in it. */
export interface Pooled {
  /** Somebody asked for it; else the pool started it by itself. */
  readonly isAsked: boolean;
  /** It is being ended before anybody took it. */
  readonly ended: (vm: Vm, why: VmEnd) => void;
}

const MIB = 1024 * 1024;

/** How an operation may fail because the VMM ended under it. */
const BROKEN_OFF: readonly ErrorCode[] = ['VM_DIED', 'VMM_FAILED'];

/** How long a VMM that ends may take to be gone, with its reason, ms. */
const EXIT_GRACE_MS = 1000;

const NO_STATS: VmStats = { minorFaults: 0, majorFaults: 0, residentBytes: 0 };

export class Vm {
  readonly vmId: string;
  readonly request: VmRequest;
  readonly dir: string;
  readonly createdAt = Date.now();
  /** The places of its instances, and the line of invocations and snapshots that wait for them. */
  readonly slots = new Slots();
  /** Its memory, from the moment that its guest has come up. */
  elastic: ElasticMemory | undefined;
  /** Settles when the memory of instances that are gone was given back. */
  releasing: Promise<unknown> = Promise.resolve();
  /** The host's memory that is kept for it. */
  memoryReservation: MemoryReservation | undefined;
  /** Disk space that is kept for it. */
  reservation: Reservation | undefined;
  /** Open entries of the journal that end with this VM. */
  journalIds: readonly number[] = [];

  /** What it is made of, once admission has looked. */
  parts: VmParts | undefined;
  machine: Machine | undefined;
  session: GuestSession | undefined;
  /** Settles when nothing of the start is under way any more; `end` waits for it. */
  starting: Promise<void> = Promise.resolve();
  /** Settles when the VM can serve (or stands restored and paused), or its start has failed. */
  readonly started: Promise<void>;
  isStarted = false;
  /** Restored and not yet resumed: the first invocation does it. */
  asleep = false;
  /** It is being resumed: settles when it serves. */
  waking: Promise<number> | undefined;
  /** Waits in the pool; cleared by whoever takes it, who then owns it. */
  pooled: Pooled | undefined;
  /** Ends to make room for another, which counts in its place. */
  givesWay = false;
  /** Other VMs may be forked from it while it stands restored and paused. */
  canFork = false;
  /** The VM that this one is forked from: it stays for as long as this one does. */
  forkedFrom: Vm | undefined;
  /** VMs that are forked from it and not gone yet. */
  clones = 0;
  /** Forks of it under way: it stands still until they are made. */
  readonly #forking = new Set<Promise<unknown>>();
  /** It ends with the last of its clones, for this reason. */
  retired: { readonly why: VmEnd; readonly error: SparklerError } | undefined;
  /** How it was restored, until its first invocation was answered. */
  restore: VmRestore | undefined;
  /** Settles when what its first invocation teaches is stored; nothing else is done to it before. */
  finishing: Promise<void> = Promise.resolve();
  /** Somebody wanted it to end; it did not fail. */
  endsOnPurpose = false;
  /** Why it is being ended: what all who wait for it get. */
  ending: SparklerError | undefined;
  invocations = 0;
  /** When it last began or ended work, `performance.now()`. */
  usedAt = performance.now();
  readonly #consoleAnswerBytes: number;
  #settleStarted: (start: Promise<void>) => void = () => undefined;
  #lastConsole = '';

  constructor(vmId: string, request: VmRequest, dataDir: string, consoleAnswerBytes: number) {
    this.vmId = vmId;
    this.request = request;
    this.dir = join(dataDir, 'vms', vmId);
    this.#consoleAnswerBytes = consoleAnswerBytes;
    this.started = new Promise((resolve) => (this.#settleStarted = resolve));
    // Whoever waits for it hears of a failure; when nobody does, the log has it.
    this.started.catch(() => undefined);
  }

  /** `started` settles as `start` does. */
  begin(start: Promise<void>): void {
    this.#settleStarted(start);
  }

  /** Which settings its instances were started with; undefined: of an old snapshot, unknown. */
  get settingsId(): string | undefined {
    const { snapshot, fn } = this.request;
    return snapshot ? snapshot.settingsId : settingsIdOf(fn);
  }
  /** What its guest may come to use as it is now, MiB. */
  get promisedMiB(): number {
    const { elastic } = this;
    const { memMiB, baseMiB } = this.request.memory;
    if (elastic === undefined) return memMiB;
    // An instance that rests between two invocations comes back for all that was granted.
    const { grantedMiB, configuredMiB } = elastic.summary();
    const granted = Math.min(baseMiB + grantedMiB, configuredMiB);
    return Math.max(elastic.promisedMiB, granted);
  }
  /**
   * Makes a fork of it by `make`.
   * @throws SparklerError VM_DIED when it cannot be forked any more; what `make` throws.
   */
  async fork<T>(make: () => Promise<T>): Promise<T> {
    if (!this.canFork || !this.asleep || this.ending) {
      throw new SparklerError('VM_DIED', `VM ${this.vmId} cannot be forked any more.`);
    }
    const forking = make();
    this.#forking.add(forking);
    try {
      return await forking;
    } finally {
      this.#forking.delete(forking);
    }
  }

  /**
   * Resolves when whoever has its turn may use it: it has started, and nothing is forked from it any
   * more, nor will be. @throws what its start failed with.
   */
  async usable(): Promise<void> {
    await this.started;
    this.canFork = false;
    await Promise.allSettled(this.#forking);
  }

  get functionName(): string {
    return this.request.fn.name;
  }
  get startKind(): 'cold' | 'snapshot' {
    return this.request.snapshot ? 'snapshot' : 'cold';
  }
  get state(): VmView['state'] {
    if (this.ending) return 'closing';
    if (!this.isStarted) return 'starting';
    return this.machine?.state ?? 'closed';
  }

  /** The guest console's last bytes, also after the machine is gone. */
  console(): string {
    return this.machine?.consoleTail() ?? this.#lastConsole;
  }

  /** Lets a machine go that is closed, keeping its console. */
  dropMachine(): void {
    this.#lastConsole = this.console();
    this.machine = undefined;
    this.session = undefined;
  }

  /** What an operation that failed with `error` answers. */
  async failure(error: unknown): Promise<SparklerError> {
    // An end on purpose is the reason for whatever it broke; else the operation knows best.
    if (this.ending && this.endsOnPurpose) return this.ending;
    return this.explain(await this.#reason(asSparklerError(error)));
  }

  /** What broke because the VMM ended says less than what ended the VMM. */
  async #reason(error: SparklerError): Promise<SparklerError> {
    const { machine } = this;
    if (!BROKEN_OFF.includes(error.code) && machine?.state !== 'failed') return error;
    const exit = await Promise.race([
      machine?.exited,
      sleep(EXIT_GRACE_MS, undefined, { ref: false }),
    ]);
    if (exit?.cause) return exit.cause;
    const { ending } = this;
    return ending && error.code === 'VM_DIED' && ending.code !== 'VM_DIED' ? ending : error;
  }

  /** What went wrong, with the console where the guest is to blame. */
  explain(error: unknown): SparklerError {
    const known = asSparklerError(error);
    if (known.kind.fault !== 'guest' && known.code !== 'VMM_FAILED') return known;
    return withConsole(known, this.console(), this.#consoleAnswerBytes);
  }

  /** @throws what the VM is being ended with. */
  mustLive(): void {
    if (this.ending) throw this.ending;
  }

  /** @throws SparklerError VM_DIED before admission has looked. */
  mustHaveParts(): VmParts {
    if (this.parts) return this.parts;
    throw new SparklerError('VM_DIED', `VM ${this.vmId} is not running.`);
  }

  /** @throws SparklerError VM_DIED when there is no running machine. */
  live(): { machine: Machine; session: GuestSession } {
    this.mustLive();
    const { machine, session } = this;
    if (machine && session) return { machine, session };
    throw new SparklerError('VM_DIED', `VM ${this.vmId} is not running.`);
  }

  /** What the VMM has cost; zeros when it cannot be asked any more. */
  async stats(): Promise<VmStats> {
    const { machine } = this;
    if (machine?.state !== 'running' && machine?.state !== 'paused') return NO_STATS;
    return machine.stats().catch(() => NO_STATS);
  }

  /** What it may still write to its folder, bytes. */
  async unwrittenBytes(): Promise<number> {
    // A restored VM maps its snapshot's memory privately.
    if (this.request.snapshot) return 0;
    const { machine } = this;
    // Not up yet, or failed and about to be tried again: all of its memory is still to come.
    const all = this.ending || this.isStarted ? 0 : this.request.memMiB * MIB;
    if (machine?.state !== 'running' && machine?.state !== 'paused') return all;
    return machine.writes().then(
      (writes) => writes.running,
      // It ended while it was asked.
      () => all,
    );
  }

  /** What it may still come to use of the host's memory, bytes. @param vmmMiB what its VMM needs beside. */
  async unusedBytes(vmmMiB: number): Promise<number> {
    const pid = this.machine?.pid;
    const own = pid === undefined ? 0 : await ownBytes(pid);
    return Math.max(0, (this.promisedMiB + vmmMiB) * MIB - own);
  }

  /** Resident memory of the VMM, bytes; undefined when it has none, or none any more. */
  async residentBytes(): Promise<number | undefined> {
    const { machine } = this;
    if (machine?.state !== 'running' && machine?.state !== 'paused') return undefined;
    return machine.stats().then(
      (stats) => stats.residentBytes,
      // It ended while it was asked.
      () => undefined,
    );
  }

  spec(parts: VmParts): MachineSpec {
    const drives: Drive[] = [
      { id: 'root', path: parts.image.rootPath },
      { id: 'code', path: parts.codePath },
    ];
    return {
      vmId: this.vmId,
      vcpus: this.request.vcpus,
      memMiB: this.request.memMiB,
      ...(this.request.memory.layout && { memory: this.request.memory.layout }),
      kernelPath: parts.kernel.kernelPath,
      initrdPath: parts.kernel.initrdPath,
      kernelArgs: parts.kernelArgs,
      drives,
      dir: this.dir,
    };
  }

  view(accelerator: Accelerator, memory: VmView['memory'], residentBytes?: number): VmView {
    const { request, machine } = this;
    return {
      vmId: this.vmId,
      functionName: request.fn.name,
      state: this.state,
      startKind: this.startKind,
      ...(request.snapshot && { ssId: request.snapshot.ssId }),
      ...(request.namespace !== undefined && { namespace: request.namespace }),
      vcpus: request.vcpus,
      memMiB: request.memory.maxMiB,
      memory,
      image: request.image,
      kernel: request.kernel,
      accelerator,
      path: this.dir,
      ...(machine?.pid !== undefined && { pid: machine.pid }),
      invocations: this.invocations,
      busy: this.slots.taken,
      ...(this.pooled && { pooled: true }),
      createdAt: this.createdAt,
      ...(residentBytes !== undefined && { residentBytes }),
    };
  }
}
