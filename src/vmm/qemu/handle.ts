/** One QEMU VM: the driver interface over QMP, the preload and the process. */
import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { asSparklerError, isErrno, SparklerError } from '../../errors.js';
import type {
  MachineSpec,
  PagingStats,
  SnapshotFiles,
  VmExit,
  VmMarks,
  VmStats,
  VmWrites,
} from '../driver.js';
import type { ProcessHandle } from '../footprint.js';
import { unsavedMemory } from '../memory-checks.js';
import { MIB, PAGE_BYTES } from '../memory.js';
import { STATE_IN, STATE_OUT } from './command.js';
import { QemuMemory } from './devices.js';
import type { PageServerStats } from '../page-server.js';
import { savePrivateMemory, saveSharedMemory, saveUnnamedMemory } from './memory.js';
import { privatePages } from './pagemap.js';
import { Preload } from './preload.js';
import type { GuestMemory, QemuProcess } from './process.js';
import { Qmp } from './qmp.js';
import type { ForkSource } from './template.js';

const NOT_POPULATED = { pages: 0, ms: 0 };

/** A block as stat(2) counts them, whatever the file system's own block is. */
const STAT_BLOCK_BYTES = 512;

/** How long a QEMU whose connection broke may take to be gone, with its reason, ms. */
const EXIT_GRACE_MS = 1000;

export class QemuHandle implements ProcessHandle {
  readonly pid: number;
  readonly channel: Duplex;
  readonly exited: Promise<VmExit>;
  readonly memory: QemuMemory | undefined;
  readonly #vmId: string;
  readonly #memoryBytes: number;
  readonly #process: QemuProcess;
  readonly #qmp: Qmp;
  readonly #preload: Preload;
  readonly #nativeDir: string;
  readonly #memoryPath: string;
  readonly #stateOutPath: string;
  readonly #memory: GuestMemory;
  #memoryMode: GuestMemory['mode'];
  #prefetchedPages = 0;
  #stateOutEnd = 0;
  /** Ends the programs that copy memory. */
  readonly #ending = new AbortController();
  /** Settles when the last snapshot is written, or what there was of it removed. */
  #saving: Promise<void> = Promise.resolve();
  #marks: VmMarks;

