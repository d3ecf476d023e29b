/** How a VM is restored from its snapshot: which strategy, and what is learned from it. */
import { join } from 'node:path';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import {
  measureHostCosts,
  readHostCosts,
  recordedEvent,
  strategyOf,
  WorkingSets,
  writeHostCosts,
  type HostCosts,
  type LoadedSnapshot,
  type SnapshotStore,
} from '../snapshot/index.js';
import type { Logger } from '../telemetry/index.js';
import { within, type VmmDriver } from '../vmm/index.js';
import { Chooser } from './chooser.js';
import { estimate, sizeOf } from './estimates.js';
import { SnapshotLocks } from './snapshot-locks.js';
import type { RestoreInfo } from './types.js';
import type { Vm, VmRestore } from './vm.js';

export interface RestoresDeps {
  readonly config: Config;
  readonly driver: VmmDriver;
  readonly store: SnapshotStore;
  readonly logger: Logger;
}

/** In the data folder. */
const HOST_COSTS = 'host-costs.json';

export class Restores {
  /** Who may touch the snapshots' files. */
  readonly locks = new SnapshotLocks();
  readonly #deps: RestoresDeps;
  readonly #chooser: Chooser;
  /** Snapshots of which an invocation is being recorded. */
  readonly #recording = new Set<string>();
  /** Snapshots whose strategies' costs were estimated. */
  readonly #expected = new Set<string>();
  #costs: Promise<HostCosts> | undefined;

  constructor(deps: RestoresDeps) {
    this.#deps = deps;
    this.#chooser = new Chooser(deps.driver.capabilities.memorySources);
  }

  /** The recordings of a snapshot and the files made of them. */
  sets(loaded: LoadedSnapshot): WorkingSets {
    const { store, logger } = this.#deps;
    const { ssId } = loaded.manifest;
    return new WorkingSets(loaded, store, (message) => logger.warn({ ssId }, message));
  }

  /**
   * Chooses the strategy and prepares the VM's memory. The VM's folder exists.
   * @throws SparklerError OPERATION_UNSUPPORTED, and what the strategy throws.
   */
  async prepare(vm: Vm, loaded: LoadedSnapshot): Promise<VmRestore> {
    const { ssId } = loaded.manifest;
    const release = await this.locks.restoring(ssId);
    // From here on the strategy knows what lies where, and then the VMM opens it.
    void vm.starting.then(release, release);
    return this.#prepare(vm, loaded);
  }

  /**
   * A VM that is forked from one that stands restored; nothing is recorded of it, or learned.
   * @throws SparklerError VM_DIED
   */
  fork(from: Vm, loaded: LoadedSnapshot): VmRestore {
    const { ssId } = loaded.manifest;
    if (!from.restore) throw new SparklerError('VM_DIED', `VM ${from.vmId} is in use.`);
    const { strategy } = from.restore;
    const why = `forked from VM ${from.vmId}, which stands restored by ${strategy} and paused`;
    return { strategy, ssId, memory: { kind: 'fork', vmId: from.vmId }, why, records: false };
  }

