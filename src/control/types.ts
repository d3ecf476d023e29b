/**
 * The use cases, as the API sees them. Field names here are the platform's own; api/ maps them to
 * the wire's.
 */
import type { Readable } from 'node:stream';
import type { MemoryPlan, MemorySummary, MemoryView, PolicyName } from '../memory/index.js';
import type { RegionSettings, RestoreOptions, StrategyName } from '../snapshot/index.js';
import type { Accelerator, PagingStats, VmState } from '../vmm/index.js';
import type { StrategyChoice } from './chooser.js';
import type { Passed, Place, PlacementRules } from './placement.js';
import type { InstanceStart } from './slots.js';
import type { WorkingSetPlatform } from './working-set-types.js';

export type RuntimeName = 'python3' | 'nodejs';

/** How an invocation got its instance. */
export type StartKind = Place;

/** What a caller may say of a function; everything but the name has a default. */
export interface FunctionInput {
  readonly name: string;
  readonly image?: string;
  readonly kernel?: string;
  readonly vcpus?: number;
  readonly memMiB?: number;
  readonly runtime?: RuntimeName;
  /** `file.function`, as AWS Lambda writes it. */
  readonly handler?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** How its snapshots are restored when an invocation does not say. */
  readonly restoreStrategy?: StrategyChoice;
  /** Where its invocations go that name no VM and no snapshot; what is left out keeps its value. */
  readonly placement?: Partial<PlacementRules>;
}

/** How a snapshot is to be restored. */
export interface RestoreChoice {
  readonly strategy?: StrategyChoice;
  readonly options?: RestoreOptions;
  /** The event of the invocation that it is restored for: only such a restore is recorded. */
  readonly event?: string;
}

/** How it was restored, and what that has cost until the first invocation was answered. */
export interface RestoreInfo extends PagingStats {
  readonly strategy: StrategyName;
  /** Why this strategy, and what it did. */
  readonly why: string;
  /** The invocation was recorded: the next restores can use what was learned. */
  readonly recorded: boolean;
}

