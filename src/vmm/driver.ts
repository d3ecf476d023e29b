/**
 * What a VMM must be able to do, for everyone above this room. A new VMM is a folder here that
 * implements `VmmDriver`; what it cannot do it says in its capability record. Nobody outside a
 * VMM's folder asks for its name.
 */
import type { Duplex } from 'node:stream';
import type { SparklerError } from '../errors.js';
import type { MemoryFeature, MemoryLayout, MemorySteps, VmMemory } from './memory.js';

/** How guest instructions run. `none`: nothing executes (the in-memory driver). */
export type Accelerator = 'kvm' | 'tcg' | 'none';

/** Every difference between VMMs that anyone above may depend on. */
export interface VmmCapabilities {
  /** The VMM's name and version, recorded in snapshots: a snapshot is restored by the same pair. */
  readonly vmm: string;
  readonly version: string;
  /** The machine type and CPU model, recorded in snapshots for the same reason. */
  readonly machine: string;
  readonly cpuModel: string;
  /** Hardware acceleration is a security boundary; `tcg` is not one. */
  readonly accelerator: Accelerator;
  /** A VM may go on after its snapshot was taken. False: it must be closed. */
  readonly continuesAfterSnapshot: boolean;
  /** The VMM is a host process with a pid, page faults and resident memory. */
  readonly hasProcess: boolean;
  /**
   * The ways in which a restored guest's memory may come to be, see `MemorySource`. Every driver has
   * `file`; a restore that asks for what is not listed is refused with OPERATION_UNSUPPORTED.
   */
  readonly memorySources: readonly MemorySource['kind'][];
  /** Why a source that the VMM has otherwise is not listed on this host, in words. */
  readonly missingSources?: Readonly<Partial<Record<MemorySource['kind'], string>>>;
  /**
   * What memory can do while a machine runs, see `MemoryLayout`. A machine that asks for what is not
   * listed is refused with OPERATION_UNSUPPORTED.
   */
  readonly memory: readonly MemoryFeature[];
  /** Why a feature is not listed, in words. */
  readonly missingMemory?: Readonly<Partial<Record<MemoryFeature, string>>>;
  /** What sizes of elastic memory are multiples of. */
  readonly memorySteps: MemorySteps;
  /** More blocks a machine cannot have. */
  readonly maxBlocks: number;
}

/** A part of guest memory that a layered restore maps from a file of its own, or populates. */
export interface MappedRegion {
  /** First guest page (of 4 KiB) and how many. */
  readonly page: number;
  readonly pages: number;
  /** `base`: no mapping of its own, the region is only populated. */
  readonly from: 'memory' | 'workingSet' | 'base';
  /** First page within that file; 0 for `base`. */
  readonly filePage: number;
  /**
   * Entered in the VMM's page tables by the VMM itself, in the order of the regions, while the guest
   * already runs: `read` keeps pages shared with other clones, `write` makes them private ahead of
   * the guest's own write.
   */
  readonly populate: 'no' | 'read' | 'write';
}

/** A working-set file that a page server installs. */
export interface PrefetchedFile {
  readonly path: string;
  /** Read past the page cache. */
  readonly direct: boolean;
  /** Read in a single read, not piece by piece. */
  readonly singleRead: boolean;
}

/** Where a restored guest's memory comes from. Whatever it is, the guest sees the snapshot's bytes. */
export type MemorySource =
  /** The memory file, mapped privately: pages come when the guest touches them. */
  | { readonly kind: 'file' }
  /** Private mappings of the memory file and of a working-set file, one over the other. */
  | {
      readonly kind: 'layers';
      /** Under the regions: the memory file, or anonymous memory where the snapshot has zeros. */
      readonly base: 'memory' | 'anonymous';
      readonly regions: readonly MappedRegion[];
      /** The file that `from: workingSet` means. */
      readonly workingSetPath?: string;
      /** All that is to be populated is so before the guest runs, not beside it. */
      readonly populateFirst?: boolean;
    }
  /** Anonymous memory that a page server fills: docs/protocol/page-server.md. */
  | {
      readonly kind: 'userfault';
      /** Checksums of the memory file: what the page server reads is verified. */
      readonly sumsPath: string;
      /** Installed in full before the guest runs. */
      readonly workingSet?: PrefetchedFile;
      /** A new file for the numbers of the pages that fault, in the order of their first fault. */
      readonly tracePath?: string;
    }
  /**
   * The VMM is forked from a VM of the same snapshot that stands paused (`MachineSpec.hasClones`):
   * the clone goes on where that VM stands, on its memory, copy-on-write.
   */
  | { readonly kind: 'fork'; readonly vmId: string };

/** A read-only block device of the guest. */
export interface Drive {
  /** `root`: the image; `code`: the function's code, seen by the guest as the second drive. */
  readonly id: 'root' | 'code';
  readonly path: string;
}

/** Everything that makes a machine. A restore needs the same machine as the snapshot's. */
export interface MachineSpec {
  readonly vmId: string;
  readonly vcpus: number;
  readonly memMiB: number;
  /** Absent: memory is `memMiB` and stays so. */
  readonly memory?: MemoryLayout;
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** Added to the driver's own kernel command line. */
  readonly kernelArgs: string;
  readonly drives: readonly Drive[];
  /** Restores only: VMMs of other VMs will be forked from this one while it stands paused. */
  readonly hasClones?: boolean;
  /** The VM's own folder: exists, empty, removed by whoever made it after `close()`. */
  readonly dir: string;
}

