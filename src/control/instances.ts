/** The instances of VMs: their memory, their start, and what is freed when they are gone. */
import type { Config } from '../config/index.js';
import type { HandlerSpec } from '../guest/index.js';
import type { Grant } from '../memory/index.js';
import type { MemoryLedger } from './memory-ledger.js';
import type { Slot } from './slots.js';
import type { Vm } from './vm.js';

export interface InstancesDeps {
  readonly config: Config;
  readonly memoryLedger: MemoryLedger;
}

const MIB = 1024 * 1024;

export class Instances {
  readonly #deps: InstancesDeps;

  constructor(deps: InstancesDeps) {
    this.#deps = deps;
  }

  /**
   * What a VM that has just booted gets: its first instance, and a zygote from which it and all later
   * ones are made where the VM may come to hold several.
   * @throws SparklerError HANDLER_*, and what `ensure` throws.
   */
  async first(vm: Vm): Promise<void> {
    const { layout, maxMiB, baseMiB, instanceMiB } = vm.request.memory;
    const allowed =
      vm.request.fn.placement.maxInstances ?? this.#deps.config.placement.maxInstancesPerVm;
    const hasRoom = layout !== undefined && maxMiB - baseMiB >= 2 * instanceMiB;
    if (hasRoom && allowed > 1) await vm.live().session.startZygote(handlerOf(vm));
    const [slot] = vm.slots.all();
    if (slot) await this.ensure(vm, slot);
  }

  /**
   * The slot's live instance; a fresh one when it has none.
   * @throws SparklerError HANDLER_*; NO_MEMORY_BLOCK, RESIZE_TIMED_OUT, HOST_MEMORY_FULL: there is no
   * memory for it.
   */
  async ensure(vm: Vm, slot: Slot): Promise<number> {
    // One that was in a snapshot has none yet.
    slot.grant ??= await this.#grow(vm);
    if (slot.instance !== undefined) return slot.instance;
    try {
      return await this.#start(vm, slot);
    } catch (error) {
      this.vacated(vm, slot);
      throw error;
    }
  }

  /** The slot's instance is gone: so is its memory. */
  vacated(vm: Vm, slot: Slot): void {
    const { grant } = slot;
    slot.grant = undefined;
    if (grant) vm.releasing = Promise.all([vm.releasing, grant.release()]);
  }

  async #start(vm: Vm, slot: Slot): Promise<number> {
    const { session } = vm.live();
    const { instance, initMs, fromZygote } = await session.startInstance({
      ...handlerOf(vm),
      ...(slot.grant && { memMiB: slot.grant.memMiB }),
      ...(slot.grant?.nodes && { nodes: slot.grant.nodes }),
    });
    slot.born = { initMs, fromZygote };
    // It may have ended since it was ready.
    if (session.instances.includes(instance)) slot.instance = instance;
    else this.vacated(vm, slot);
    return instance;
  }

  async #grow(vm: Vm): Promise<Grant | undefined> {
    const { elastic, request } = vm;
    if (elastic === undefined) return undefined;
    await vm.releasing;
    const { instanceMiB } = request.memory;
    const before = vm.promisedMiB;
    const left = elastic.summary().configuredMiB - before;
    const growth = Math.min(instanceMiB, Math.max(0, left)) * MIB;
    if (growth === 0) return elastic.grow(instanceMiB);
    const reservation = await this.#deps.memoryLedger.reserve({
      what: `another instance in VM ${vm.vmId}`,
      need: () => growth,
      // From the grant on it is part of what the VM is charged.
      bytes: () => Math.max(0, growth - Math.max(0, vm.promisedMiB - before) * MIB),
      isUrgent: true,
      over: () => vm.ending,
    });
    try {
      return await elastic.grow(instanceMiB);
    } finally {
      reservation.release();
    }
  }
}

function handlerOf({ request }: Vm): HandlerSpec {
  const { runtime, handler, env } = request.fn;
  return { runtime, handler, env };
}