  constructor(
    spec: MachineSpec,
    vmm: QemuProcess,
    memory: GuestMemory,
    stateOutPath: string,
    nativeDir: string,
    requested: number,
  ) {
    this.pid = vmm.pid;
    this.channel = vmm.channel;
    this.exited = vmm.exited;
    this.#process = vmm;
    this.#qmp = new Qmp(vmm.qmp, memory.mode === 'forked');
    this.#preload = new Preload(vmm.control);
    const { pid, traces } = vmm;
    const connections = { pid, traces, qmp: this.#qmp, preload: this.#preload };
    this.memory = spec.memory && new QemuMemory(spec, spec.memory, connections);
    this.#vmId = spec.vmId;
    this.#memoryBytes = spec.memMiB * MIB;
    this.#nativeDir = nativeDir;
    this.#memoryPath = memory.path;
    this.#memoryMode = memory.mode;
    this.#memory = memory;
    this.#stateOutPath = stateOutPath;
    this.#marks = { requested, vmmUp: requested };
  }

  get marks(): VmMarks {
    return this.#marks;
  }
  consoleTail(): string {
    return this.#process.console.toString();
  }
  vmmLog(): string {
    return this.#process.stderr.toString();
  }

  /** Where clones of this VM are asked for; undefined when it was not started for that. */
  get forks(): ForkSource | undefined {
    return this.#process.forks;
  }

  /** Waits until QEMU answers. @throws SparklerError VMM_FAILED with what QEMU wrote to stderr. */
  async waitUp(): Promise<void> {
    await this.#explained(Promise.all([this.#qmp.ready, this.memory?.begin()]));
    this.#marks = { ...this.#marks, vmmUp: performance.now() };
  }

  /** Loads the device state that the process inherited. @throws SparklerError as `waitUp`. */
  async loadState(): Promise<void> {
    if (this.#memory.mode === 'forked') {
      // It has been loaded in the VM that this one is forked from.
      await this.waitUp();
      this.#marks = { ...this.#marks, stateLoaded: this.#marks.vmmUp };
      return;
    }
    // Sent at once: QEMU works through them in order while the answers are on their way.
    const done = this.#migrationEnd();
    const accepted = [
      this.#prepareMigration(),
      this.#qmp.execute('migrate-incoming', { uri: STATE_IN }),
    ];
    const loaded = Promise.all([...accepted, done]);
    // Awaited below; QEMU may end before.
    loaded.catch(() => undefined);
    await this.waitUp();
    await this.#explained(loaded);
    this.#marks = { ...this.#marks, stateLoaded: performance.now() };
    await this.#fetchMemory();
  }

  /** What is to be there before the guest runs, is. */
  async #fetchMemory(): Promise<void> {
    const { pageServer } = this.#process;
    if (pageServer && this.#memory.pages?.workingSet) {
      this.#prefetchedPages = await pageServer.prefetched();
    } else if (this.#memory.populateFirst === true) await this.#preload.waitPopulated();
    else return;
    this.#marks = { ...this.#marks, memoryReady: performance.now() };
  }

  async pause(): Promise<void> {
    await this.#qmp.execute('stop');
  }

  async resume(): Promise<void> {
    await this.#qmp.execute('cont');
  }

  snapshot(files: SnapshotFiles): Promise<void> {
    const saving = this.#save(files);
    this.#saving = saving.catch(() => undefined);
    return saving;
  }

  async #save(files: SnapshotFiles): Promise<void> {
    const unsaved = (await this.memory?.unsavedBytes()) ?? 0;
    if (unsaved > 0) throw unsavedMemory(this.#vmId);
    try {
      await this.#saveState(files.statePath);
      await this.#saveMemory(files.memoryPath);
      // Whoever wanted it has given up: nobody else would remove the files.
      this.#ending.signal.throwIfAborted();
    } catch (error) {
      await rm(files.statePath, { force: true });
      await rm(files.memoryPath, { force: true });
      throw asSparklerError(error);
    }
  }

  async stats(): Promise<VmStats> {
    try {
      return parseStat(await readFile(`/proc/${this.pid}/stat`, 'latin1'));
    } catch (error) {
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ESRCH')) throw error;
      throw new SparklerError('VM_DIED', 'The VMM ended.', {}, error);
    }
  }

  async paging(): Promise<PagingStats> {
    const [populated, served, own] = await Promise.all([
      // What the VM that it is forked from has populated is none of its own.
      this.#memory.mode === 'forked' ? NOT_POPULATED : this.#preload.populated(),
      this.#served(),
      readBytes(this.pid),
    ]);
    return {
      served: served?.faults ?? 0,
      prefetched: this.#prefetchedPages,
      populated: populated.pages,
      populateMs: populated.ms,
      readBytes: own + (served?.readBytes ?? 0),
    };
  }

  async endTrace(): Promise<number> {
    return (await this.#process.pageServer?.flush()) ?? 0;
  }

  async privatePages(): Promise<Uint8Array> {
    const { address, length } = await this.#preload.region();
    return privatePages(this.pid, address, length);
  }

  async writes(): Promise<VmWrites> {
    // What is private or unnamed is written to no file; what it is saved to is new, whole at most.
    if (this.#memoryMode !== 'shared') {
      return { running: 0, snapshot: this.#memoryBytes, snapshotElsewhere: this.#memoryBytes };
    }
    const { size, blocks } = await this.#process.memory.stat();
    const running = Math.max(0, size - blocks * STAT_BLOCK_BYTES);
    return { running, snapshot: 0, snapshotElsewhere: size };
  }

  async close(): Promise<void> {
    this.#ending.abort(new SparklerError('VMM_FAILED', 'The VM was ended during its snapshot.'));
    await this.#process.close();
    // What a snapshot under way had written is removed then.
    await this.#saving;
  }

  /** What the page server has done; nothing when it is gone, which `exited` is about to say. */
  async #served(): Promise<PageServerStats | undefined> {
    return this.#process.pageServer?.stats().catch(() => undefined);
  }

  async #saveState(path: string): Promise<void> {
    // QEMU's descriptor goes on where the last save ended: the next one follows a hole.
    await truncate(this.#stateOutPath, 0);
    const done = this.#migrationEnd();
    const start = this.#stateOutEnd;
    try {
      await Promise.all([
        this.#prepareMigration(),
        this.#qmp.execute('migrate', { uri: STATE_OUT }),
        done,
      ]);
    } finally {
      // Also when it failed half-way: what was written moved the descriptor.
      this.#stateOutEnd = Math.max(start, (await stat(this.#stateOutPath)).size);
    }
    const written = await readFile(this.#stateOutPath);
    await writeFile(path, written.subarray(start), { flag: 'wx', mode: 0o600 });
  }

  async #saveMemory(path: string): Promise<void> {
    const copying = { nativeDir: this.#nativeDir, signal: this.#ending.signal };
    if (this.#memoryMode === 'unnamed') return saveUnnamedMemory(this.pid, path, copying);
    if (this.#memoryMode !== 'shared') {
      return savePrivateMemory(path, this.#process, this.#preload, copying);
    }
    this.#memoryMode = await saveSharedMemory(this.#memoryPath, path, this.#preload, copying);
  }

  /**
   * Guest memory is the daemon's to save and load: QEMU handles device state only. The end of that
   * is told as an event, not asked for again and again.
   */
  #prepareMigration(): Promise<unknown> {
    const capabilities = ['x-ignore-shared', 'events'].map((capability) => ({
      capability,
      state: true,
    }));
    return this.#qmp.execute('migrate-set-capabilities', { capabilities });
  }

  /** The end of the save or load under way. QEMU tells its reason only when asked. */
  async #migrationEnd(): Promise<void> {
    const ends = new Set(['completed', 'failed', 'cancelled']);
    const { status } = await this.#qmp.waitEvent(
      (event, data) => event === 'MIGRATION' && ends.has(String(data['status'])),
    );
    if (status === 'completed') return;
    const info = (await this.#qmp.execute('query-migrate')) as { 'error-desc'?: string };
    const reason = info['error-desc'] ?? 'no reason given';
    if (reason.includes('No space left')) {
      throw new SparklerError('STORAGE_FULL', `The disk is full: ${reason}. Free some space.`);
    }
    throw new SparklerError('VMM_FAILED', `Device state: ${reason}.`);
  }

  /** QEMU says on stderr why it ends; the broken connection alone says nothing. */
  async #explained<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      // A refusal is its own explanation: QEMU lives on after it.
      const exit = await Promise.race([this.exited, sleep(EXIT_GRACE_MS, undefined)]);
      if (exit === undefined) throw error;
      if (exit.cause) throw exit.cause;
      const said = this.vmmLog().trim();
      throw new SparklerError(
        'VMM_FAILED',
        `QEMU ended with ${exit.reason}${said === '' ? '' : `: ${said}`}`,
        {},
        error,
      );
    }
  }
}

/** Fields 10, 12 and 24 of /proc/PID/stat (proc_pid_stat(5)). */
function parseStat(text: string): VmStats {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    minorFaults: field(10),
    majorFaults: field(12),
    residentBytes: field(24) * PAGE_BYTES,
  };
}

/** What the process caused to be read from a disk, bytes: proc_pid_io(5). */
async function readBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'latin1');
  return Number(/^read_bytes: (\d+)$/m.exec(text)?.[1] ?? 0);
}
