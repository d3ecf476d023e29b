/** What a restore strategy is: a file in this folder, and a line in index.ts. */
import type { Machine, MemorySource } from '../../vmm/index.js';
import type { PageTools, RecorderPace } from '../native.js';
import type { PageCache } from '../page-cache.js';
import type { RecordedEvent, WorkingSets } from '../working-sets.js';

export type StrategyName = 'vanilla' | 'cached' | 'reap' | 'faasnap' | 'populate';

/** Details that a caller may choose; those of the original platform's invocations among them. */
export interface RestoreOptions {
  /** `wsFileDirectIo`: the working-set file is read past the page cache. `reap` only. */
  readonly directIo?: boolean;
  /** `wsSingleRead`: it is read in a single read. `reap` only. */
  readonly singleRead?: boolean;
  /** `mincore`, `mincore_size`: record the page cache's growth during the invocation. */
  readonly record?: RecorderPace;
  /** `use_mem_file`, `overlay_regions`, `use_ws_file`: what is mapped. `faasnap` only. */
  readonly mappings?: Mappings;
  /** `loadMincore`: the layers that the loader reads, 1 being the first. `faasnap` only. */
  readonly loadLayers?: readonly number[];
  /** For measurements: all of guest memory is made resident before the guest runs. `vanilla` only. */
  readonly resident?: boolean;
  /** `vmm_load_ws`: the VMM enters the loading set in its own page tables. `faasnap` only. */
  readonly vmmLoads?: boolean;
}

export interface Mappings {
  /** The memory file lies under everything; else anonymous memory, where overlay regions allow it. */
  readonly memoryFile: boolean;
  /** Non-zero regions come from the memory file. */
  readonly overlay: boolean;
  /** The loading set comes from its own file. */
  readonly workingSet: boolean;
}

/** What a strategy works with. */
export interface RestoreContext {
  readonly sets: WorkingSets;
  readonly cache: PageCache;
  readonly tools: PageTools;
  readonly options: RestoreOptions;
  /** The first invocation's event: what is recorded, is recorded of it. */
  readonly event: RecordedEvent;
  /** The VM's own folder, for files that go with it. It exists. */
  readonly dir: string;
  /** Traces that are kept of a snapshot. */
  readonly keepTraces: number;
  /** It is for an invocation, and nobody else records this snapshot at the moment. */
  readonly mayRecord: boolean;
  /** Time limit of dropping and loading caches, milliseconds. */
  readonly limitMs: number;
}

/** One restore, about to be made. */
export interface PreparedRestore {
  readonly memory: MemorySource;
  /** In words, for the invocation's answer: what was done and why. */
  readonly why: string;
  /** This restore's invocation is recorded. */
  readonly records: boolean;
  /**
   * Something of this snapshot is not recorded yet that the strategy works with: the restore of an
   * invocation records it, one that may not record is worse for the lack of it.
   */
  readonly unlearned?: boolean;
  /** Work that goes on beside the restore; it settles by itself. A failure ends the restore. */
  readonly beside?: Promise<void>;
  /** Called when the VMM has its process, before it loads anything. */
  readonly onProcess?: (pid: number) => void;
  /** After the first invocation was answered, before anything else happens to the VM. */
  readonly finish?: (machine: Machine) => Promise<void>;
  /** The VM ends without `finish`. */
  readonly abandon?: () => void;
}

export interface RestoreStrategy {
  readonly name: StrategyName;
  /** The memory sources that it needs of a VMM. */
  readonly needs: readonly MemorySource['kind'][];
  /** @throws SparklerError SNAPSHOT_UNUSABLE, STORAGE_FULL and what else keeps it from its work. */
  prepare(context: RestoreContext): Promise<PreparedRestore>;
}
