/** One QEMU process: what it inherits, its cgroup and user, its output and its end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import type { Duplex, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerError } from '../../errors.js';
import { VmCgroup } from '../cgroup.js';
import type { VmExit } from '../driver.js';
import { PageServer, type PageServerOptions } from '../page-server.js';
import { Tail } from '../tail.js';
import { FD, type QemuCommand } from './command.js';
import { forkedPid, handOver, type Inherited } from './handover.js';
import type { ForkSource } from './template.js';
import { Traces } from './trace.js';

/** What all QEMU processes of a driver have in common. */
export interface ProcessOptions {
  readonly qemuPath: string;
  /** The folder of vmm-launch, qemu-preload.so and memory-save. */
  readonly nativeDir: string;
  /** The parent of the VMs' cgroups; undefined where version 2 is not mounted. */
  readonly cgroupRoot: string | undefined;
  /** Each VM gets a user of its own from here on; 0: the daemon's user. */
  readonly firstUid: number;
  readonly uidCount: number;
  readonly consoleBytes: number;
  /** How long ending a process and removing its cgroup may take, milliseconds. */
  readonly closeMs: number;
  /** How long a page server may wait for its VMM, prefetch, and answer, milliseconds, each. */
  readonly pageServerMs: number;
}

/** Guest memory as QEMU is to map it; see native/qemu-preload. */
export interface GuestMemory {
  readonly path: string;
  /**
   * `shared`: the file is the memory and is written; in all others it is only read. `unnamed`: there
   * is none, the VMM makes memory itself. `forked`: the VMM has mapped it already.
   */
  readonly mode: 'shared' | 'unnamed' | 'private' | 'layers' | 'userfault' | 'forked';
  /** `layers`: the plan, and the working-set file if the plan names it. */
  readonly planPath?: string;
  readonly workingSetPath?: string;
  readonly populateFirst?: boolean;
  /** `userfault`: what the page server is to do. */
  readonly pages?: Pick<PageServerOptions, 'sumsPath' | 'workingSet' | 'tracePath'>;
}

/** How long the console's last bytes may take to arrive once the process has ended, ms. */
const CONSOLE_DRAIN_MS = 500;

export class QemuProcess {
  readonly pid: number;
  readonly qmp: Duplex;
  readonly channel: Duplex;
  readonly control: Duplex;
  /** The open memory file: it outlives its names for as long as the VM does. */
  readonly memory: FileHandle;
  readonly console: Tail;
  readonly stderr: Tail;
  readonly traces: Traces;
  readonly exited: Promise<VmExit>;
  readonly #child: ChildProcess;
  readonly #cgroup: VmCgroup | undefined;
  readonly #closeMs: number;
  readonly #uid: number | undefined;
  /** Where clones of this VM are asked for. */
  readonly forks: ForkSource | undefined;
  /** Brings the pages of a `userfault` restore. */
  readonly pageServer: PageServer | undefined;
  /** Why the process was ended without being closed. */
  #cause: SparklerError | undefined;
  readonly #stopSignal: NodeJS.Signals;
  #closing: Promise<void> | undefined;

