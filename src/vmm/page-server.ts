/**
 * The process that brings a restored VM's pages: native/page-server. It belongs to one VM, runs in
 * that VM's cgroup as that VM's user, and serves every VMM that hands a userfaultfd over in
 * Firecracker's form. Its control lines: docs/protocol/page-server.md.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { createInterface } from 'node:readline';
import { SparklerError } from '../errors.js';
import type { PrefetchedFile } from './driver.js';
import { Tail } from './tail.js';
import { LimitExpired, within } from './within.js';

export interface PageServerOptions {
  /** The folder of vmm-launch and page-server. */
  readonly nativeDir: string;
  /** The VM's cgroup, which exists, and user; undefined: the daemon's. */
  readonly cgroupPath: string | undefined;
  readonly uid: number | undefined;
  readonly memoryPath: string;
  readonly sumsPath: string;
  readonly workingSet?: PrefetchedFile;
  /** A new file for the trace. */
  readonly tracePath?: string;
  /** How long the VMM may take to hand its userfaultfd over, and an answer to come, milliseconds. */
  readonly limitMs: number;
}

/** What it has done so far. */
export interface PageServerStats {
  readonly faults: number;
  readonly copied: number;
  readonly zeroed: number;
  readonly removed: number;
  readonly prefetched: number;
  readonly readBytes: number;
}

type Line = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Descriptors in the server, 0 to 2 are standard. */
const FD = { vmm: 3, control: 4, memory: 5, sums: 6, trace: 7, workingSet: 8 } as const;

/** What it writes to stderr that is kept, bytes. */
const STDERR_BYTES = 4096;

export class PageServer {
  /** The end that the VMM is to inherit; the daemon lets it go when it has. */
  readonly vmmSocket: Duplex;
  /** Resolves when it failed, or ended before it was closed. Never rejects. */
  readonly failed: Promise<SparklerError>;
  readonly #child: ChildProcess;
  readonly #control: Duplex;
  readonly #limitMs: number;
  readonly #stderr = new Tail(STDERR_BYTES);
  readonly #waiting = new Map<string, ((line: Line) => void)[]>();
  readonly #seen = new Map<string, Line>();
  readonly #exited: Promise<void>;
  #reported: SparklerError | undefined;
  #closed = false;