/** A function as the registry keeps it. */
export interface FunctionRecord extends Required<FunctionInput> {
  /** What is absent is as the configuration says now. */
  readonly placement: Partial<PlacementRules>;
  /** Sha-256 of the uploaded archive's drive image; undefined until code was uploaded. */
  readonly codeId?: string;
  /** Bytes of the code drive. */
  readonly codeBytes?: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** `starting`: not yet able to serve; the rest as in the VMM room. */
export type VmView = {
  readonly vmId: string;
  readonly functionName: string;
  readonly state: 'starting' | 'closing' | VmState;
  readonly startKind: 'cold' | 'snapshot';
  /** The snapshot that it was restored from. */
  readonly ssId?: string;
  readonly namespace?: string;
  readonly vcpus: number;
  readonly memMiB: number;
  readonly image: string;
  readonly kernel: string;
  readonly accelerator: Accelerator;
  /** The VM's folder on the host. */
  readonly path: string;
  readonly pid?: number;
  readonly invocations: number;
  /** An invocation is running. */
  readonly busy: boolean;
  /** Waits in the pool for an invocation of its snapshot. */
  readonly pooled?: true;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly residentBytes?: number;
  /** In a list: what is known without asking the VM. */
  readonly memory: MemorySummary | MemoryView;
};

export interface VmInput {
  readonly functionName: string;
  /**
   * Restore this snapshot ahead of an invocation: the guest runs until it confirms the restore, then
   * the VM stays paused until its first invocation.
   */
  readonly ssId?: string;
  readonly restore?: RestoreChoice;
  readonly namespace?: string;
  readonly vcpus?: number;
  /** All that the VM may come to have. */
  readonly memMiB?: number;
  readonly kernel?: string;
  /** How its memory follows its instances; default: as configured. */
  readonly memoryPolicy?: PolicyName;
  /** Policy `blocks` only: the size of each block. */
  readonly blocksMiB?: readonly number[];
  /** The instance is limited to the function's memory, whatever the VM has. */
  readonly limited?: boolean;
}

/** A VM for the pool. */
export interface PoolInput {
  /** Default: the snapshot that was invoked or taken last. */
  readonly ssId?: string;
  /** Default: as the function says. */
  readonly strategy?: StrategyChoice;
  readonly namespace?: string;
}

/** The pool: what is in it, and what the daemon may put there by itself. */
export interface PoolInfo {
  readonly vms: number;
  /** Sum of their guests' memory, MiB. */
  readonly memMiB: number;
  readonly maxVms: number;
  readonly maxMemMiB: number;
  readonly windowMs: number;
  readonly keepMs: number;
}

export interface SnapshotInput {
  readonly vmId: string;
  readonly ssId?: string;
  /** Where the device state goes; inside an allowed directory. Default: the snapshot's folder. */
  readonly statePath?: string;
  /** Where guest memory goes; inside an allowed directory. Default: the snapshot's folder. */
  readonly memoryPath?: string;
  /** FaaSnap's regions; sizes in pages. Default: recorded, with the paper's gap. */
  readonly regions?: Partial<RegionSettings>;
}

export interface SnapshotRecord {
  readonly ssId: string;
  /** The VM it was taken of (which may be gone). */
  readonly vmId: string;
  readonly functionName: string;
  readonly statePath: string;
  readonly memoryPath: string;
  readonly vcpus: number;
  readonly memMiB: number;
  /** What its memory is made of, when it can change. */
  readonly memory?: MemoryPlan;
  readonly image: string;
  readonly kernel: string;
  readonly codeId: string;
  /** Which settings of the function its instances were started with; absent: not known. */
  readonly settingsId?: string;
  /** VMM name and version. */
  readonly version: string;
  readonly regions: RegionSettings;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Bytes that memory and state take on disk (the memory file is sparse). */
  readonly diskBytes: number;
}

/** How long taking a snapshot took, milliseconds. `paused`: functions stood still for so long. */
export interface SnapshotTaken {
  readonly snapshot: SnapshotRecord;
  readonly totalMs: number;
  readonly pausedMs: number;
}

export interface SnapshotCopyInput {
  /** The snapshot to copy. */
  readonly from: string;
  readonly ssId?: string;
  /** Where the copy's memory goes; inside an allowed directory. Default: the copy's folder. */
  readonly memoryPath?: string;
}

export interface SnapshotPatch {
  /** Make zero blocks of the memory file holes. */
  readonly digHole?: boolean;
  /** Read the memory file into the page cache. */
  readonly loadCache?: boolean;
  /** Drop the memory file from the page cache (pages that a running VM maps stay). */
  readonly dropCache?: boolean;
}

export interface InvocationInput {
  readonly functionName: string;
  readonly vmId?: string;
  readonly ssId?: string;
  /** The event as a string of JSON; default `{}`. */
  readonly params?: string;
  /** How `ssId` is restored; default: as the function says. */
  readonly restore?: RestoreChoice;
  readonly namespace?: string;
  /** Without `vmId` and `ssId`: the places to try, instead of the function's. */
  readonly placement?: readonly Place[];
  /** Shortens the function's own limit, never extends it. */
  readonly timeoutMs?: number;
  /** 32 hexadecimal digits: the caller's trace, or the one that the API gave the request. */
  readonly traceId?: string;
}

/**
 * Milliseconds from the request's arrival until each end point; absent where a step did not occur.
 * "Restored" has four meanings (vmmUp, stateLoaded, resumed, firstResponse): all are reported.
 */
export interface InvocationPhases {
  readonly vmmUp?: number;
  readonly stateLoaded?: number;
  /** What the strategy brings in before the guest runs is there. */
  readonly memoryReady?: number;
  readonly resumed?: number;
  /** The instance could take the event. */
  readonly ready: number;
  readonly firstResponse: number;
}

/** Why an invocation went where it went. */
export interface PlacementInfo {
  /** Why there. */
  readonly why: string;
  /** The places that were tried before, in order, and why each was not open. */
  readonly passed: readonly Passed[];
}

export interface InvocationOutput {
  readonly vmId: string;
  readonly traceId: string;
  readonly startKind: StartKind;
  /** Only of one that named neither a VM nor a snapshot. */
  readonly placement?: PlacementInfo;
  /** Only where an instance was started: how. */
  readonly instance?: InstanceStart;
  /** Its VM was taken from the pool, or forked from one that stays there. */
  readonly pooled?: true;
  /** It was forked. */
  readonly forked?: true;
  /** What the handler returned, as JSON text. */
  readonly result: string;
  /** The whole request, milliseconds. */
  readonly durationMs: number;
  /** Inside the handler, by the guest's clock, milliseconds. */
  readonly handlerMs: number;
  readonly phases: InvocationPhases;
  /** Page faults of the VMM process while the invocation ran (from its start for a new VM). */
  readonly faults: { readonly minor: number; readonly major: number };
  /** The first invocation of a restored VM only. */
  readonly restore?: RestoreInfo;
  /** What the invocation printed: the last `invocationLogBytes`. */
  readonly logs: string;
}

/** What the API may ask of the platform. Every method throws only SparklerError. */
export interface Platform {
  /** Creates, or changes when it exists (creating the same function twice is not an error). */
  putFunction(input: FunctionInput): FunctionRecord;
  listFunctions(): FunctionRecord[];
  getFunction(name: string): FunctionRecord;
  /** @throws FUNCTION_IN_USE while a VM of it runs; its snapshots and pooled VMs go with it. */
  deleteFunction(name: string): Promise<void>;
  /** Takes a zip or tar archive. @throws INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL. */
  putCode(name: string, archive: Readable): Promise<FunctionRecord>;
  /** The last lines that a function's instances printed, all VMs, oldest first. */
  functionLogs(name: string): string;

