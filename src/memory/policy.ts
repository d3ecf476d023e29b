/**
 * What a memory policy is, and what it gives. A policy is a file in this room: it says what the
 * machine is made of, and then makes the memory of the running VM follow its instances.
 */
import type { Config } from '../config/index.js';
import type { GuestSession } from '../guest/index.js';
import type {
  BalloonStats,
  MemoryLayout,
  Populated,
  VmmCapabilities,
  VmMemory,
} from '../vmm/index.js';
import type { Peaks } from './peaks.js';

export const POLICY_NAMES = ['static', 'balloon', 'virtio-mem', 'blocks'] as const;
export type PolicyName = (typeof POLICY_NAMES)[number];

export type MemorySettings = Config['memory'];

/** What is asked of a VM's memory, before the VM is made. */
export interface MemoryWish {
  /** What one instance gets: the function's memory, MiB. */
  readonly instanceMiB: number;
  /** All that the VM may come to have, MiB. Default: enough for `memory.instances` instances. */
  readonly memMiB?: number;
  /** An instance has its memory as its limit even where the VM holds no other. */
  readonly limited?: boolean;
  /** Policy `blocks` only: the size of each block, MiB. Default: as many as fit, of one size. */
  readonly blocksMiB?: readonly number[];
  readonly settings: MemorySettings;
  /** What sizes are multiples of, and how many blocks there can be. */
  readonly capabilities: Pick<VmmCapabilities, 'memorySteps' | 'maxBlocks'>;
}

/** What the memory of a VM is made of; fixed with the machine. */
export interface MemoryPlan {
  readonly policy: PolicyName;
  /** The machine's own memory, with which it boots, MiB. */
  readonly memMiB: number;
  /** What stays with the guest itself: its kernel, the agent, cached files, zygotes. MiB. */
  readonly baseMiB: number;
  /** The most that the VM may have, MiB. */
  readonly maxMiB: number;
  /** What one instance gets unless it asks for something else, MiB. */
  readonly instanceMiB: number;
  /** Policy `static`: see `MemoryWish`. */
  readonly limited?: true;
  readonly layout?: MemoryLayout;
}

/** A running VM, as a policy sees it. */
export interface MemoryVm {
  readonly vmId: string;
  readonly functionName: string;
  readonly plan: MemoryPlan;
  /** Undefined where the plan has no layout. */
  readonly memory: VmMemory | undefined;
  readonly guest: Pick<GuestSession, 'memory' | 'proveFree'>;
  /** False while the guest's CPUs stand still: it would not answer. */
  readonly isRunning: () => boolean;
  /** Resident memory of the VMM, bytes, where it has any. */
  readonly residentBytes: () => Promise<number | undefined>;
  readonly settings: MemorySettings;
  readonly capabilities: VmmCapabilities;
  /** How long a guest may take to get to another size, ms. */
  readonly resizeMs: number;
  readonly peaks: Peaks;
  /** Told of what went wrong where nobody waits for it. */
  readonly warn: (error: unknown, message: string) => void;
}

export interface MemoryPolicy {
  readonly name: PolicyName;
  /** What the VMM must be able to do. */
  readonly needs: VmmCapabilities['memory'];
  /** @throws SparklerError INVALID_REQUEST for sizes that cannot be, with the nearest that can. */
  plan(wish: MemoryWish): MemoryPlan;
  /**
   * For a VM whose guest has just come up. Whoever called closes what it gets.
   * @throws SparklerError OPERATION_UNSUPPORTED when the guest's kernel did not do its part.
   */
  open(vm: MemoryVm): Promise<ElasticMemory>;
}

