import { open, rm, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerError } from '../../errors.js';
import type {
  MachineSpec,
  MemorySource,
  PagingStats,
  SnapshotFiles,
  VmExit,
  VmHandle,
  VmMarks,
  VmStats,
  VmWrites,
} from '../driver.js';
import { FakeDevices } from './devices.js';
import { gatedChannel, type GatedChannel } from './channel.js';
import { unsavedMemory } from '../memory-checks.js';
import { faultError, type FakeFaults } from './faults.js';
import type { FakeGuest, FakeGuestFactory } from './guest.js';

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;

/** Pages of guest memory that hold something: the guest's state, again and again. */
const USED_PAGES = [1, 2, 3, 40, 100, 101, 102, 200];
/** The page that a guest writes first. */
const WRITTEN_PAGE = 40;

const PANIC = 'Kernel panic - not syncing: Attempted to kill init!';

/** The contents of a fake snapshot's state file. */
export interface SavedState {
  readonly guest: unknown;
  readonly balloonMiB?: number;
}

/** One fake VM. Beside the handle's own methods, tests may let it die. */
export class FakeHandle implements VmHandle {
  readonly spec: MachineSpec;
  readonly marks: VmMarks;
  readonly memory: FakeDevices | undefined;
  readonly exited: Promise<VmExit>;
  readonly #link: GatedChannel;
  readonly #guest: FakeGuest | undefined;
  readonly #faults: FakeFaults;
  readonly #source: MemorySource | undefined;
  /** As with a real VMM: the memory of a booted VM is a file until its first snapshot. */
  #memoryIsFile: boolean;
  #console = '';
  #exit: ((exit: VmExit) => void) | undefined;

  constructor(
    spec: MachineSpec,
    factory: FakeGuestFactory,
    faults: FakeFaults,
    saved?: {
      readonly state: unknown;
      readonly balloonMiB?: number;
      readonly memory: MemorySource;
    },
  ) {
    const now = performance.now();
    this.spec = spec;
    this.marks = { requested: now, vmmUp: now, ...(saved && { stateLoaded: now }) };
    this.#faults = faults;
    this.memory = spec.memory && new FakeDevices(spec, spec.memory, faults, saved?.balloonMiB);
    this.#source = saved?.memory;
    this.#memoryIsFile = saved === undefined;
    this.#link = gatedChannel(saved !== undefined);
    this.exited = new Promise((resolve) => (this.#exit = resolve));
    if (faults.guest === undefined) this.#guest = factory(this.#link.guest, saved, spec);
    this.print(saved ? 'fake guest restored' : 'fake guest booting');
    if (faults.guest === 'panic') this.print(PANIC);
    if (faults.guest === 'panic' || faults.guest === 'die') {
      setImmediate(() => this.die('exit code 1'));
    }
  }

  get channel(): Duplex {
    return this.#link.host;
  }
  consoleTail(): string {
    return this.#console;
  }
  vmmLog(): string {
    return '';
  }

  /** What the guest is, as JSON; the same object is never shared with the guest. */
  guestState(): unknown {
    return structuredClone(this.#guest?.save() ?? null);
  }

  /** Adds a line to the guest's console. */
  print(line: string): void {
    this.#console += `${line}\n`;
  }

  /** The VMM ends by itself. */
  die(reason = 'signal SIGKILL'): void {
    this.#end({ expected: false, reason });
  }

  pause(): Promise<void> {
    return this.#step('pause', () => this.#link.shut());
  }
  resume(): Promise<void> {
    return this.#step('resume', () => this.#link.open());
  }
  snapshot(files: SnapshotFiles): Promise<void> {
    return this.#step('snapshot', () => this.#write(files));
  }
  stats(): Promise<VmStats> {
    if (this.#faults.fail?.includes('stats')) {
      return Promise.reject(faultError('stats', this.spec.vmId));
    }
    return Promise.resolve({ minorFaults: 0, majorFaults: 0, residentBytes: 0 });
  }
  paging(): Promise<PagingStats> {
    return Promise.resolve({ served: 0, prefetched: 0, populated: 0, populateMs: 0, readBytes: 0 });
  }
  /** It touches all that it uses. */
  async endTrace(): Promise<number> {
    if (this.#source?.kind !== 'userfault' || this.#source.tracePath === undefined) return 0;
    await writeFile(this.#source.tracePath, Uint32Array.from(USED_PAGES));
    return USED_PAGES.length;
  }
  privatePages(): Promise<Uint8Array> {
    const bitmap = new Uint8Array((this.spec.memMiB * MIB) / PAGE_BYTES / 8);
    bitmap[WRITTEN_PAGE >> 3] = 1 << (WRITTEN_PAGE & 7);
    return Promise.resolve(bitmap);
  }
  writes(): Promise<VmWrites> {
    const all = this.spec.memMiB * MIB;
    const isFile = this.#memoryIsFile;
    return Promise.resolve({
      running: isFile ? all : 0,
      snapshot: isFile ? 0 : all,
      snapshotElsewhere: all,
    });
  }
  async close(): Promise<void> {
    if (this.#exit === undefined) return;
    await this.#step('close', () => this.#end({ expected: true, reason: 'closed' }));
  }

  async #write({ memoryPath, statePath }: SnapshotFiles): Promise<void> {
    if (this.memory && this.memory.unsavedBytes > 0) throw unsavedMemory(this.spec.vmId);
    try {
      const balloonMiB = this.memory?.balloonMiB;
      const state = JSON.stringify({ guest: this.#guest?.save() ?? null, balloonMiB });
      await writeFile(statePath, state, { flag: 'wx' });
      if (this.#faults.diskFull) throw new SparklerError('STORAGE_FULL', 'The fake disk is full.');
      const memory = await open(memoryPath, 'wx');
      await memory.truncate(this.spec.memMiB * MIB);
      const page = Buffer.alloc(PAGE_BYTES, state);
      const pages = (this.spec.memMiB * MIB) / PAGE_BYTES;
      for (const number of USED_PAGES.filter((used) => used < pages)) {
        await memory.write(page, 0, PAGE_BYTES, number * PAGE_BYTES);
      }
      await memory.close();
      this.#memoryIsFile = false;
    } catch (error) {
      await Promise.all([memoryPath, statePath].map((path) => rm(path, { force: true })));
      throw error;
    }
  }

  async #step(
    name: 'pause' | 'resume' | 'snapshot' | 'close',
    work: () => void | Promise<void>,
  ): Promise<void> {
    const { hang, fail, delayMs } = this.#faults;
    if (hang?.includes(name)) await new Promise(() => undefined);
    if (delayMs !== undefined) await sleep(delayMs);
    if (name !== 'close' && fail?.includes(name)) throw faultError(name, this.spec.vmId);
    await work();
  }

  #end(exit: VmExit): void {
    const resolve = this.#exit;
    if (resolve === undefined) return;
    this.#exit = undefined;
    this.#guest?.stop();
    this.#link.break();
    resolve(exit);
  }
}
