/** A machine's memory, with its state table, its turns and its sizes enforced. */
import { SparklerError } from '../errors.js';
import type { MachineSpec } from './driver.js';
import { checkSize } from './memory-checks.js';
import {
  MIB,
  PAGE_BYTES,
  type MemoryState,
  type MemorySteps,
  type Populated,
  type Resized,
  type VmMemory,
} from './memory.js';
import type { MachineOperation } from './transitions.js';

/** What the machine lends its memory. */
export interface Turns {
  /** @throws SparklerError VM_WRONG_STATE when `operation` is not legal now. */
  now(operation: MachineOperation): void;
  /** Does `work` when all operations before are over; the VM is ended when that takes too long. */
  inTurn<T>(operation: MachineOperation, limitMs: number, work: () => Promise<T>): Promise<T>;
}

/**
 * All of it rejects with VM_WRONG_STATE unless the VM runs (`state` also while it is paused), with
 * OPERATION_UNSUPPORTED for a device that the machine lacks, with INVALID_REQUEST for a size or a
 * block that it cannot have, and as the machine's operations do when the VM goes meanwhile.
 */
export class MachineMemory implements VmMemory {
  readonly #spec: MachineSpec;
  readonly #memory: VmMemory;
  readonly #steps: MemorySteps;
  readonly #turns: Turns;

  constructor(spec: MachineSpec, memory: VmMemory, steps: MemorySteps, turns: Turns) {
    this.#spec = spec;
    this.#memory = memory;
    this.#steps = steps;
    this.#turns = turns;
  }

  async ready(limitMs: number): Promise<Resized> {
    return this.#turns.inTurn('resize', limitMs, () => this.#memory.ready(limitMs));
  }

  async setBalloon(guestMiB: number, limitMs: number): Promise<Resized> {
    if (!this.#spec.memory?.balloon) throw this.#lacks('balloon');
    const { balloonMiB } = this.#steps;
    const range = [balloonMiB, this.#spec.memMiB] as const;
    checkSize('What a balloon leaves to the guest', guestMiB, balloonMiB, range);
    return this.#turns.inTurn('resize', limitMs, () => this.#memory.setBalloon(guestMiB, limitMs));
  }

  async setPlugged(mib: number, limitMs: number): Promise<Resized> {
    const { hotplug } = this.#spec.memory ?? {};
    if (!hotplug) throw this.#lacks('memory to plug in');
    const { maxMiB, stepMiB = this.#steps.hotplugMiB } = hotplug;
    checkSize('Plugged memory', mib, stepMiB, [0, maxMiB]);
    return this.#turns.inTurn('resize', limitMs, () => this.#memory.setPlugged(mib, limitMs));
  }

  /** Beside other operations: it may be long, and the guest goes on. */
  async populate(block: number, offset: number, bytes: number): Promise<Populated> {
    const size = this.#blockMiB(block) * MIB;
    const pages = [offset, bytes].every((at) => at >= 0 && at % PAGE_BYTES === 0);
    if (!pages || offset + bytes > size) {
      const message = `Bytes ${offset} to ${offset + bytes} are not whole pages of 4 KiB of block ${block}, which has ${size}.`;
      throw new SparklerError('INVALID_REQUEST', message);
    }
    this.#turns.now('populate');
    return this.#memory.populate(block, offset, bytes);
  }

  /** Beside other operations, as `populate`. */
  async discard(block: number): Promise<void> {
    this.#blockMiB(block);
    this.#turns.now('discard');
    return this.#memory.discard(block);
  }

  async state(): Promise<MemoryState> {
    this.#turns.now('stats');
    return this.#memory.state();
  }

  #blockMiB(block: number): number {
    const blocks = this.#spec.memory?.blocks ?? [];
    const found = blocks[block - 1];
    if (found) return found.memMiB;
    const has = blocks.length === 0 ? 'none' : `1 to ${blocks.length}`;
    const message = `VM ${this.#spec.vmId} has no block ${block} of memory; it has ${has}.`;
    throw new SparklerError('INVALID_REQUEST', message);
  }

  #lacks(what: string): SparklerError {
    const message = `VM ${this.#spec.vmId} has no ${what}: it must be made with it.`;
    return new SparklerError('OPERATION_UNSUPPORTED', message);
  }
}