/** The memory of one running VM. Whoever closes the VM closes it. */
export interface ElasticMemory {
  readonly policy: PolicyName;
  /** What the guest may come to use of the host as it is now, MiB. */
  readonly promisedMiB: number;
  /** Undefined: an instance of `memMiB` fits now; else why not, in words. */
  fits(memMiB: number): string | undefined;
  /**
   * Makes room for one instance.
   * @throws SparklerError NO_MEMORY_BLOCK: there is no room, with what is left; RESIZE_TIMED_OUT:
   * the guest did not get there, and has the size of before; VM_DIED, VMM_FAILED.
   */
  grow(memMiB: number): Promise<Grant>;
  /**
   * Sets the VM's memory by hand, MiB, for as long as its instances need no more.
   * @throws SparklerError OPERATION_UNSUPPORTED; INVALID_REQUEST with the nearest size that works;
   * RESIZE_TIMED_OUT: it has the size of before.
   */
  resize(memMiB: number): Promise<void>;
  /** What is known without asking anybody. */
  summary(): MemorySummary;
  view(): Promise<MemoryView>;
  /** Ends what goes on beside. Never rejects. Harmless when called again. */
  close(): Promise<void>;
}

/** Room for one instance. Whoever ends the instance releases it. */
export interface Grant {
  /** The limit of the instance, MiB; 0: the VM's own memory is its limit. */
  readonly memMiB: number;
  /** The guest's NUMA nodes that it is bound to; absent: anywhere. */
  readonly nodes?: readonly number[];
  /**
   * An invocation is about to begin: all of `memMiB` is there when this resolves.
   * @throws SparklerError RESIZE_TIMED_OUT, VM_DIED, VMM_FAILED
   */
  engage(): Promise<void>;
  /** The invocation of `instance` has ended: what is learned from it goes on beside. */
  rest(instance: number): void;
  /** The instance is gone: its room can be given to another when this resolves. Never rejects. */
  release(): Promise<void>;
  /** What the host has populated ahead for it, once that is over. Absent: nothing is. Never rejects. */
  readonly populated?: Promise<Populated>;
}

export interface MemorySummary {
  readonly policy: PolicyName;
  /** The most that the VM may have, MiB. */
  readonly configuredMiB: number;
  /** What it has now, MiB. */
  readonly pluggedMiB: number;
  /** What is granted to instances, MiB. */
  readonly grantedMiB: number;
}

export interface BlockView {
  /** The guest's NUMA node. */
  readonly node: number;
  readonly memMiB: number;
  /** `returning`: is being given back to the host. `closed`: taken out by hand. */
  readonly state: 'free' | 'taken' | 'returning' | 'closed';
  readonly residentBytes: number;
  /** Allocated in the guest, bytes; absent when the guest could not be asked. */
  readonly usedBytes?: number;
}

export interface InstanceView {
  readonly instance: number;
  readonly currentBytes: number;
  readonly peakBytes: number;
  /** Absent: the VM's own memory is the limit. */
  readonly limitBytes?: number;
  readonly nodes: readonly number[];
}

export interface MemoryView extends MemorySummary {
  /** Guest memory that is neither free nor can be freed at once, bytes; absent: not to be asked. */
  readonly usedByGuestBytes?: number;
  /** Guest memory on the host, bytes; policy `static`: all of the VMM. Absent: it has none. */
  readonly residentBytes?: number;
  /** Policy `blocks` only. */
  readonly blocks?: readonly BlockView[];
  readonly instances: readonly InstanceView[];
  /** Policy `blocks` only: how memory is populated ahead. */
  readonly population?: PopulationView;
  /** Policy `balloon` only: the guest's own statistics, where it has told some. */
  readonly balloonStats?: BalloonStats;
}

export interface PopulationView {
  /** Bytes that the next instance gets populated ahead; 0: none. */
  readonly eagerBytes: number;
  /** From how many earlier peaks of the function that was learned. */
  readonly peaks: number;
  /** Whether second-level page tables are filled as well. */
  readonly preTdpFault: 'off' | 'on' | 'unavailable';
  /** Why it is unavailable. */
  readonly why?: string;
}
