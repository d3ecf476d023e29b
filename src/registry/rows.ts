/** What the registry keeps, as plain data. */

/** A function; the same fields as control's FunctionRecord. */
export interface StoredFunction {
  readonly name: string;
  readonly image: string;
  readonly kernel: string;
  readonly vcpus: number;
  readonly memMiB: number;
  readonly runtime: 'python3' | 'nodejs';
  readonly handler: string;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly restoreStrategy: 'vanilla' | 'cached' | 'reap' | 'faasnap' | 'populate' | 'auto';
  /** Where its invocations go; what is absent is as the configuration says. A column of its own. */
  readonly placement: {
    readonly order?: readonly ('warm' | 'vertical' | 'snapshot' | 'cold')[];
    readonly maxInstances?: number;
    readonly maxVms?: number;
  };
  readonly codeId?: string;
  readonly codeBytes?: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What a VM's memory is made of; the same fields as the memory room's MemoryPlan. */
export interface StoredMemory {
  readonly policy: 'static' | 'balloon' | 'virtio-mem' | 'blocks';
  readonly memMiB: number;
  readonly baseMiB: number;
  readonly maxMiB: number;
  readonly instanceMiB: number;
  readonly limited?: true;
  readonly layout?: {
    readonly balloon?: { readonly freePageReporting: boolean };
    readonly hotplug?: { readonly maxMiB: number };
    readonly blocks?: readonly { readonly memMiB: number }[];
  };
}

/** A snapshot; the same fields as control's SnapshotRecord. Its manifest holds the rest. */
export interface StoredSnapshot {
  readonly ssId: string;
  readonly vmId: string;
  readonly functionName: string;
  readonly statePath: string;
  readonly memoryPath: string;
  readonly vcpus: number;
  readonly memMiB: number;
  readonly memory?: StoredMemory;
  readonly image: string;
  readonly kernel: string;
  readonly codeId: string;
  /** Which settings of the function its instances were started with; absent: not known. */
  readonly settingsId?: string;
  readonly version: string;
  readonly regions: {
    readonly record: boolean;
    readonly intervalThreshold: number;
    readonly sizeThreshold: number;
  };
  readonly createdAt: number;
  readonly diskBytes: number;
}

/**
 * What kind of thing a journal entry names. `name` is a path for all but `process`, where it says
 * what the process is.
 */
export type ResourceKind = 'vm-dir' | 'cgroup' | 'process' | 'file' | 'code-dir' | 'snapshot-dir';

/** A resource about to be made. */
export interface Intent {
  readonly kind: ResourceKind;
  readonly name: string;
  /** The VM that it belongs to. Required for `cgroup`, whose folder must carry it in its name. */
  readonly vmId?: string;
  /** For whoever reads the journal, and for `ReclaimOptions.keep`. */
  readonly attributes?: Readonly<Record<string, string | number>>;
}

/** Tells one process from every other that had or will have its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since the boot. */
  readonly startTime: string;
}

/** An intent as the journal keeps it. */
export interface JournalEntry extends Intent {
  readonly id: number;
  /** The host's boot in which it was written: pids and cgroups do not outlive a boot. */
  readonly bootId: string;
  readonly process?: ProcessIdentity;
}
