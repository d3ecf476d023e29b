/** The platform: all use cases behind one interface, joined to the rooms below. */
import { availableParallelism } from 'node:os';
import type { Readable } from 'node:stream';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { Registry } from '../registry/index.js';
import type { SnapshotStore } from '../snapshot/index.js';
import { Metrics, type Logger } from '../telemetry/index.js';
import { within, type VmmDriver } from '../vmm/index.js';
import { DiskLedger, type FreeBytes } from './disk.js';
import { Functions } from './functions.js';
import { Invocations } from './invocations.js';
import { readHostMemory, type HostMemory } from './host-memory.js';
import { Instances } from './instances.js';
import { FunctionLogs } from './logs.js';
import { MemoryLedger } from './memory-ledger.js';
import { Pool } from './pool.js';
import { hasWorkingSet } from './pooled.js';
import type { ImagePort } from './ports.js';
import { Restores } from './restores.js';
import { Snapshots } from './snapshots.js';
import type {
  FunctionInput,
  FunctionRecord,
  InvocationInput,
  InvocationOutput,
  Platform,
  PlatformInfo,
  PoolInput,
  SnapshotCopyInput,
  SnapshotInput,
  SnapshotPatch,
  SnapshotRecord,
  SnapshotTaken,
  VmInput,
  VmView,
} from './types.js';
import type { Vm } from './vm.js';
import { Vms } from './vms.js';
import {
  memorySummary,
  memoryView,
  memoryWarnings,
  resizeMemory,
  VmMemories,
  type VmMemoriesDeps,
} from './vm-memory.js';
import { WorkingSetAdmin } from './working-set-admin.js';

export interface PlatformDeps {
  readonly config: Config;
  readonly registry: Registry;
  readonly driver: VmmDriver;
  readonly images: ImagePort;
  readonly store: SnapshotStore;
  readonly logger: Logger;
  readonly version: string;
  readonly acceleratorReason: string;
  /** What `reclaim` ended before this platform was made. */
  readonly reclaimed: Readonly<Record<string, number>>;
  /** What this host does not let the daemon do, for the operator. */
  readonly warnings?: readonly string[];
  /** Instead of asking the file systems how much is free. */
  readonly freeBytes?: FreeBytes;
  /** Instead of asking the host how much memory it has. */
  readonly hostMemory?: () => Promise<HostMemory>;
  /** Instead of what the VM's policy makes of its memory; undefined: that. */
  readonly openMemory?: NonNullable<VmMemoriesDeps['openMemory']>;
  /** Instead of the number of the host's processors. */
  readonly cpus?: number;
}

/** Output of all functions together that is kept, as a multiple of what is kept of one. */
const LOGS_OF_FUNCTIONS = 64;

/**
 * Joins everything. The registry is reclaimed and the snapshots scanned before; code that nothing
 * uses any more is removed here.
 */
export async function createPlatform(deps: PlatformDeps): Promise<Platform> {
  const platform = new LocalPlatform(deps);
  await platform.sweep();
  return platform;
}

class LocalPlatform implements Platform {
  readonly #deps: PlatformDeps;
  readonly #metrics: Metrics;
  readonly #logs: FunctionLogs;
  readonly #functions: Functions;
  readonly #snapshots: Snapshots;
  readonly #vms: Vms;
  readonly #pool: Pool;
  readonly #invocations: Invocations;
  readonly workingSets: WorkingSetAdmin;
  #closing: Promise<void> | undefined;

