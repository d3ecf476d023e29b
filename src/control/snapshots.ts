/** Snapshots: taking, changing and deleting them; their records as the registry has them. */
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { GuestSession } from '../guest/index.js';
import type { Registry } from '../registry/index.js';
import {
  digHoles,
  dropCache,
  loadCache,
  type SnapshotFacts,
  type SnapshotPlan,
  type SnapshotStore,
} from '../snapshot/index.js';
import type { Metrics } from '../telemetry/index.js';
import type { Machine, VmmDriver } from '../vmm/index.js';
import { admitCopy, admitSnapshot } from './admission.js';
import type { DiskLedger } from './disk.js';
import { invalid, notFound } from './errors.js';
import type { Functions } from './functions.js';
import { newId } from './ids.js';
import type { Restores } from './restores.js';
import type {
  SnapshotCopyInput,
  SnapshotInput,
  SnapshotPatch,
  SnapshotRecord,
  SnapshotTaken,
} from './types.js';
import type { Vm } from './vm.js';
import type { Vms } from './vms.js';

export interface SnapshotsDeps {
  readonly config: Config;
  readonly registry: Registry;
  readonly store: SnapshotStore;
  readonly driver: VmmDriver;
  readonly functions: Functions;
  readonly metrics: Metrics;
  readonly ledger: DiskLedger;
  readonly restores: Restores;
  readonly vms: () => Vms;
}

interface Written {
  readonly snapshot: SnapshotRecord;
  /** The guest stood still for so long, milliseconds. */
  readonly pausedMs: number;
}

export class Snapshots {
  readonly #deps: SnapshotsDeps;
  readonly #records = new Map<string, SnapshotRecord>();
  /** Ids whose snapshot is being taken or deleted. */
  readonly #busy = new Set<string>();

  constructor(deps: SnapshotsDeps) {
    this.#deps = deps;
    for (const record of deps.registry.snapshots()) this.#records.set(record.ssId, record);
  }

  list(): SnapshotRecord[] {
    return [...this.#records.values()];
  }

  has(ssId: string): boolean {
    return this.#records.has(ssId);
  }

  /** @throws SparklerError SNAPSHOT_NOT_FOUND */
  get(ssId: string): SnapshotRecord {
    const record = this.#records.get(ssId);
    if (record === undefined) throw notFound.snapshot(ssId);
    return record;
  }

  /** Waits until the VM is idle; it goes on afterwards. */
  async take(input: SnapshotInput): Promise<SnapshotTaken> {
    const requested = performance.now();
    const { config, store, metrics } = this.#deps;
    const vm = this.#deps.vms().claim(input.vmId);
    const ssId = this.#freeId(input.ssId);
    const plan = store.plan(ssId, input);
    this.#busy.add(ssId);
    try {
      const release = await vm.slots.takeAll(config.limits.maxQueuedPerVm);
      try {
        await vm.usable();
        const { snapshot, pausedMs } = await this.#takeReserved(vm, plan);
        const totalMs = performance.now() - requested;
        metrics.snapshotTaken(totalMs, pausedMs);
        return { snapshot, totalMs, pausedMs };
      } catch (error) {
        throw await this.#failed(vm, error);
      } finally {
        vm.usedAt = performance.now();
        release();
      }
    } finally {
      this.#busy.delete(ssId);
    }
  }

  /** @throws SparklerError SNAPSHOT_NOT_FOUND, DEPENDENCY_MISSING, OPERATION_UNSUPPORTED */
  async patch(ssId: string, patch: SnapshotPatch): Promise<void> {
    const record = this.get(ssId);
    await this.#deps.restores.locks.with({ [ssId]: 'together' }, () => this.#patch(record, patch));
  }

  async #patch(record: SnapshotRecord, patch: SnapshotPatch): Promise<void> {
    const { config, store } = this.#deps;
    const limitMs = config.timeouts.snapshotMs;
    const { memoryPath } = record;
    if (patch.digHole) {
      await digHoles(memoryPath, limitMs);
      await this.#measure(record);
    }
    // Restores must know what is in the page cache; asked for, it is read once more in any case.
    if (patch.loadCache || patch.dropCache) store.cache.dropped(memoryPath);
    if (patch.loadCache) await store.cache.once(memoryPath, () => loadCache(memoryPath, limitMs));
    if (patch.dropCache) await dropCache(memoryPath, limitMs);
  }