  private constructor(
    child: ChildProcess,
    ended: Promise<string>,
    pid: number,
    { memory, cgroup, uid, pageServer, forks }: Owned,
    options: ProcessOptions,
  ) {
    this.#uid = uid;
    this.forks = forks;
    this.pageServer = pageServer;
    this.pid = pid;
    // Our child may be one that stands in for the VMM: it ends the VMM first.
    this.#stopSignal = child.pid === pid ? 'SIGKILL' : 'SIGTERM';
    this.memory = memory;
    this.#child = child;
    this.#cgroup = cgroup;
    this.#closeMs = options.closeMs;
    this.qmp = stream(child, FD.qmp);
    this.channel = stream(child, FD.channel);
    this.control = stream(child, FD.control);
    this.console = new Tail(options.consoleBytes);
    this.stderr = new Tail(options.consoleBytes);
    const console = stream(child, FD.console);
    collect(console, this.console);
    this.traces = new Traces(child.stderr as Readable, this.stderr);
    this.exited = this.#watch(ended, console);
    // A guest whose pages nobody brings would wait for ever.
    void pageServer?.failed.then((error) => {
      this.#cause = error;
      child.kill(this.#stopSignal);
    });
  }

  /**
   * With a `source` the process is forked from it: a template that was started with a command of the
   * same shape, or, with memory that is `forked`, a VM that was started with `hasClones`.
   * @throws SparklerError VMM_FAILED, DEPENDENCY_MISSING, HandoverFailed; nothing is left behind then.
   */
  static async start(
    vmId: string,
    command: QemuCommand,
    memory: GuestMemory,
    stateOutPath: string,
    options: ProcessOptions,
    { source, hasClones = false }: { source?: ForkSource | undefined; hasClones?: boolean } = {},
  ): Promise<QemuProcess> {
    const cgroup = options.cgroupRoot ? new VmCgroup(options.cgroupRoot, vmId) : undefined;
    // A clone that is forked stays what the VM is that it is forked from.
    const uid = memory.mode === 'forked' ? undefined : takeUid(vmId, options);
    const opened: FileHandle[] = [];
    let child: ChildProcess | undefined;
    let pageServer: PageServer | undefined;
    try {
      await cgroup?.create();
      pageServer = await startPageServer(memory, cgroup, uid, options);
      const files = await openAll(filesOf(command, memory, stateOutPath, options, source), opened);
      if (pageServer) files[FD.pages - FD.memory] = pageServer.vmmSocket;
      const [memoryFile] = opened;
      if (memoryFile === undefined) throw launchError(options);
      child = launch(command, memory.mode, files, { cgroup, uid }, options, source, hasClones);
      const ended = endOf(child);
      await spawned(child, options);
      pageServer?.vmmSocket.destroy();
      await Promise.all(opened.filter((file) => file !== memoryFile).map((file) => file.close()));
      const pid = source ? await forkedPid(child) : child.pid;
      if (pid === undefined) throw launchError(options);
      const forks = hasClones ? forkSource(child, command) : undefined;
      const owned = { memory: memoryFile, cgroup, uid, pageServer, forks };
      return new QemuProcess(child, ended, pid, owned, options);
    } catch (error) {
      child?.kill('SIGKILL');
      await pageServer?.close();
      await cgroup?.kill();
      await Promise.allSettled(opened.map((handle) => handle.close()));
      await cgroup?.remove(options.closeMs);
      if (uid !== undefined) uidsInUse.delete(uid);
      throw error;
    }
  }

  /** Ends the process, whatever it does, and frees what it had. Harmless when called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#child.kill(this.#stopSignal);
    await this.pageServer?.close();
    await this.#cgroup?.kill();
    await this.exited;
    for (const end of [this.qmp, this.channel, this.control, this.forks?.requests]) end?.destroy();
    await this.memory.close();
    await this.#cgroup?.remove(this.#closeMs);
    if (this.#uid !== undefined) uidsInUse.delete(this.#uid);
  }

  async #watch(ended: Promise<string>, console: Readable): Promise<VmExit> {
    const drained = new Promise<void>((resolve) => console.once('close', resolve));
    const reason = await ended;
    await Promise.race([drained, sleep(CONSOLE_DRAIN_MS)]);
    const cause = this.#cause && { cause: this.#cause };
    return { expected: this.#closing !== undefined, reason, ...cause };
  }
}

/** What a process has and gives back. */
interface Owned {
  readonly memory: FileHandle;
  readonly cgroup: VmCgroup | undefined;
  readonly uid: number | undefined;
  readonly pageServer: PageServer | undefined;
  readonly forks: ForkSource | undefined;
}

/** What each clone gets for itself of what the VM inherits; memory and drives they share. */
const CLONE_SLOTS = [2, FD.qmp, FD.channel, FD.console, FD.control, FD.stateOut] as const;

/** The number under which a VM with clones has its end of `requests`: the one after all others. */
const requestsFd = (command: QemuCommand): number => FD.firstFile + command.files.length;

function forkSource(child: ChildProcess, command: QemuCommand): ForkSource {
  return { requests: stream(child, requestsFd(command)), slots: CLONE_SLOTS };
}

/** A file to be opened for the process, undefined where it gets none. */
type FileToOpen = { readonly path: string; readonly flags: string } | undefined;

/** What is inherited under `FD.memory` and the numbers that follow. */
function filesOf(
  command: QemuCommand,
  memory: GuestMemory,
  stateOutPath: string,
  options: ProcessOptions,
  source: ForkSource | undefined,
): FileToOpen[] {
  // What a template has loaded and opened already.
  const own = <T>(file: T): T | undefined => (source ? undefined : file);
  const first: FileToOpen[] = [
    { path: memory.path, flags: memory.mode === 'shared' ? 'r+' : 'r' },
    { path: stateOutPath, flags: 'w' },
  ];
  if (memory.mode === 'forked') return first;
  return [
    ...first,
    own({ path: `${options.nativeDir}/qemu-preload.so`, flags: 'r' }),
    { path: memory.path, flags: 'r' },
    // The page server's socket is put in its place, where there is one.
    { path: '/dev/null', flags: 'r' },
    { path: memory.mode === 'userfault' ? '/dev/userfaultfd' : '/dev/null', flags: 'r' },
    { path: memory.planPath ?? '/dev/null', flags: 'r' },
    { path: memory.workingSetPath ?? '/dev/null', flags: 'r' },
    ...command.files.map((file) => (file.isDrive ? own(file) : file)),
  ];
}

/** Opens all, adding to `opened` in the same order, also when one of them cannot be opened. */
async function openAll(files: FileToOpen[], opened: FileHandle[]): Promise<Inherited[]> {
  const attempts = files.map(async (file) => file && open(file.path, file.flags, 0o600));
  const results = await Promise.allSettled(attempts);
  const failures: unknown[] = [];
  const inherited = results.map((result): Inherited => {
    if (result.status === 'rejected') failures.push(result.reason);
    else if (result.value) opened.push(result.value);
    return result.status === 'fulfilled' && result.value ? result.value.fd : 'ignore';
  });
  if (failures.length > 0) throw failures[0];
  return inherited;
}

function launch(
  command: QemuCommand,
  mode: GuestMemory['mode'],
  files: readonly Inherited[],
  identity: { readonly cgroup: VmCgroup | undefined; readonly uid: number | undefined },
  options: ProcessOptions,
  source: ForkSource | undefined,
  hasClones: boolean,
): ChildProcess {
  // Standard error, then the channels from FD.qmp on.
  const inherited: Inherited[] = ['pipe', 'pipe', 'pipe', 'pipe', 'pipe', ...files];
  const env = {
    SPARKLER_MEMORY_FD: String(FD.memory),
    SPARKLER_READ_FD: String(FD.memoryRead),
    SPARKLER_MEMORY_MODE: mode,
    SPARKLER_CONTROL_FD: String(FD.control),
    SPARKLER_PAGES_FD: String(FD.pages),
    SPARKLER_USERFAULT_FD: String(FD.userfault),
    SPARKLER_PLAN_FD: String(FD.plan),
    SPARKLER_WORKING_SET_FD: String(FD.workingSet),
  };
  if (source) {
    const own = mode === 'forked' ? {} : env;
    return handOver(source, inherited, own, identity, options.nativeDir);
  }
  const clones = hasClones && {
    SPARKLER_FORK_FD: String(requestsFd(command)),
    SPARKLER_SLOTS: CLONE_SLOTS.join(','),
  };
  const args = [
    ...[String(process.pid), identity.cgroup?.path ?? '-', String(identity.uid ?? '-')],
    ...[options.qemuPath, ...command.args],
  ];
  return spawn(`${options.nativeDir}/vmm-launch`, args, {
    cwd: '/',
    stdio: ['ignore', 'ignore', ...inherited, ...(hasClones ? (['pipe'] as const) : [])],
    env: {
      ...env,
      ...clones,
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      LD_PRELOAD: `/proc/self/fd/${FD.preload}`,
    },
  });
}

async function startPageServer(
  memory: GuestMemory,
  cgroup: VmCgroup | undefined,
  uid: number | undefined,
  options: ProcessOptions,
): Promise<PageServer | undefined> {
  if (memory.pages === undefined) return undefined;
  return PageServer.start({
    ...memory.pages,
    nativeDir: options.nativeDir,
    cgroupPath: cgroup?.path,
    uid,
    memoryPath: memory.path,
    limitMs: options.pageServerMs,
  });
}

/** The users of this daemon's VMs. Other daemons on the host draw elsewhere in the range, mostly. */
const uidsInUse = new Set<number>();

/**
 * A user that no other VM of this daemon has, undefined where the host does not allow it. It is
 * drawn from the range by the VM's id and needs no passwd entry.
 */
function takeUid(vmId: string, options: ProcessOptions): number | undefined {
  const { firstUid, uidCount } = options;
  if (firstUid === 0 || process.getuid?.() !== 0) return undefined;
  const start = createHash('sha256').update(vmId).digest().readUInt32BE(0);
  for (let i = 0; i < uidCount; i++) {
    const uid = firstUid + ((start + i) % uidCount);
    if (uidsInUse.has(uid)) continue;
    uidsInUse.add(uid);
    return uid;
  }
  throw new SparklerError('TOO_MANY_VMS', `All ${uidCount} users of vmm.uidCount are in use.`);
}

/** How it ended. To be asked for at once: a process may end before anything else is done with it. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code ?? 'unknown'}` : `signal ${signal}`),
    );
  });
}

async function spawned(child: ChildProcess, options: ProcessOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(launchError(options, error)));
  });
}

function launchError(options: ProcessOptions, cause?: unknown): SparklerError {
  const message = `Cannot start ${options.nativeDir}/vmm-launch. Run "make setup" to build it.`;
  return new SparklerError('DEPENDENCY_MISSING', message, {}, cause);
}

function stream(child: ChildProcess, fd: number): Duplex {
  const end = child.stdio[fd as 0 | 1 | 2] as unknown as Duplex;
  // An end that breaks is a VMM that ends: `exited` says so, with the reason.
  end.on('error', () => undefined);
  return end;
}

function collect(from: Readable, tail: Tail): void {
  from.on('data', (chunk: Buffer) => tail.append(chunk));
  from.on('error', () => undefined);
}
