import { open, rm, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerError } from '../../errors.js';
import type {
  MachineSpec,
  PagingStats,
  SnapshotFiles,
  VmExit,
  VmHandle,
  VmMarks,
  VmStats,
  VmWrites,
} from '../driver.js';
import { gatedChannel, type GatedChannel } from './channel.js';
import { faultError, type FakeFaults } from './faults.js';
import type { FakeGuest, FakeGuestFactory } from './guest.js';

const MIB = 1024 * 1024;
const PANIC = 'Kernel panic - not syncing: Attempted to kill init!';

/** One fake VM. Beside the handle's own methods, tests may let it die. */
export class FakeHandle implements VmHandle {
  readonly spec: MachineSpec;
  readonly marks: VmMarks;
  readonly exited: Promise<VmExit>;
  readonly #link: GatedChannel;
  readonly #guest: FakeGuest | undefined;
  readonly #faults: FakeFaults;
  /** As with a real VMM: the memory of a booted VM is a file until its first snapshot. */
  #memoryIsFile: boolean;
  #console = '';
  #exit: ((exit: VmExit) => void) | undefined;

  constructor(
    spec: MachineSpec,
    factory: FakeGuestFactory,
    faults: FakeFaults,
    saved?: { readonly state: unknown },
  ) {
    const now = performance.now();
    this.spec = spec;
    this.marks = { requested: now, vmmUp: now, ...(saved && { stateLoaded: now }) };
    this.#faults = faults;
    this.#memoryIsFile = saved === undefined;
    this.#link = gatedChannel(saved !== undefined);
    this.exited = new Promise((resolve) => (this.#exit = resolve));
    if (faults.guest === undefined) this.#guest = factory(this.#link.guest, saved);
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
  endTrace(): Promise<number> {
    return Promise.resolve(0);
  }
  privatePages(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array());
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
    try {
      await writeFile(statePath, JSON.stringify(this.#guest?.save() ?? null), { flag: 'wx' });
      if (this.#faults.diskFull) throw new SparklerError('STORAGE_FULL', 'The fake disk is full.');
      const memory = await open(memoryPath, 'wx');
      await memory.truncate(this.spec.memMiB * MIB);
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