  private constructor(child: ChildProcess, limitMs: number) {
    this.#child = child;
    this.#limitMs = limitMs;
    this.vmmSocket = child.stdio[FD.vmm] as Duplex;
    this.#control = child.stdio[FD.control as 3] as Duplex;
    for (const end of [this.vmmSocket, this.#control]) end.on('error', () => undefined);
    child.stderr?.on('data', (chunk: Buffer) => this.#stderr.append(chunk));
    createInterface(this.#control).on('line', (line) => this.#onLine(line));
    this.#exited = new Promise((resolve) => child.once('close', () => resolve()));
    this.failed = new Promise((resolve) => {
      void this.#exited.then(() => {
        // After `gone` the VMM's own end tells what happened.
        if (!this.#closed && !this.#seen.has('gone')) resolve(this.#failure());
      });
    });
  }

  /** @throws SparklerError DEPENDENCY_MISSING, and what opening the files throws. */
  static async start(options: PageServerOptions): Promise<PageServer> {
    const { memoryPath, sumsPath, tracePath, workingSet } = options;
    const opened: FileHandle[] = [];
    const take = async (path: string, flags: string | number): Promise<void> => {
      opened.push(await open(path, flags, 0o600));
    };
    try {
      await take(memoryPath, 'r');
      await take(sumsPath, 'r');
      await take(tracePath ?? '/dev/null', tracePath === undefined ? 'r' : 'wx');
      if (workingSet) {
        const direct = workingSet.direct ? constants.O_DIRECT : 0;
        await take(workingSet.path, constants.O_RDONLY | direct);
      }
      const child = launch(options, opened);
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', (error) => reject(launchError(options.nativeDir, error)));
      });
      return new PageServer(child, options.limitMs);
    } finally {
      await Promise.all(opened.map((file) => file.close()));
    }
  }

  /** Resolves when all of the working set is installed. @throws SparklerError what `failed` gives. */
  async prefetched(): Promise<number> {
    return Number((await this.#next('prefetched'))['pages']);
  }

  async stats(): Promise<PageServerStats> {
    return (await this.#ask('stats', 'stats')) as unknown as PageServerStats;
  }

  /** The trace is complete in its file afterwards. Answers its number of pages. */
  async flush(): Promise<number> {
    return Number((await this.#ask('flush', 'flushed'))['pages']);
  }

  /** Ends it. Harmless when called again. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#child.kill('SIGKILL');
    this.vmmSocket.destroy();
    this.#control.destroy();
    await this.#exited;
  }

  #ask(command: string, event: string): Promise<Line> {
    this.#seen.delete(event);
    const answer = this.#next(event);
    this.#control.write(`${command}\n`);
    return answer;
  }

  /** The next line with this event, or the last one if it came already. */
  async #next(event: string): Promise<Line> {
    const seen = this.#seen.get(event);
    if (seen) return seen;
    const line = new Promise<Line>((resolve) => {
      this.#waiting.set(event, [...(this.#waiting.get(event) ?? []), resolve]);
    });
    const failed = this.failed.then((error) => Promise.reject(error));
    failed.catch(() => undefined);
    try {
      return await within(Promise.race([line, failed]), this.#limitMs);
    } catch (error) {
      if (!(error instanceof LimitExpired)) throw error;
      const message = `The page server did not say "${event}" within ${this.#limitMs} ms.`;
      throw new SparklerError('PAGE_SERVER_FAILED', message, { step: 'restore' }, error);
    }
  }

  #onLine(text: string): void {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      // Cut off by its end: `failed` says so.
      return;
    }
    if (line.event === 'error') this.#reported = reported(line);
    this.#seen.set(line.event, line);
    for (const resolve of this.#waiting.get(line.event) ?? []) resolve(line);
    this.#waiting.delete(line.event);
  }

  #failure(): SparklerError {
    if (this.#reported) return this.#reported;
    const { exitCode, signalCode } = this.#child;
    const said = this.#stderr.toString().trim();
    const how = signalCode === null ? `exit code ${String(exitCode)}` : `signal ${signalCode}`;
    const message = `The page server ended (${how}), and the VM with it. Try again. ${said}`.trim();
    return new SparklerError('PAGE_SERVER_FAILED', message, { step: 'paging' });
  }
}

/** Errors of the snapshot's own files are the snapshot's; the rest may not happen again. */
function reported(line: Line): SparklerError {
  const said = String(line['message']);
  const code = String(line['code']);
  if (code === 'source-damaged' || code === 'source-short') {
    return new SparklerError('SNAPSHOT_UNUSABLE', `The snapshot cannot be used: ${said}.`);
  }
  const message = `The page server failed (${code}), and its VM was ended: ${said}. Try again.`;
  return new SparklerError('PAGE_SERVER_FAILED', message, { step: 'paging' });
}

function launch(options: PageServerOptions, opened: readonly FileHandle[]): ChildProcess {
  const { nativeDir, cgroupPath, uid, workingSet, tracePath, limitMs } = options;
  const args = [
    ...[String(process.pid), cgroupPath ?? '-', String(uid ?? '-'), `${nativeDir}/page-server`],
    ...['--memory', String(FD.memory), '--sums', String(FD.sums), '--vmm', String(FD.vmm)],
    ...['--control', String(FD.control), '--handshake-ms', String(limitMs)],
    ...(tracePath === undefined ? [] : ['--trace', String(FD.trace)]),
    ...(workingSet === undefined ? [] : ['--working-set', String(FD.workingSet)]),
    ...(workingSet?.direct === true ? ['--direct'] : []),
    ...(workingSet?.singleRead === true ? ['--single-read'] : []),
  ];
  return spawn(`${nativeDir}/vmm-launch`, args, {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...opened.map((file) => file.fd)],
  });
}

function launchError(nativeDir: string, cause: unknown): SparklerError {
  const message = `Cannot start ${nativeDir}/page-server. Run "make setup" to build it.`;
  return new SparklerError('DEPENDENCY_MISSING', message, {}, cause);
}
