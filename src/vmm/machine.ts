/**
 * What everyone above this room holds of a VM. It wraps a driver's handle and adds, once for all
 * drivers: the state table, one operation at a time, a limit on every wait, and the VMM's death as
 * state `failed`.
 */
import type { Duplex } from 'node:stream';
import { SparklerError } from '../errors.js';
import type {
  MachineSpec,
  MemorySource,
  PagingStats,
  SnapshotFiles,
  VmExit,
  VmHandle,
  VmMarks,
  VmmCapabilities,
  VmmDriver,
  VmState,
  VmStats,
  VmWrites,
} from './driver.js';
import { pidOf, type ObservedSpec } from './footprint.js';
import { MachineMemory, type Turns } from './machine-memory.js';
import { checkForkable, checkMemoryLayout } from './memory-checks.js';
import type { VmMemory } from './memory.js';
import { nextState, type MachineOperation } from './transitions.js';
import { LimitExpired, within } from './within.js';

/** How long each step may take, milliseconds. */
export interface MachineLimits {
  /** A driver's `boot` and `restore` may take this long to have a VMM that answers. */
  readonly vmmStartMs: number;
  /** Added to it for `restore`: loading the device state. */
  readonly restoreMs: number;
  /** `pause` and `resume`, each. */
  readonly pauseMs: number;
  readonly snapshotMs: number;
  readonly closeMs: number;
}

/** A VM with its life cycle enforced. Made by `bootMachine` and `restoreMachine`. */
export class Machine {
  readonly spec: MachineSpec;
  /** Undefined when the machine was made without a `MemoryLayout`. */
  readonly memory: VmMemory | undefined;
  readonly #handle: VmHandle;
  readonly #limits: MachineLimits;
  #state: VmState;
  /** Settles when the operation before is over; operations wait in line on it. */
  #turn: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** Ends the wait of the operation under way when the VM goes. */
  #abort: ((reason: SparklerError) => void) | undefined;

