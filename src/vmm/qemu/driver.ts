/** The QEMU driver: stock QEMU 10.0 or later, with native/qemu-preload. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isErrno, SparklerError } from '../../errors.js';
import type {
  Accelerator,
  MachineSpec,
  MemorySource,
  SnapshotFiles,
  VmHandle,
  VmmCapabilities,
} from '../driver.js';
import type { AheadObserver, FootprintDriver, ObservedSpec, VmFootprint } from '../footprint.js';
import { LimitExpired, within } from '../within.js';
import { MACHINE, qemuCommand, type CommandOptions } from './command.js';
import { QemuHandle } from './handle.js';
import { HandoverFailed } from './handover.js';
import { MIB } from '../memory.js';
import { MAX_BLOCKS, STEP_MIB } from './memory-args.js';
import { encodePlan } from './plan.js';
import { QemuProcess, type GuestMemory, type ProcessOptions } from './process.js';
import type { Template } from './template.js';
import { Templates } from './templates.js';

export interface QemuOptions extends ProcessOptions {
  readonly accelerator: Exclude<Accelerator, 'none'>;
  /** Size of TCG's translation cache, MiB. */
  readonly tbSizeMiB: number;
  /** A VMM that does not answer for so long is ended, ms. */
  readonly startMs: number;
  /** Added to it when device state is to be loaded, ms. */
  readonly restoreMs: number;
  /** Processes kept ahead, each for restores of one shape; in software emulation only. 0: none. */
  readonly templates: number;
  readonly observer?: AheadObserver;
}

/** The machine type that snapshots name (`MACHINE`) appeared with it. */
const MIN_VERSION = [10, 0] as const;

/** @throws SparklerError DEPENDENCY_MISSING when QEMU is not there or too old. */
export async function createQemuDriver(options: QemuOptions): Promise<FootprintDriver> {
  return new QemuDriver(options, await qemuVersion(options.qemuPath));
}

/** QEMU's version, as it says it: `10.0.2`. @throws SparklerError DEPENDENCY_MISSING */
export async function qemuVersion(qemuPath: string): Promise<string> {
  const hint = 'Run "make setup", or install qemu-system-x86 10.0 or later.';
  let said: string;
  try {
    said = (await promisify(execFile)(qemuPath, ['--version'])).stdout;
  } catch (error) {
    const message = `Cannot run ${qemuPath}. ${hint}`;
    throw new SparklerError('DEPENDENCY_MISSING', message, { field: 'vmm.qemuPath' }, error);
  }
  const match = /version (\d+)\.(\d+)\.(\d+)/.exec(said);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new SparklerError('DEPENDENCY_MISSING', `${qemuPath} is too old: ${said}. ${hint}`);
  }
  return `${match[1]}.${match[2]}.${match[3]}`;
}

class QemuDriver implements FootprintDriver {
  readonly capabilities: VmmCapabilities;
  readonly #options: QemuOptions;
  readonly #command: CommandOptions;
  /** VMs that others may be forked from, by their ids. */
  readonly #withClones = new Map<string, QemuHandle>();
  /** With hardware acceleration a VM is bound to the process that made it. */
  readonly #templates: Templates | undefined;

  constructor(options: QemuOptions, version: string) {
    const cpuModel = options.accelerator === 'kvm' ? 'host' : 'max';
    this.#options = options;
    this.#command = { ...options, cpuModel };
    if (options.accelerator === 'tcg' && options.templates > 0) {
      this.#templates = new Templates(options.templates, options, options.observer);
    }
    this.capabilities = {
      vmm: 'qemu',
      version,
      machine: MACHINE,
      cpuModel,
      accelerator: options.accelerator,
      continuesAfterSnapshot: true,
      hasProcess: true,
      ...memorySources(options.accelerator),
      memory: ['balloon', 'hotplug', 'blocks'],
      missingMemory: { prefault: PREFAULT_MISSING[options.accelerator] },
      memorySteps: { balloonMiB: 1, hotplugMiB: STEP_MIB, blockMiB: STEP_MIB },
      maxBlocks: MAX_BLOCKS,
    };
  }