  async #prepare(vm: Vm, loaded: LoadedSnapshot): Promise<VmRestore> {
    const { config, driver, store } = this.#deps;
    const { ssId } = loaded.manifest;
    const sets = this.sets(loaded);
    const choice = vm.request.restore ?? {};
    const wanted = choice.strategy ?? vm.request.fn.restoreStrategy;
    const forInvocation = choice.event !== undefined;
    const chosen = this.#chooser.choose(wanted, sets, forInvocation);
    const strategy = strategyOf(chosen.strategy, driver.capabilities);
    // Restored ahead, nobody knows yet what will be invoked, and the rehearsal is not it.
    const mayRecord = forInvocation && !this.#recording.has(ssId);
    // Held from now on: another restore may be prepared while this one is.
    if (mayRecord) this.#recording.add(ssId);
    const release = (): void => {
      if (mayRecord) this.#recording.delete(ssId);
    };
    const preparing = strategy.prepare({
      sets,
      cache: store.cache,
      tools: store.tools,
      options: choice.options ?? {},
      event: recordedEvent(choice.event ?? ''),
      dir: vm.dir,
      keepTraces: config.limits.maxRecordings,
      mayRecord,
      limitMs: config.timeouts.snapshotMs,
    });
    preparing.catch(release);
    const prepared = await preparing;
    if (!prepared.records) release();
    if (wanted === 'auto') void this.#expect(ssId, sets);
    prepared.beside?.catch(() => undefined);
    const why = chosen.why === '' ? prepared.why : `${chosen.why}; ${prepared.why}`;
    return { ...prepared, why, strategy: strategy.name, ssId };
  }

  /**
   * Proves that what a VM has opened by now is whole: it may have changed since it was prepared.
   * @throws SparklerError SNAPSHOT_UNUSABLE
   */
  async confirm(loaded: LoadedSnapshot, { memory }: VmRestore): Promise<void> {
    await this.#deps.store.confirm(loaded);
    const path =
      memory.kind === 'layers'
        ? memory.workingSetPath
        : memory.kind === 'userfault'
          ? memory.workingSet?.path
          : undefined;
    if (path !== undefined) await this.sets(loaded).confirm(path);
  }

  /**
   * What the restore's first invocation has cost, for its answer; and the beginning of what is
   * learned from it, which `vm.finishing` waits for.
   */
  async finish(vm: Vm, firstResponseMs: number): Promise<RestoreInfo | undefined> {
    const { restore, machine } = vm;
    if (restore === undefined || machine === undefined) return undefined;
    vm.restore = undefined;
    // It has answered. That it has ended since is found by whoever uses it next.
    const paging = await machine.paging().catch(() => undefined);
    const { strategy, why, records, ssId } = restore;
    // One that was made ahead of its invocation says nothing of how long a restore takes.
    const { event } = vm.request.restore ?? {};
    if (!records && event !== undefined) this.#chooser.learn(ssId, strategy, firstResponseMs);
    vm.finishing = this.#learn(vm, restore);
    return paging && { strategy, why, recorded: records, ...paging };
  }

  /** The VM ends before its first invocation was answered. */
  abandon(vm: Vm): void {
    const { restore } = vm;
    if (restore === undefined) return;
    vm.restore = undefined;
    if (restore.records) this.#recording.delete(restore.ssId);
    restore.abandon?.();
  }

  /** The strategy `auto` has tried all there are of this snapshot. */
  isSettled(ssId: string): boolean {
    return this.#chooser.isSettled(ssId);
  }

  /** Forgets what was measured of a snapshot. */
  forget(ssId: string): void {
    this.#expected.delete(ssId);
    this.#chooser.forget(ssId);
  }

  /** Tells the chooser what the strategies should cost, in the background. */
  async #expect(ssId: string, sets: WorkingSets): Promise<void> {
    const { logger } = this.#deps;
    if (this.#expected.has(ssId)) return;
    try {
      const size = sizeOf(await sets.traces());
      if (size === undefined) return;
      this.#expected.add(ssId);
      this.#costs ??= this.#hostCosts();
      this.#chooser.expect(ssId, estimate(await this.#costs, size));
    } catch (error) {
      // Without it the strategies are tried in a fixed order.
      logger.warn({ ssId, err: error }, 'what bringing memory in costs is not known');
    }
  }

  /** Measured once per boot of the host, and remembered in the data folder. */
  async #hostCosts(): Promise<HostCosts> {
    const { config, store } = this.#deps;
    const path = join(config.dataDir, HOST_COSTS);
    const known = await readHostCosts(path);
    if (known) return known;
    const costs = await measureHostCosts(store.tools, config.dataDir, config.timeouts.snapshotMs);
    await writeHostCosts(path, costs);
    return costs;
  }

  /** A recording that fails costs the next invocation another one, and this one nothing. */
  async #learn(vm: Vm, restore: VmRestore): Promise<void> {
    const { config, logger } = this.#deps;
    const { machine } = vm;
    try {
      if (machine && restore.finish) {
        await within(restore.finish(machine), config.timeouts.snapshotMs);
      }
    } catch (error) {
      restore.abandon?.();
      const known = error instanceof SparklerError ? error.code : 'INTERNAL';
      logger.warn({ vmId: vm.vmId, err: error, code: known }, 'a recording failed');
    } finally {
      if (restore.records) this.#recording.delete(restore.ssId);
    }
  }
}