  constructor(
    spec: MachineSpec,
    handle: VmHandle,
    state: VmState,
    limits: MachineLimits,
    { memorySteps }: Pick<VmmCapabilities, 'memorySteps'>,
  ) {
    this.spec = spec;
    this.#handle = handle;
    this.#state = state;
    this.#limits = limits;
    const turns: Turns = {
      now: (operation) => void nextState(operation, this.#state, spec.vmId),
      // A driver that is not back soon after the limit that it was given is broken.
      inTurn: (operation, limitMs, work) => this.#inTurn(operation, limitMs + limits.pauseMs, work),
    };
    this.memory = handle.memory && new MachineMemory(spec, handle.memory, memorySteps, turns);
    void handle.exited.then((exit) => this.#onExit(exit));
  }

  get state(): VmState {
    return this.#state;
  }
  get marks(): VmMarks {
    return this.#handle.marks;
  }
  get channel(): Duplex {
    return this.#handle.channel;
  }
  /** Resolves when the VMM is gone, whoever ended it. Never rejects. */
  get exited(): Promise<VmExit> {
    return this.#handle.exited;
  }
  /** The VMM's process id, where it has one. */
  get pid(): number | undefined {
    return pidOf(this.#handle);
  }
  consoleTail(): string {
    return this.#handle.consoleTail();
  }
  vmmLog(): string {
    return this.#handle.vmmLog();
  }

  /** @throws SparklerError VM_WRONG_STATE, VMM_FAILED (also when it takes too long), VM_DIED. */
  pause(): Promise<void> {
    return this.#inTurn('pause', this.#limits.pauseMs, () => this.#handle.pause());
  }
  /** @throws SparklerError as `pause` does. */
  resume(): Promise<void> {
    return this.#inTurn('resume', this.#limits.pauseMs, () => this.#handle.resume());
  }
  /** @throws SparklerError as `pause` does, and STORAGE_FULL. */
  snapshot(files: SnapshotFiles): Promise<void> {
    return this.#inTurn('snapshot', this.#limits.snapshotMs, () => this.#handle.snapshot(files));
  }

  /** Reads what the VMM has cost so far; does not wait for other operations. */
  async stats(): Promise<VmStats> {
    nextState('stats', this.#state, this.spec.vmId);
    return this.#handle.stats();
  }
  /** As `stats`. */
  async paging(): Promise<PagingStats> {
    nextState('stats', this.#state, this.spec.vmId);
    return this.#handle.paging();
  }
  /** As `stats`; see VmHandle. @throws SparklerError PAGE_SERVER_FAILED */
  async endTrace(): Promise<number> {
    nextState('stats', this.#state, this.spec.vmId);
    return this.#handle.endTrace();
  }
  /** As `stats`; see VmHandle. */
  async privatePages(): Promise<Uint8Array> {
    nextState('stats', this.#state, this.spec.vmId);
    return this.#handle.privatePages();
  }

  /** What of guest memory may still be written; does not wait for other operations. */
  async writes(): Promise<VmWrites> {
    nextState('stats', this.#state, this.spec.vmId);
    return this.#handle.writes();
  }

  /**
   * Ends the VM now, also in the middle of another operation, which then rejects. Harmless when
   * called again.
   * @throws SparklerError VMM_FAILED when it could not be ended in time: something may be left.
   */
  close(): Promise<void> {
    this.#state = nextState('close', this.#state, this.spec.vmId);
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    this.#abort?.(
      new SparklerError('VM_WRONG_STATE', `VM ${this.spec.vmId} was closed during the operation.`),
    );
    try {
      await within(this.#handle.close(), this.#limits.closeMs);
    } catch (error) {
      this.#closing = undefined; // So that a later close() tries again.
      throw this.#failure('close', this.#limits.closeMs, error);
    }
  }

  #onExit(exit: VmExit): void {
    if (this.#state === 'closed') return;
    this.#state = 'failed';
    this.#abort?.(
      exit.cause ??
        new SparklerError('VM_DIED', `VM ${this.spec.vmId} ended by itself: ${exit.reason}.`, {
          console: this.consoleTail(),
        }),
    );
  }

  async #inTurn<T>(
    operation: MachineOperation,
    limitMs: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const before = this.#turn;
    let release: () => void = () => undefined;
    this.#turn = new Promise((resolve) => (release = resolve));
    await before;
    try {
      const next = nextState(operation, this.#state, this.spec.vmId);
      const result = await this.#watched(operation, limitMs, work);
      // The VMM may have died in the very turn in which the operation ended.
      nextState(operation, this.#state, this.spec.vmId);
      this.#state = next;
      return result;
    } finally {
      release();
    }
  }

  /** Waits for `work`, its limit, or the VM's end, whichever comes first. */
  async #watched<T>(
    operation: MachineOperation,
    limitMs: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const gone = new Promise<never>((_, reject) => (this.#abort = reject));
    gone.catch(() => undefined);
    try {
      return await Promise.race([within(work(), limitMs), gone]);
    } catch (error) {
      if (!(error instanceof LimitExpired)) throw error;
      const failure = this.#failure(operation, limitMs, error);
      if (this.#state !== 'closed') this.#state = 'failed';
      // Whoever owns this machine sees `failed` and closes it; the VMM is ended already now.
      void this.#handle.close();
      throw failure;
    } finally {
      this.#abort = undefined;
    }
  }

  #failure(step: string, limitMs: number, error: unknown): SparklerError {
    if (!(error instanceof LimitExpired) && error instanceof SparklerError) return error;
    const why = error instanceof LimitExpired ? `took longer than ${limitMs} ms` : 'failed';
    return new SparklerError(
      'VMM_FAILED',
      `VM ${this.spec.vmId}: ${step} ${why}.`,
      { step, console: this.consoleTail() },
      error,
    );
  }
}

/**
 * Starts a VM whose guest boots: `running`.
 * @throws SparklerError VMM_FAILED when the VMM did not come up in time, what `checkMemoryLayout`
 * throws, and what the driver throws.
 */
export async function bootMachine(
  driver: VmmDriver,
  spec: ObservedSpec,
  limits: MachineLimits,
): Promise<Machine> {
  checkMemoryLayout(spec, driver.capabilities);
  const handle = await start('boot', driver.boot(spec), limits.vmmStartMs, spec);
  return new Machine(spec, handle, 'running', limits, driver.capabilities);
}

/** Starts a VM with a snapshot's state loaded: `paused`. @throws SparklerError as `bootMachine`. */
export async function restoreMachine(
  driver: VmmDriver,
  spec: ObservedSpec,
  files: SnapshotFiles,
  memory: MemorySource,
  limits: MachineLimits,
): Promise<Machine> {
  const limitMs = limits.vmmStartMs + limits.restoreMs;
  const { memorySources } = driver.capabilities;
  if (!memorySources.includes(memory.kind)) {
    const can = memorySources.join(', ');
    const message = `This VMM cannot restore memory by ${memory.kind}; it can by: ${can}.`;
    throw new SparklerError('OPERATION_UNSUPPORTED', message, { step: 'restore' });
  }
  checkMemoryLayout(spec, driver.capabilities);
  if (spec.hasClones === true || memory.kind === 'fork') checkForkable(spec);
  const handle = await start('restore', driver.restore(spec, files, memory), limitMs, spec);
  return new Machine(spec, handle, 'paused', limits, driver.capabilities);
}

async function start(
  step: 'boot' | 'restore',
  starting: Promise<VmHandle>,
  limitMs: number,
  spec: MachineSpec,
): Promise<VmHandle> {
  try {
    return await within(starting, limitMs);
  } catch (error) {
    if (!(error instanceof LimitExpired)) throw error;
    // The handle may still come: nobody else would end it.
    starting.then(
      (late) => late.close(),
      () => undefined,
    );
    throw new SparklerError(
      'VMM_FAILED',
      `VM ${spec.vmId}: the VMM was not up after ${limitMs} ms.`,
      { step },
      error,
    );
  }
}
