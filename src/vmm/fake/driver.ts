/**
 * The in-memory driver: no process, no instructions, but the same life cycle, channel and snapshot
 * files as a real one. Its guests are objects that speak the guest channel's protocol.
 */
import { readFile, stat } from 'node:fs/promises';
import { SparklerError } from '../../errors.js';
import type {
  MachineSpec,
  MemorySource,
  SnapshotFiles,
  VmHandle,
  VmmCapabilities,
  VmmDriver,
} from '../driver.js';
import { type FakeFaults, faultError } from './faults.js';
import { FakeHandle, type SavedState } from './handle.js';
import type { FakeGuestFactory } from './guest.js';

export interface FakeOptions {
  readonly guest: FakeGuestFactory;
  /** What goes wrong with this VM; `start` counts all boots and restores from 1. */
  readonly faults?: (spec: MachineSpec, start: number) => FakeFaults | undefined;
  /** Replaces parts of the capability record. */
  readonly capabilities?: Partial<VmmCapabilities>;
}

const CAPABILITIES: VmmCapabilities = {
  vmm: 'fake',
  version: '1',
  machine: 'fake',
  cpuModel: 'fake',
  accelerator: 'none',
  continuesAfterSnapshot: true,
  hasProcess: false,
  memorySources: ['file', 'layers', 'userfault'],
  memory: ['balloon', 'hotplug', 'blocks'],
  missingMemory: { prefault: 'it has no page tables' },
  memorySteps: { balloonMiB: 1, hotplugMiB: 2, blockMiB: 2 },
  maxBlocks: 64,
};

export class FakeDriver implements VmmDriver {
  readonly capabilities: VmmCapabilities;
  /** VMs that were started and not closed. */
  readonly live = new Set<FakeHandle>();
  /** What each restore was asked to take memory from, oldest first. */
  readonly restores: MemorySource[] = [];
  readonly #options: FakeOptions;
  #starts = 0;

  constructor(options: FakeOptions) {
    this.#options = options;
    this.capabilities = { ...CAPABILITIES, ...options.capabilities };
  }

  /** The VM `vmId`, for tests that do something to it. @throws SparklerError VM_NOT_FOUND */
  vm(vmId: string): FakeHandle {
    for (const handle of this.live) if (handle.spec.vmId === vmId) return handle;
    throw new SparklerError('VM_NOT_FOUND', `The fake driver has no VM ${vmId}.`);
  }

  async boot(spec: MachineSpec): Promise<VmHandle> {
    const faults = await this.#begin(spec);
    return this.#add(new FakeHandle(spec, this.#options.guest, faults));
  }

  async restore(spec: MachineSpec, files: SnapshotFiles, memory: MemorySource): Promise<VmHandle> {
    this.restores.push(memory);
    const faults = await this.#begin(spec);
    if (memory.kind === 'fork') return this.#fork(spec, memory, faults);
    const saved = JSON.parse(await readFile(files.statePath, 'utf8')) as SavedState;
    await stat(files.memoryPath);
    const { guest: state, ...devices } = saved;
    const from = { state, ...devices, memory };
    return this.#add(new FakeHandle(spec, this.#options.guest, faults, from));
  }

  /** As a process that was forked: it ends with the one that it comes from. */
  #fork(
    spec: MachineSpec,
    memory: Extract<MemorySource, { kind: 'fork' }>,
    faults: FakeFaults,
  ): FakeHandle {
    const source = [...this.live].find((handle) => handle.spec.vmId === memory.vmId);
    if (source?.spec.hasClones !== true) {
      throw new SparklerError('VM_DIED', `VM ${memory.vmId}, to be forked, is gone. Try again.`);
    }
    const saved = { state: source.guestState(), memory };
    const handle = this.#add(new FakeHandle(spec, this.#options.guest, faults, saved));
    void source.exited.then(() => handle.die());
    return handle;
  }

  async #begin(spec: MachineSpec): Promise<FakeFaults> {
    const faults = this.#options.faults?.(spec, ++this.#starts) ?? {};
    if (faults.start === 'hang') await new Promise(() => undefined);
    if (faults.start === 'refuse') throw faultError('start', spec.vmId);
    return faults;
  }

  #add(handle: FakeHandle): FakeHandle {
    this.live.add(handle);
    void handle.exited.then(() => this.live.delete(handle));
    return handle;
  }
}
