/** Finds the place of an invocation that names neither a VM nor a snapshot. */
import type { Config } from '../config/index.js';
import { SparklerError, type ErrorCode } from '../errors.js';
import {
  place,
  type Decision,
  type PlacementRules,
  type SnapshotOption,
  type VmFacts,
} from './placement.js';
import { settingsIdOf } from './settings.js';
import type { Snapshots } from './snapshots.js';
import type { FunctionRecord, InvocationInput, SnapshotRecord } from './types.js';
import type { Vm } from './vm.js';
import type { Vms } from './vms.js';

export interface PlacerDeps {
  readonly config: Config;
  readonly vms: Vms;
  readonly snapshots: Snapshots;
}

/** A place that turned out so is not open, and another may be: nothing was given to a handler yet. */
const MOVES_ON: readonly ErrorCode[] = [
  'VM_NOT_FOUND',
  'VM_WRONG_STATE',
  'VM_DIED',
  'VMM_FAILED',
  'GUEST_NOT_READY',
  'GUEST_PANICKED',
  'GUEST_PROTOCOL',
  'SNAPSHOT_NOT_FOUND',
  'SNAPSHOT_UNUSABLE',
  'PAGE_SERVER_FAILED',
  'NO_MEMORY_BLOCK',
  'RESIZE_TIMED_OUT',
  'OPERATION_UNSUPPORTED',
];

/** What turned out not to be open to this invocation. */
export interface Shut {
  /** VMs and snapshots that are of no use to it. */
  readonly ids: Set<string>;
  /** VMs that hold no other instance for it, and why. */
  readonly full: Map<string, string>;
}

export class Placer {
  readonly #deps: PlacerDeps;

  constructor(deps: PlacerDeps) {
    this.#deps = deps;
  }

  /**
   * Where the invocation goes now. Whoever acts on it does so in the same turn of the event loop:
   * then the place is still open.
   * @throws SparklerError TOO_MANY_VMS, NO_PLACE
   */
  decide(input: InvocationInput, fn: FunctionRecord, shut: Shut): Decision {
    const { vms, snapshots } = this.#deps;
    const own = vms.all().filter((vm) => vm.functionName === fn.name && !vm.pooled && !vm.ending);
    const usable = own.filter((vm) => !shut.ids.has(vm.vmId) && serves(vm, fn, input.namespace));
    const decision = place({
      rules: this.#rules(input, fn),
      vms: usable.map((vm) => factsOf(vm, fn, shut)),
      vmCount: own.length,
      hostIsFull: vms.whyFull(),
      snapshots: snapshots
        .of(fn.name)
        .filter(({ ssId }) => !shut.ids.has(ssId))
        .map((record) => optionOf(record, fn)),
    });
    if (decision.target.to === 'none') throw nowhere(decision.target.code, fn, decision);
    return decision;
  }

  /** Whether another place may be tried after this one failed so. */
  movesOn(error: unknown): error is SparklerError {
    return error instanceof SparklerError && MOVES_ON.includes(error.code);
  }

  #rules(input: InvocationInput, fn: FunctionRecord): PlacementRules {
    const { order, maxInstancesPerVm, maxVmsPerFunction } = this.#deps.config.placement;
    return {
      order: input.placement ?? fn.placement.order ?? order,
      maxInstances: fn.placement.maxInstances ?? maxInstancesPerVm,
      maxVms: fn.placement.maxVms ?? maxVmsPerFunction,
    };
  }
}

/** Its instances are those that the function, as it is now, would get in a VM of its own. */
function serves(vm: Vm, fn: FunctionRecord, namespace: string | undefined): boolean {
  const { request } = vm;
  // Restored ahead and not resumed yet: it waits for whoever asked for it.
  if (vm.asleep || request.namespace !== namespace) return false;
  const settings = settingsIdOf(fn);
  return (
    request.codeId === fn.codeId &&
    request.image === fn.image &&
    request.kernel === fn.kernel &&
    request.vcpus >= fn.vcpus &&
    request.memory.instanceMiB === fn.memMiB &&
    request.memory.maxMiB >= fn.memMiB &&
    vm.settingsId === settings &&
    settingsIdOf(request.fn) === settings
  );
}

function factsOf(vm: Vm, fn: FunctionRecord, shut: Shut): VmFacts {
  const { slots } = vm;
  return {
    vmId: vm.vmId,
    isUp: vm.isStarted,
    idle: slots.idle,
    instances: slots.size,
    waiting: slots.waiting,
    isFull: shut.full.get(vm.vmId) ?? whyFull(vm, fn),
    usedAt: vm.usedAt,
  };
}

function whyFull({ slots, elastic }: Vm, fn: FunctionRecord): string | undefined {
  if (elastic === undefined) return 'its VM has not come up';
  if (slots.isHeld) return 'a snapshot of its VM is being taken';
  return elastic.fits(fn.memMiB);
}

function optionOf(snapshot: SnapshotRecord, fn: FunctionRecord): SnapshotOption {
  const { ssId, createdAt } = snapshot;
  return { ssId, createdAt, isStale: whyStale(snapshot, fn) };
}

function whyStale(snapshot: SnapshotRecord, fn: FunctionRecord): string | undefined {
  if (snapshot.codeId !== fn.codeId) return 'it holds other code';
  if (snapshot.image !== fn.image) return 'it was made with another image';
  if (snapshot.kernel !== fn.kernel) return 'it was made with another kernel';
  if (snapshot.vcpus !== fn.vcpus) return 'it has another number of vCPUs';
  const { memory = { instanceMiB: snapshot.memMiB } } = snapshot;
  if (memory.instanceMiB !== fn.memMiB) return 'it has another size of memory';
  const { settingsId = snapshot.createdAt >= fn.updatedAt ? settingsIdOf(fn) : '' } = snapshot;
  if (settingsId === settingsIdOf(fn)) return undefined;
  return 'its instance was started with another runtime, handler or environment';
}

function nowhere(code: ErrorCode, fn: FunctionRecord, { passed }: Decision): SparklerError {
  const reasons = passed.map(({ place: where, why }) => `${where}: ${why}`).join('; ');
  const way =
    code === 'TOO_MANY_VMS'
      ? 'Wait, delete one, or raise max_vms.'
      : 'Allow another place with placement, or make one of these.';
  return new SparklerError(
    code,
    `There is no place for this invocation of ${fn.name} (${reasons}). ${way}`,
    { field: 'placement' },
  );
}