  footprint(spec: ObservedSpec): VmFootprint {
    const root = this.#options.cgroupRoot;
    return root === undefined ? {} : { cgroup: join(root, spec.vmId) };
  }

  async boot(spec: ObservedSpec): Promise<VmHandle> {
    const memory = spec.memory?.balloon ? UNNAMED : await memoryFile(spec);
    const handle = await this.#start(spec, memory, undefined, performance.now());
    return orClose(handle, handle.waitUp(), this.#options.startMs);
  }

  async restore(spec: ObservedSpec, files: SnapshotFiles, source: MemorySource): Promise<VmHandle> {
    const memory = await guestMemory(spec, files, source);
    const { startMs, restoreMs } = this.#options;
    const requested = performance.now();
    if (source.kind === 'fork') return this.#fork(spec, files, memory, source.vmId, requested);
    const ahead = spec.hasClones === true ? undefined : await this.#ahead(spec, files.statePath);
    const handle = await this.#start(spec, memory, files.statePath, requested, ahead?.template);
    const restored = await orClose(handle, handle.loadState(), startMs + restoreMs);
    ahead?.done();
    if (spec.hasClones === true) this.#remember(spec.vmId, handle);
    return restored;
  }

  /** For as long as it lives, clones of it may be asked for. */
  #remember(vmId: string, handle: QemuHandle): void {
    this.#withClones.set(vmId, handle);
    void handle.exited.then(() => this.#withClones.delete(vmId));
  }

  /** @throws SparklerError VM_DIED when the VM that it is to be forked from is gone. */
  async #fork(
    spec: ObservedSpec,
    files: SnapshotFiles,
    memory: GuestMemory,
    vmId: string,
    requested: number,
  ): Promise<VmHandle> {
    const source = this.#withClones.get(vmId)?.forks;
    if (!source) {
      throw new SparklerError('VM_DIED', `VM ${vmId}, to be forked, is gone. Try again.`);
    }
    const command = qemuCommand(spec, files.statePath, this.#command);
    const stateOut = join(spec.dir, 'state');
    const { nativeDir, startMs } = this.#options;
    const how = { source };
    const vmm = await QemuProcess.start(spec.vmId, command, memory, stateOut, this.#options, how);
    spec.onProcess?.(vmm.pid);
    const handle = new QemuHandle(spec, vmm, memory, stateOut, nativeDir, requested);
    return orClose(handle, handle.loadState(), startMs);
  }

  async close(): Promise<void> {
    await this.#templates?.close();
  }

  /** The template for this restore, if there is one, and what to do when the restore is done. */
  async #ahead(
    spec: ObservedSpec,
    statePath: string,
  ): Promise<{ template: Template | undefined; done: () => void } | undefined> {
    const templates = this.#templates;
    if (!templates) return undefined;
    const command = qemuCommand(spec, statePath, { ...this.#command, forks: 'template' });
    const key = await Templates.keyOf(command);
    const template = templates.take(key);
    return { template, done: () => (template ? templates.worked() : templates.want(key, command)) };
  }

  async #start(
    spec: ObservedSpec,
    memory: GuestMemory,
    statePath: string | undefined,
    requested: number,
    template?: Template,
  ): Promise<QemuHandle> {
    const stateOut = join(spec.dir, 'state');
    const { hasClones = false } = spec;
    const shape = { ...this.#command, ...(hasClones && ({ forks: 'clones' } as const)) };
    const command = qemuCommand(spec, statePath, shape);
    const start = (source?: Template): Promise<QemuProcess> =>
      QemuProcess.start(spec.vmId, command, memory, stateOut, this.#options, { source, hasClones });
    let vmm: QemuProcess;
    try {
      vmm = await start(template);
    } catch (error) {
      if (!(error instanceof HandoverFailed) || !template) throw error;
      this.#templates?.failed(template, error.message);
      vmm = await start();
    }
    spec.onProcess?.(vmm.pid);
    return new QemuHandle(spec, vmm, memory, stateOut, this.#options.nativeDir, requested);
  }
}

/**
 * A balloon gives memory back page by page. On a disk's file system each page waits for what is being
 * written there; memory that is on no disk has nothing to wait for.
 */
const UNNAMED: GuestMemory = { path: '/dev/null', mode: 'unnamed' };

/** The memory of a VM that boots: a file in its folder, which a snapshot takes as it is. */
async function memoryFile(spec: MachineSpec): Promise<GuestMemory> {
  const path = join(spec.dir, 'memory');
  const file = await open(path, 'wx', 0o600);
  try {
    await file.truncate(spec.memMiB * MIB);
  } finally {
    await file.close();
  }
  return { path, mode: 'shared' };
}

const PREFAULT_MISSING = {
  tcg: 'software emulation has no second-level page tables',
  kvm: 'QEMU does not offer KVM_PRE_FAULT_MEMORY',
};

const USERFAULT_DEVICE = '/dev/userfaultfd';

/** `userfault` needs the device: a descriptor of it serves faults in the kernel too. */
function memorySources(
  accelerator: QemuOptions['accelerator'],
): Pick<VmmCapabilities, 'memorySources' | 'missingSources'> {
  const missing: Partial<Record<MemorySource['kind'], string>> = {};
  const fork = accelerator === 'tcg';
  if (!fork) missing.fork = 'a VM in hardware acceleration belongs to the process that made it';
  const userfault = whyNoUserfault();
  if (userfault !== undefined) missing.userfault = userfault;
  const all: readonly MemorySource['kind'][] = ['file', 'layers', 'userfault', 'fork'];
  return {
    memorySources: all.filter((kind) => missing[kind] === undefined),
    missingSources: missing,
  };
}

/** In words; undefined when the device can be opened. */
function whyNoUserfault(): string | undefined {
  try {
    accessSync(USERFAULT_DEVICE, constants.R_OK);
    return undefined;
  } catch (error) {
    return isErrno(error, 'ENOENT')
      ? `${USERFAULT_DEVICE} does not exist (Linux 6.1 or later, with CONFIG_USERFAULTFD)`
      : `${USERFAULT_DEVICE} may not be opened by the daemon's user`;
  }
}

/** Guest memory from `source`; a plan is written into the VM's own folder. */
async function guestMemory(
  spec: MachineSpec,
  { memoryPath: path }: SnapshotFiles,
  source: MemorySource,
): Promise<GuestMemory> {
  switch (source.kind) {
    case 'file':
      return { path, mode: 'private' };
    case 'fork':
      return { path, mode: 'forked' };
    case 'userfault': {
      const { sumsPath, workingSet, tracePath } = source;
      const parts = { ...(workingSet && { workingSet }), ...(tracePath && { tracePath }) };
      return { path, mode: 'userfault', pages: { sumsPath, ...parts } };
    }
    case 'layers': {
      const planPath = join(spec.dir, 'plan');
      await writeFile(planPath, encodePlan(source, spec.memMiB * MIB), { mode: 0o600 });
      const { workingSetPath, populateFirst } = source;
      return {
        ...{ path, mode: 'layers', planPath },
        ...(workingSetPath !== undefined && { workingSetPath }),
        ...(populateFirst !== undefined && { populateFirst }),
      };
    }
  }
}

/** A start that fails, or takes too long, leaves nothing behind. */
async function orClose(handle: QemuHandle, up: Promise<void>, limitMs: number): Promise<VmHandle> {
  try {
    await within(up, limitMs);
    return handle;
  } catch (error) {
    await handle.close();
    if (!(error instanceof LimitExpired)) throw error;
    const said = { step: 'vmm-start', console: handle.consoleTail() };
    const message = `QEMU did not come up within ${limitMs} ms. ${handle.vmmLog()}`.trim();
    throw new SparklerError('VMM_FAILED', message, said, error);
  }
}