/** The files of a snapshot. Both are immutable once the snapshot exists. */
export interface SnapshotFiles {
  /** Guest memory, byte for byte, sparse: `memMiB` MiB long. */
  readonly memoryPath: string;
  /** The VMM's device state, in the VMM's own format. */
  readonly statePath: string;
}

/**
 * The life of a VM. `boot` and `restore` make it; the table in machine.ts says what is legal when.
 *
 *     boot ──────► running ◄──resume── paused ◄────── restore
 *                     └─────pause──────►│
 *     any of them ──close()──► closed;  the VMM ends by itself ──► failed ──close()──► closed
 */
export type VmState = 'running' | 'paused' | 'failed' | 'closed';

/** How a VMM ended. */
export interface VmExit {
  /** True when `close()` ended it. */
  readonly expected: boolean;
  /** In words: `exit code 1`, `signal SIGKILL`. */
  readonly reason: string;
  /** Why the driver ended it, when it did so without being asked: its page server failed. */
  readonly cause?: SparklerError;
}

/** What the VMM process has cost so far. Zeros where the driver has no process. */
export interface VmStats {
  readonly minorFaults: number;
  readonly majorFaults: number;
  /** Resident memory in bytes. */
  readonly residentBytes: number;
}

/** What came of a restore's memory source so far. Zeros for what it does not use. */
export interface PagingStats {
  /** Page faults that the page server answered. */
  readonly served: number;
  /** Pages of the working set that were installed before the guest ran. */
  readonly prefetched: number;
  /** Pages that the VMM populated by itself, and how long that took, milliseconds. */
  readonly populated: number;
  readonly populateMs: number;
  /** Bytes that were read from a disk for the VM, its page server's included. */
  readonly readBytes: number;
}

/** Guest memory that may still be written to disks, bytes. */
export interface VmWrites {
  /** Into the VM's own folder, while the guest goes on. 0: it writes to no file any more. */
  readonly running: number;
  /** Into a snapshot's memory file that lies on the file system of the VM's folder. */
  readonly snapshot: number;
  /** Into one that lies on another file system. */
  readonly snapshotElsewhere: number;
}

/** When each step was done: milliseconds of `performance.now()`. */
export interface VmMarks {
  readonly requested: number;
  /** The VMM process answers. */
  readonly vmmUp: number;
  /** Restores only: the device state is loaded. */
  readonly stateLoaded?: number;
  /** Restores whose memory is brought in before the guest runs: it is. */
  readonly memoryReady?: number;
}

/** What a driver implements for one VM. Callers get it wrapped: see `Machine` in machine.ts. */
export interface VmHandle {
  readonly marks: VmMarks;
  /** Undefined when the machine has no `MemoryLayout`. */
  readonly memory: VmMemory | undefined;
  /** The byte stream to the guest agent. Ends when the VMM does. */
  readonly channel: Duplex;
  /** Resolves when the VMM is gone, whoever ended it. Never rejects. */
  readonly exited: Promise<VmExit>;
  /** The guest console's last bytes (a ring; `consoleBytes` of the configuration), as UTF-8. */
  consoleTail(): string;
  /** What the VMM process itself wrote to stderr, last bytes. */
  vmmLog(): string;
  /** The guest's CPUs stop; memory and devices stay. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Writes the paused VM's state to `files`; neither may exist before. Once each time it is paused:
   * a VMM may refuse another one before it ran again. The VM stays paused and,
   * where `continuesAfterSnapshot` says so, may be resumed: it never writes to `files` again.
   * Only `memMiB` is saved: a machine whose blocks or plugged memory hold anything is refused.
   * @throws SparklerError STORAGE_FULL, VMM_FAILED; what was written by then is removed.
   * OPERATION_UNSUPPORTED: memory beside `memMiB` is in use; nothing was written.
   */
  snapshot(files: SnapshotFiles): Promise<void>;
  stats(): Promise<VmStats>;
  paging(): Promise<PagingStats>;
  /** Closes the trace of a restore that asked for one: it is complete in its file. Answers its pages. */
  endTrace(): Promise<number>;
  /**
   * A bitmap of the guest pages that are private to this VM, which are those that it wrote (bit n of
   * byte n / 8, least significant first). Empty where the driver has no such thing.
   */
  privatePages(): Promise<Uint8Array>;
  /** At most what it says is written, however the guest behaves. */
  writes(): Promise<VmWrites>;
  /** Ends the VMM and frees all that the driver made. Harmless when called again. Never rejects. */
  close(): Promise<void>;
}

export interface VmmDriver {
  readonly capabilities: VmmCapabilities;
  /** Starts a VMM whose guest boots at once: `running`. On failure nothing is left behind. */
  boot(spec: MachineSpec): Promise<VmHandle>;
  /**
   * Starts a VMM with the snapshot's state loaded and its memory as `memory` says: `paused`. On
   * failure nothing is left behind.
   * @throws SparklerError OPERATION_UNSUPPORTED for a source that `memorySources` does not list.
   */
  restore(spec: MachineSpec, files: SnapshotFiles, memory: MemorySource): Promise<VmHandle>;
  /** Ends what the driver keeps ahead of VMs; no VM of it may be alive. Never rejects. */
  close?(): Promise<void>;
}