  /**
   * Copies a snapshot with all that was recorded of it. The copy's memory is a file of its own.
   * @throws SparklerError SNAPSHOT_NOT_FOUND, SNAPSHOT_UNUSABLE, STORAGE_FULL, PATH_NOT_ALLOWED
   */
  async copy(input: SnapshotCopyInput): Promise<SnapshotRecord> {
    const { store, restores } = this.#deps;
    const source = this.get(input.from);
    const ssId = this.#freeId(input.ssId);
    const plan = store.plan(ssId, { ...input, regions: source.regions });
    this.#busy.add(ssId);
    try {
      return await restores.locks.with({ [source.ssId]: 'together' }, () =>
        this.#copy(this.get(source.ssId), plan),
      );
    } finally {
      this.#busy.delete(ssId);
    }
  }

  async #copy(source: SnapshotRecord, plan: SnapshotPlan): Promise<SnapshotRecord> {
    const { registry, store, ledger } = this.#deps;
    const loaded = await store.loadAnywhere(source);
    const reservation = await admitCopy(source, plan, { ledger, store });
    try {
      const ids = registry.journal.intendAll(plan.intents);
      try {
        await store.prepare(plan);
      } catch (error) {
        registry.journal.doneAll(ids);
        throw error;
      }
      try {
        const copy = await store.copy(plan, loaded);
        // Its function may have been deleted meanwhile, and the source with it.
        this.#deps.functions.get(copy.functionName);
        this.#add(copy, ids);
        return copy;
      } catch (error) {
        await store.remove({ ssId: plan.ssId, ...plan.files });
        registry.journal.doneAll(ids);
        throw error;
      }
    } finally {
      reservation.release();
    }
  }

  #add(record: SnapshotRecord, ids: readonly number[]): void {
    const { registry } = this.#deps;
    registry.transaction(() => {
      registry.putSnapshot(record);
      registry.journal.doneAll(ids);
    });
    this.#records.set(record.ssId, record);
  }

  /** @throws SparklerError INVALID_REQUEST when it is taken. */
  #freeId(wanted: string | undefined): string {
    const ssId = wanted ?? newId('ss');
    if (this.#records.has(ssId) || this.#busy.has(ssId)) throw invalid('ssId', 'exists already');
    return ssId;
  }

  /** @throws SparklerError SNAPSHOT_NOT_FOUND, SNAPSHOT_IN_USE */
  async delete(ssId: string): Promise<void> {
    const { functions, restores } = this.#deps;
    const record = this.get(ssId);
    const user = this.#deps
      .vms()
      .all()
      .find((vm) => vm.request.snapshot?.ssId === ssId && !vm.pooled);
    if (user) {
      const message = `Snapshot ${ssId} is in use by VM ${user.vmId}. Delete the VM first.`;
      throw new SparklerError('SNAPSHOT_IN_USE', message, { field: 'ssId' });
    }
    this.#records.delete(ssId);
    this.#busy.add(ssId);
    try {
      await this.#deps.vms().endPooled((vm) => vm.request.snapshot?.ssId === ssId);
      // What is being done with it comes to its end first; nothing new begins.
      await restores.locks.with({ [ssId]: 'alone' }, () => this.#remove(record));
    } finally {
      this.#busy.delete(ssId);
    }
    restores.forget(ssId);
    await functions.sweep(record.functionName);
  }

  async #remove(record: SnapshotRecord): Promise<void> {
    const { registry, store } = this.#deps;
    const ids = registry.journal.intendAll(store.removalIntents(record));
    await store.remove(record);
    registry.transaction(() => {
      registry.dropSnapshot(record.ssId);
      registry.journal.doneAll(ids);
    });
  }

  /** Those of a function that was deleted. */
  async deleteAll(records: readonly SnapshotRecord[]): Promise<void> {
    for (const { ssId } of records) if (this.#records.has(ssId)) await this.delete(ssId);
  }

  of(functionName: string): SnapshotRecord[] {
    return this.list().filter((record) => record.functionName === functionName);
  }

  async #takeReserved(vm: Vm, plan: SnapshotPlan): Promise<Written> {
    const reservation = await admitSnapshot(vm, plan, this.#deps);
    try {
      return await this.#take(vm, plan);
    } finally {
      reservation.release();
    }
  }

  async #take(vm: Vm, plan: SnapshotPlan): Promise<Written> {
    const { registry, store } = this.#deps;
    const { machine, session } = vm.live();
    const facts = this.#facts(vm, session.instances);
    const ids = registry.journal.intendAll(plan.intents);
    try {
      await store.prepare(plan);
    } catch (error) {
      // Nothing of ours is there: a folder in the way is somebody's.
      registry.journal.doneAll(ids);
      throw error;
    }
    try {
      const pausedMs = await write(machine, session, plan);
      const snapshot = await store.commit(plan, facts);
      vm.mustLive();
      this.#add(snapshot, ids);
      return { snapshot, pausedMs };
    } catch (error) {
      // Given up or ended: what still writes to the files is gone once it is closed.
      const over = machine.state === 'failed' || machine.state === 'closed';
      if (over) await machine.close().catch(() => undefined);
      await store.remove({ ssId: plan.ssId, ...plan.files });
      registry.journal.doneAll(ids);
      throw error;
    }
  }

  #facts(vm: Vm, instances: readonly number[]): SnapshotFacts {
    const { vmm, version, machine, cpuModel, accelerator } = this.#deps.driver.capabilities;
    const { request } = vm;
    // What it was started with: the current ones may have been built anew since.
    const { image, kernel } = vm.mustHaveParts();
    return {
      vmId: vm.vmId,
      functionName: request.fn.name,
      image: request.image,
      kernel: request.kernel,
      imageId: image.id,
      kernelId: kernel.id,
      codeId: request.codeId,
      ...(vm.settingsId !== undefined && { settingsId: vm.settingsId }),
      vcpus: request.vcpus,
      memMiB: request.memMiB,
      ...(request.memory.layout && { memory: request.memory }),
      kernelArgs: '',
      instances,
      vmm: { vmm, version, machine, cpuModel, accelerator },
    };
  }

  async #failed(vm: Vm, error: unknown): Promise<SparklerError> {
    const known = await vm.failure(error);
    // A machine that took too long, or died, is of no more use; its end may be under way already.
    if (vm.ending || vm.machine?.state === 'failed') await this.#deps.vms().end(vm, 'died', known);
    return known;
  }

  async #measure(record: SnapshotRecord): Promise<void> {
    const diskBytes = await this.#deps.store.diskBytes(record);
    if (this.#records.get(record.ssId) !== record) return;
    const measured = { ...record, diskBytes };
    this.#deps.registry.putSnapshot(measured);
    this.#records.set(record.ssId, measured);
  }
}

/**
 * Writes the files while the guest stands still; it goes on if it ran. Answers for how long its
 * functions stood still. A guest that does not run has been frozen since it last did.
 */
async function write(machine: Machine, session: GuestSession, plan: SnapshotPlan): Promise<number> {
  if (machine.state !== 'running') {
    await machine.snapshot(plan.files);
    return 0;
  }
  const before = performance.now();
  await session.freeze();
  try {
    await machine.pause();
    try {
      await machine.snapshot(plan.files);
    } finally {
      if (stands(machine, 'paused')) await machine.resume();
    }
  } finally {
    // A guest that does not confirm is ended: see `thaw`.
    if (stands(machine, 'running')) await session.thaw();
  }
  return performance.now() - before;
}

/** A function, since the state changes behind the compiler's back. */
function stands(machine: Machine, state: Machine['state']): boolean {
  return machine.state === state;
}
