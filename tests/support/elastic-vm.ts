/** A VM as a memory policy sees it, made of plain numbers. */
import { loadConfig, type Config } from '../../src/config/index.js';
import { SparklerError } from '../../src/errors.js';
import type { GuestMemory } from '../../src/guest/index.js';
import { Peaks, type MemoryPlan, type MemoryVm } from '../../src/memory/index.js';
import {
  FakeDriver,
  type Resized,
  type VmMemory,
  type VmmCapabilities,
} from '../../src/vmm/index.js';

const MIB = 1024 * 1024;
const KIB_IN_MIB = 1024;

/** Those of the in-memory VMM. */
export const CAPABILITIES: VmmCapabilities = new FakeDriver({
  guest: () => ({ save: () => undefined, stop: () => undefined }),
}).capabilities;

/** Something that is waited for until the test opens it. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open: () => open() };
}

/** What a test makes go wrong. */
export interface ElasticFaults {
  /** The device gets only so far with this size, MiB. */
  readonly stuckAt?: (wantedMiB: number) => number | undefined;
  readonly populate?: 'refuse' | 'hang';
  readonly discard?: 'refuse';
}

export class ElasticVm implements MemoryVm {
  readonly vmId = 'vm-1';
  readonly functionName = 'hello';
  readonly plan: MemoryPlan;
  readonly settings: Config['memory'];
  readonly capabilities: MemoryVm['capabilities'];
  resizeMs = 1000;
  readonly peaks: Peaks;
  /** What the devices were asked, in order: `balloon 512`, `discard 1`. */
  readonly asked: string[] = [];
  readonly warnings: string[] = [];
  readonly stored = new Map<string, readonly number[]>();
  faults: ElasticFaults = {};
  running = true;
  /** What a balloon has taken counts as used in the guest. */
  countsBalloon = false;
  /** Used by the guest itself, MiB. */
  usedMiB = 100;
  /** KiB that the guest still holds of a block. */
  readonly held = new Map<number, number>();
  /** Blocks that the guest answers about only when the test says so. */
  readonly proofs = new Map<number, Promise<void>>();
  instances: GuestMemory['instances'] = [];
  missingNodes: readonly number[] = [];
  readonly memory: VmMemory;
  #sizeMiB: number;

  constructor(
    plan: MemoryPlan,
    settings: Readonly<Record<string, unknown>> = {},
    capabilities: Partial<VmmCapabilities> = {},
  ) {
    this.plan = plan;
    this.#sizeMiB = plan.memMiB;
    this.capabilities = { ...CAPABILITIES, ...capabilities };
    this.settings = memorySettings(settings);
    this.peaks = new Peaks({
      memoryPeaks: (name) => this.stored.get(name) ?? [],
      putMemoryPeaks: (name, peaks) => void this.stored.set(name, peaks),
    });
    this.memory = this.#device();
  }

  readonly isRunning = (): boolean => this.running;
  readonly residentBytes = (): Promise<number | undefined> => Promise.resolve(7 * MIB);
  readonly warn = (error: unknown, message: string): void => {
    const why = error instanceof Error ? `: ${error.message}` : '';
    this.warnings.push(message + why);
  };

  readonly guest: MemoryVm['guest'] = {
    memory: () => Promise.resolve(this.#guestMemory()),
    proveFree: async (node) => {
      this.asked.push(`prove ${node}`);
      await this.proofs.get(node);
      const usedKiB = this.held.get(node) ?? 0;
      return { free: usedKiB === 0, usedKiB };
    },
  };

  /** Lets everything that goes on beside come to its end. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  #guestMemory(): GuestMemory {
    const blocks = this.plan.layout?.blocks ?? [];
    const totalKiB = (this.countsBalloon ? this.plan.memMiB : this.#sizeMiB) * KIB_IN_MIB;
    const freeKiB = (this.#sizeMiB - this.usedMiB) * KIB_IN_MIB;
    const nodes = blocks.map(({ memMiB }, i) => ({
      node: i + 1,
      managedKiB: memMiB * KIB_IN_MIB,
      freeKiB: memMiB * KIB_IN_MIB - (this.held.get(i + 1) ?? 0),
    }));
    return {
      ...{ totalKiB, freeKiB, availableKiB: freeKiB, instances: this.instances, zygoteBytes: null },
      nodes: nodes.filter(({ node }) => !this.missingNodes.includes(node)),
    };
  }

  #device(): VmMemory {
    const { plan } = this;
    const hotplugBase = plan.layout?.hotplug ? plan.memMiB : 0;
    const set = (name: string, mib: number): Promise<Resized> => {
      this.asked.push(`${name} ${mib}`);
      const stuck = this.faults.stuckAt?.(mib);
      this.#sizeMiB = hotplugBase + (stuck ?? mib);
      return Promise.resolve({ reached: stuck === undefined, mib: stuck ?? mib, ms: 1 });
    };
    const resident = new Map<number, number>();
    return {
      ready: () => set('ready', 0),
      setBalloon: (mib) => set('balloon', mib),
      setPlugged: (mib) => set('plugged', mib),
      populate: async (block, offset, bytes) => {
        this.asked.push(`populate ${block} ${offset / MIB}+${bytes / MIB}`);
        if (this.faults.populate === 'refuse') throw new SparklerError('VMM_FAILED', 'no memory');
        if (this.faults.populate === 'hang') await new Promise(() => undefined);
        resident.set(block, Math.max(resident.get(block) ?? 0, offset + bytes));
        return { pages: bytes / 4096, ms: 1 };
      },
      discard: (block) => {
        this.asked.push(`discard ${block}`);
        if (this.faults.discard) return Promise.reject(new SparklerError('VMM_FAILED', 'busy'));
        resident.delete(block);
        return Promise.resolve();
      },
      state: () => {
        const blocks = (plan.layout?.blocks ?? []).map(({ memMiB }, i) => ({
          memMiB,
          pluggedMiB: memMiB,
          residentBytes: resident.get(i + 1) ?? 0,
        }));
        return Promise.resolve({
          ...{
            configuredMiB: plan.maxMiB,
            pluggedMiB: this.#sizeMiB - hotplugBase,
            residentBytes: 5 * MIB,
          },
          blocks,
        });
      },
    };
  }
}

/** The group `memory` of a configuration. */
export function memorySettings(settings: Readonly<Record<string, unknown>> = {}): Config['memory'] {
  const flags = Object.entries(settings).map(([name, value]) => [`memory.${name}`, value] as const);
  return loadConfig({ env: {}, flags: Object.fromEntries(flags) }).memory;
}
