/**
 * What a VMM must be able to do, for everyone above this room. A new VMM is a folder here that
 * implements `VmmDriver`; what it cannot do it says in its capability record. Nobody outside a
 * VMM's folder asks for its name.
 */
import type { Duplex } from 'node:stream';

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
}

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
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** Added to the driver's own kernel command line. */
  readonly kernelArgs: string;
  readonly drives: readonly Drive[];
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
}

/** What the VMM process has cost so far. Zeros where the driver has no process. */
export interface VmStats {
  readonly minorFaults: number;
  readonly majorFaults: number;
  /** Resident memory in bytes. */
  readonly residentBytes: number;
}

/** When each step was done: milliseconds of `performance.now()`. */
export interface VmMarks {
  readonly requested: number;
  /** The VMM process answers. */
  readonly vmmUp: number;
  /** Restores only: the device state is loaded. */
  readonly stateLoaded?: number;
}

/** What a driver implements for one VM. Callers get it wrapped: see `Machine` in machine.ts. */
export interface VmHandle {
  readonly marks: VmMarks;
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
   * @throws SparklerError STORAGE_FULL, VMM_FAILED; what was written by then is removed.
   */
  snapshot(files: SnapshotFiles): Promise<void>;
  stats(): Promise<VmStats>;
  /** Ends the VMM and frees all that the driver made. Harmless when called again. Never rejects. */
  close(): Promise<void>;
}

export interface VmmDriver {
  readonly capabilities: VmmCapabilities;
  /** Starts a VMM whose guest boots at once: `running`. On failure nothing is left behind. */
  boot(spec: MachineSpec): Promise<VmHandle>;
  /** Starts a VMM with the snapshot's state loaded: `paused`. On failure nothing is left behind. */
  restore(spec: MachineSpec, files: SnapshotFiles): Promise<VmHandle>;
  /** Ends what the driver keeps ahead of VMs; no VM of it may be alive. Never rejects. */
  close?(): Promise<void>;
}
