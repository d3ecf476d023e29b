/**
 * Memory that grows and shrinks while its machine runs, for everyone above this room: what a machine
 * may be made with, and what can be done with it.
 */
/**
 * `prefault`: populating a block also enters it in the second-level page tables, so that not even
 * the hypervisor's own fault is left for the guest's first touch.
 */
export type MemoryFeature = 'balloon' | 'hotplug' | 'blocks' | 'prefault';

/** What a machine's memory can do while it runs. Part of the machine: fixed when it is made. */
export interface MemoryLayout {
  /** A virtio-balloon. */
  readonly balloon?: {
    /** The guest tells of its free pages by itself, and the host takes them back. */
    readonly freePageReporting: boolean;
    /** How often the guest is asked for its statistics, seconds; 0: never. Default: as the VMM likes. */
    readonly statsS?: number;
  };
  /** One virtio-mem device beside `memMiB`; nothing of it is plugged in at first. */
  readonly hotplug?: {
    readonly maxMiB: number;
    /**
     * In what steps the guest plugs and unplugs, MiB: a power of two that `maxMiB` is a multiple of.
     * Larger ones are faster and can be stuck for less. Default: `MemorySteps.hotplugMiB`.
     */
    readonly stepMiB?: number;
    /** The host has memory for it before the guest gets it. */
    readonly populated?: boolean;
  };
  /**
   * Memory-only NUMA nodes: the first is node 1, the next node 2, and so on. All of it is plugged
   * in from the boot on, for movable pages only, and costs the host nothing until it is touched. The
   * guest's page descriptors for it (1/64 of its size) come out of `memMiB`.
   */
  readonly blocks?: readonly { readonly memMiB: number }[];
}

/** Sizes are multiples of these, MiB. */
export interface MemorySteps {
  readonly balloonMiB: number;
  readonly hotplugMiB: number;
  readonly blockMiB: number;
}

/**
 * What came of a wish. A guest that does not get there in time: `reached` is false, the size before
 * is wanted again, and `mib` is what it has at that moment.
 */
export interface Resized {
  readonly reached: boolean;
  readonly mib: number;
  /** From the wish until the device said so, or until it was given up, milliseconds. */
  readonly ms: number;
}

/** What the guest says of its memory through its balloon, bytes. It may say anything. */
export interface BalloonStats {
  /** How old this is, milliseconds. */
  readonly ageMs: number;
  readonly freeBytes?: number;
  /** What could be had without swapping: free memory and caches. */
  readonly availableBytes?: number;
  readonly totalBytes?: number;
  readonly diskCacheBytes?: number;
  readonly majorFaults?: number;
  readonly minorFaults?: number;
}

export interface BlockState {
  readonly memMiB: number;
  /** What the guest has taken of it: all, once it has booted. */
  readonly pluggedMiB: number;
  /** Host memory behind it, bytes. */
  readonly residentBytes: number;
}

export interface MemoryState {
  /** `memMiB`, the blocks, and the most that can be plugged in. */
  readonly configuredMiB: number;
  /** What is plugged in of the virtio-mem device of `hotplug`. */
  readonly pluggedMiB: number;
  /** What the balloon leaves to the guest of `memMiB`. Absent without a balloon. */
  readonly balloonMiB?: number;
  /** Host memory behind guest memory, all of it, bytes. */
  readonly residentBytes: number;
  /** In the order of the layout: the first is block 1. */
  readonly blocks: readonly BlockState[];
  /** Absent without a balloon, and until the guest has said something. */
  readonly guestStats?: BalloonStats;
}

/** What was populated: pages of 4 KiB, and how long that took, milliseconds. */
export interface Populated {
  readonly pages: number;
  readonly ms: number;
}

/** What a driver does with one VM's memory. Callers get it checked: see `MachineMemory`. */
export interface VmMemory {
  /**
   * Waits until all blocks are plugged in, which the guest does while it boots. `mib`: of all blocks.
   * That is the device's word, here and in `setPlugged`: the guest has the memory from then on, and
   * its kernel has it in use some milliseconds later, as only the guest can tell.
   */
  ready(limitMs: number): Promise<Resized>;
  /** The guest is to keep `guestMiB` of `memMiB`; the rest goes back to the host. */
  setBalloon(guestMiB: number, limitMs: number): Promise<Resized>;
  /** So much is to be plugged in beside `memMiB`. */
  setPlugged(mib: number, limitMs: number): Promise<Resized>;
  /**
   * Gets host memory for a part of a block ahead of its use, into the VMM's page tables, by a thread
   * of the VMM. What is there already stays.
   * @param block from 1: the number of its NUMA node.
   * @param offset and `bytes`: whole pages of 4 KiB.
   */
  populate(block: number, offset: number, bytes: number): Promise<Populated>;
  /**
   * Gives a block's memory back to the host: it reads as zeros afterwards. Whoever calls this has
   * proved that the guest uses nothing of it.
   */
  discard(block: number): Promise<void>;
  state(): Promise<MemoryState>;
}

export const MIB = 1024 * 1024;
export const PAGE_BYTES = 4096;