  listVms(): Promise<VmView[]>;
  getVm(vmId: string): Promise<VmView>;
  /** Answers at once; the VM may still be starting. Invocations of it wait. */
  createVm(input: VmInput): Promise<VmView>;
  /**
   * Starts a VM for the pool: restored ahead, for the next invocation of its snapshot. Answers at
   * once; it may still be starting. @throws SNAPSHOT_NOT_FOUND, also when none is named and none
   * exists.
   */
  poolVm(input: PoolInput): Promise<VmView>;
  /**
   * Sets a VM's memory by hand, MiB. @throws INVALID_REQUEST with the nearest size that works;
   * OPERATION_UNSUPPORTED; RESIZE_TIMED_OUT: it has the size of before.
   */
  resizeVm(vmId: string, memMiB: number): Promise<VmView>;
  /** Waits until the VM is gone. */
  deleteVm(vmId: string): Promise<void>;
  /** Consoles of VMs that failed lately are kept too: `keptConsoles` of the configuration. */
  vmConsole(vmId: string): string;

  takeSnapshot(input: SnapshotInput): Promise<SnapshotTaken>;
  listSnapshots(): SnapshotRecord[];
  getSnapshot(ssId: string): SnapshotRecord;
  /** A snapshot of its own, with its own memory file, and with what was recorded of the source. */
  copySnapshot(input: SnapshotCopyInput): Promise<SnapshotRecord>;
  patchSnapshot(ssId: string, patch: SnapshotPatch): Promise<void>;
  /** @throws SNAPSHOT_IN_USE while a VM restored from it lives; its pooled VMs are ended. */
  deleteSnapshot(ssId: string): Promise<void>;

  /** What was recorded of snapshots, and what is made of it. */
  readonly workingSets: WorkingSetPlatform;

  invoke(input: InvocationInput): Promise<InvocationOutput>;

  /** What `sparkler daemon` says when it starts, and `GET /info` answers. */
  info(): PlatformInfo;
  /** Prometheus' text format. */
  metrics(): Promise<string>;
  /** Ends all VMs; new work is refused with SHUTTING_DOWN. Harmless when called again. */
  close(): Promise<void>;
}

export interface PlatformInfo {
  readonly version: string;
  readonly accelerator: Accelerator;
  /** Why this accelerator: `kvm: a guest booted with it`, `/dev/kvm exists but a guest hung`. */
  readonly acceleratorReason: string;
  readonly vmm: string;
  readonly dataDir: string;
  /** What this host does not let the daemon do, for the operator. */
  readonly warnings: readonly string[];
  readonly pool: PoolInfo;
  /** What the last daemon left and this one ended when it started. */
  readonly reclaimed: Readonly<Record<string, number>>;
}