  constructor(deps: PlatformDeps) {
    this.#deps = deps;
    const { functionLogBytes } = deps.config.limits;
    this.#logs = new FunctionLogs(functionLogBytes, LOGS_OF_FUNCTIONS * functionLogBytes);
    this.#metrics = new Metrics({
      vmsByState: () => byState(this.#vms.all()),
      pooledByState: () => byState(this.#pool.all()),
      snapshots: () => this.#snapshotTotals(),
    });
    this.#metrics.reclaimed(deps.reclaimed);
    const ledger = new DiskLedger(deps.config.limits.minFreeDiskMiB, deps.freeBytes);
    const memoryLedger = new MemoryLedger(
      deps.config.admission,
      deps.hostMemory ?? (() => readHostMemory()),
    );
    this.#functions = new Functions({
      ...deps,
      ledger,
      codeInUse: (name, codeId) => this.#codeInUse(name, codeId),
    });
    const restores = new Restores(deps);
    const shared = {
      ...deps,
      restores,
      ledger,
      functions: this.#functions,
      metrics: this.#metrics,
      memories: new VmMemories(deps),
      memoryLedger,
      instances: new Instances({ config: deps.config, memoryLedger }),
    };
    this.#snapshots = new Snapshots({ ...shared, vms: () => this.#vms });
    this.#vms = new Vms({
      ...shared,
      journal: deps.registry.journal,
      logs: this.#logs,
      snapshot: (ssId) => this.#snapshots.get(ssId),
    });
    this.workingSets = new WorkingSetAdmin({
      ...shared,
      snapshots: this.#snapshots,
      dropPooled: (ssId) => this.#vms.endPooled((vm) => hasWorkingSet(vm, ssId)),
      mustBeOpen: () => this.#mustBeOpen(),
    });
    this.#pool = new Pool({
      ...shared,
      vms: this.#vms,
      snapshots: this.#snapshots,
      cpus: deps.cpus ?? availableParallelism(),
    });
    this.#invocations = new Invocations({
      ...shared,
      vms: this.#vms,
      pool: this.#pool,
      snapshots: this.#snapshots,
    });
  }

  /** Removes code drives that no function, VM or snapshot uses. */
  sweep(): Promise<void> {
    return this.#functions.sweepAll();
  }

  putFunction(input: FunctionInput): FunctionRecord {
    this.#mustBeOpen();
    return this.#functions.put(input);
  }
  listFunctions(): FunctionRecord[] {
    return this.#functions.list();
  }
  getFunction(name: string): FunctionRecord {
    return this.#functions.get(name);
  }
  async putCode(name: string, archive: Readable): Promise<FunctionRecord> {
    this.#mustBeOpen();
    return this.#functions.putCode(name, archive);
  }
  functionLogs(name: string): string {
    this.#functions.get(name);
    return this.#logs.text(name);
  }

  async deleteFunction(name: string): Promise<void> {
    this.#mustBeOpen();
    this.#functions.get(name);
    const user = this.#vms.all().find((vm) => vm.functionName === name && !vm.pooled);
    if (user) {
      const message = `The function ${name} is in use by VM ${user.vmId}. Delete the VM first.`;
      throw new SparklerError('FUNCTION_IN_USE', message, { field: 'func_name' });
    }
    // The function first: from then on nothing new can start of it.
    const snapshots = this.#snapshots.of(name);
    await this.#functions.delete(name);
    await this.#vms.endPooled((vm) => vm.functionName === name);
    await this.#snapshots.deleteAll(snapshots);
    for (const { ssId } of snapshots) this.#pool.forget(ssId);
    this.#logs.forget(name);
  }

  listVms(): Promise<VmView[]> {
    return Promise.all(this.#vms.all().map((vm) => this.#view(vm, memorySummary(vm))));
  }
  async getVm(vmId: string): Promise<VmView> {
    const vm = this.#vms.get(vmId);
    return this.#view(vm, await memoryView(vm));
  }
  async resizeVm(vmId: string, memMiB: number): Promise<VmView> {
    this.#mustBeOpen();
    const vm = this.#vms.get(vmId);
    await resizeMemory(vm, memMiB);
    return this.#view(vm, await memoryView(vm));
  }
  async createVm(input: VmInput): Promise<VmView> {
    this.#mustBeOpen();
    const vm = await this.#vms.create(input, { ahead: true });
    return vm.view(this.#accelerator, memorySummary(vm));
  }
  async poolVm(input: PoolInput): Promise<VmView> {
    this.#mustBeOpen();
    const vm = await this.#pool.add(input);
    return vm.view(this.#accelerator, memorySummary(vm));
  }
  async deleteVm(vmId: string): Promise<void> {
    const vm = this.#vms.get(vmId);
    if (vm.clones > 0) {
      const also = `${vm.clones} VMs are forked from VM ${vmId} and would end with it: delete them first.`;
      throw new SparklerError('VM_WRONG_STATE', also, { field: 'vmId' });
    }
    const message = `VM ${vmId} was deleted while it ran.`;
    await this.#vms.end(vm, 'deleted', new SparklerError('VM_DIED', message, { field: 'vmId' }));
  }
  vmConsole(vmId: string): string {
    return this.#vms.console(vmId);
  }

  async takeSnapshot(input: SnapshotInput): Promise<SnapshotTaken> {
    this.#mustBeOpen();
    const taken = await this.#snapshots.take(input);
    this.#pool.used(taken.snapshot.ssId);
    return taken;
  }
  listSnapshots(): SnapshotRecord[] {
    return this.#snapshots.list();
  }
  getSnapshot(ssId: string): SnapshotRecord {
    return this.#snapshots.get(ssId);
  }
  async copySnapshot(input: SnapshotCopyInput): Promise<SnapshotRecord> {
    this.#mustBeOpen();
    return this.#snapshots.copy(input);
  }
  async patchSnapshot(ssId: string, patch: SnapshotPatch): Promise<void> {
    this.#mustBeOpen();
    await this.#snapshots.patch(ssId, patch);
  }
  async deleteSnapshot(ssId: string): Promise<void> {
    this.#mustBeOpen();
    await this.#snapshots.delete(ssId);
    this.#pool.forget(ssId);
  }

  async invoke(input: InvocationInput): Promise<InvocationOutput> {
    this.#mustBeOpen();
    return this.#invocations.invoke(input);
  }

  info(): PlatformInfo {
    const { driver, version, acceleratorReason, config, reclaimed } = this.#deps;
    const warnings = [
      ...(this.#deps.warnings ?? []),
      ...memoryWarnings(config, driver.capabilities),
    ];
    const { accelerator, vmm, version: vmmVersion } = driver.capabilities;
    const { dataDir } = config;
    const vmmName = `${vmm} ${vmmVersion}`;
    const pool = this.#pool.info();
    return {
      ...{ version, accelerator, acceleratorReason, vmm: vmmName, dataDir, warnings },
      ...{ pool, reclaimed },
    };
  }
  metrics(): Promise<string> {
    return this.#metrics.text();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { config, registry, store, logger, driver } = this.#deps;
    this.#pool.close();
    const vms = this.#vms.close(shuttingDown()).then(() => driver.close?.());
    const all = Promise.all([vms, store.settled()]);
    try {
      await within(all, config.timeouts.shutdownMs);
    } catch (error) {
      // The journal names what is left; the next start ends it.
      logger.error({ err: error }, 'not everything could be ended in time');
    }
    registry.close();
  }

  get #accelerator(): VmView['accelerator'] {
    return this.#deps.driver.capabilities.accelerator;
  }

  async #view(vm: Vm, memory: VmView['memory']): Promise<VmView> {
    const { hasProcess } = this.#deps.driver.capabilities;
    const residentBytes = hasProcess ? await vm.residentBytes() : undefined;
    return vm.view(this.#accelerator, memory, residentBytes);
  }

  #mustBeOpen(): void {
    if (this.#closing) throw shuttingDown();
  }

  #codeInUse(name: string, codeId: string): boolean {
    const uses = (user: { functionName: string; codeId: string }): boolean =>
      user.functionName === name && user.codeId === codeId;
    const vms = this.#vms.all().map((vm) => ({
      functionName: vm.functionName,
      codeId: vm.request.codeId,
    }));
    return vms.some(uses) || this.#snapshots.list().some(uses);
  }

  #snapshotTotals(): { count: number; diskBytes: number } {
    const records = this.#snapshots.list();
    const diskBytes = records.reduce((sum, record) => sum + record.diskBytes, 0);
    return { count: records.length, diskBytes };
  }
}

function byState(vms: readonly Vm[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of vms) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

function shuttingDown(): SparklerError {
  return new SparklerError('SHUTTING_DOWN', 'The daemon is shutting down.');
}
