/** The programs of native/page-tools, which read guest memory faster than Node.js could. */
import { spawn, type ChildProcess } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { SparklerError } from '../errors.js';
import { unusable } from './manifest.js';

/** Where the programs are, and how long each may run, milliseconds. */
export interface PageTools {
  readonly nativeDir: string;
  readonly limitMs: number;
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

/** The first descriptor that a program inherits beside the standard ones. */
const FIRST_FD = 3;

/** What the programs answer when a file is not what it should be. */
const EXIT_DAMAGED = 1;

/**
 * Writes the checksum table of a memory file and the bitmap of its pages that are not zero. Both
 * files are new.
 * @throws SparklerError SNAPSHOT_UNUSABLE when the memory cannot be read, STORAGE_FULL.
 */
export async function makeSums(
  memoryPath: string,
  sumsPath: string,
  mapPath: string,
  tools: PageTools,
): Promise<void> {
  const files = [
    { path: memoryPath, flags: 'r' },
    { path: sumsPath, flags: 'wx' },
    { path: mapPath, flags: 'wx' },
  ];
  const { code, said } = await runOn('memory-sums', ['make'], files, [], tools);
  if (code === 0) return;
  if (said.includes('No space left')) {
    throw new SparklerError('STORAGE_FULL', 'The disk is full: checksums could not be written.');
  }
  throw unusable(`its memory file cannot be summed up: ${said.trim()}`);
}

/** @throws SparklerError SNAPSHOT_UNUSABLE naming the damaged places. */
export async function checkSums(
  memoryPath: string,
  sumsPath: string,
  tools: PageTools,
): Promise<void> {
  const files = [
    { path: memoryPath, flags: 'r' },
    { path: sumsPath, flags: 'r' },
  ];
  const { code, out, said } = await runOn('memory-sums', ['check'], files, [], tools);
  if (code === 0) return;
  if (code !== EXIT_DAMAGED) throw unusable(`its memory file cannot be read: ${said.trim()}`);
  const places = out.trim().replaceAll('bad ', '').split('\n').join(', ');
  throw unusable(`its memory file is damaged at byte ${places}`);
}

/**
 * Reads a working-set file once from front to back, so that it is in the page cache, and verifies
 * all of it.
 * @throws SparklerError SNAPSHOT_UNUSABLE when it is damaged.
 */
export async function loadWorkingSet(path: string, tools: PageTools): Promise<void> {
  const files = [{ path, flags: 'r' }];
  const { code, said, out } = await runOn('page-loader', [], files, [], tools);
  if (code !== 0) throw unusable(`its working-set file is damaged: ${(said || out).trim()}`);
}

/** A recording of the page cache that is under way. */
export class PageRecorder {
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;

  private constructor(child: ChildProcess, ended: Promise<Ended>) {
    this.#child = child;
    this.#ended = ended;
  }

  /**
   * Records which pages of the memory file come into the page cache from now on; `outPath` is new.
   * @param pid the VMM, whose growth times the scans.
   */
  static async start(
    memoryPath: string,
    pid: number,
    outPath: string,
    pace: RecorderPace,
    tools: PageTools,
  ): Promise<PageRecorder> {
    const files = [
      { path: memoryPath, flags: 'r' },
      { path: outPath, flags: 'wx' },
    ];
    const [flag, value] =
      'growthPages' in pace ? ['--growth', pace.growthPages] : ['--interval', pace.intervalMs];
    const rest = [String(FIRST_FD + 1), flag, String(value)];
    const { child, ended } = await start('page-recorder', [], files, rest, tools, [pid]);
    return new PageRecorder(child, ended);
  }

  /** Makes a last scan: the file is complete afterwards. @throws SparklerError INTERNAL */
  async stop(): Promise<void> {
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stdin?.write('stop\n');
    const { code, said } = await this.#ended;
    if (code !== 0) {
      throw new SparklerError('INTERNAL', `The page recorder failed: ${said.trim()}`);
    }
  }

  /** Ends it without a result. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** When to scan: at so many more resident pages of the VMM, or every so many milliseconds. */
export type RecorderPace = { readonly growthPages: number } | { readonly intervalMs: number };

interface FileArgument {
  readonly path: string;
  readonly flags: string;
}

async function runOn(
  program: string,
  before: readonly string[],
  files: readonly FileArgument[],
  after: readonly string[],
  tools: PageTools,
): Promise<Ended> {
  const { child, ended } = await start(program, before, files, after, tools);
  const limit = setTimeout(() => child.kill('SIGKILL'), tools.limitMs);
  try {
    const result = await ended;
    if (child.signalCode !== 'SIGKILL') return result;
    const message = `${program} took longer than ${tools.limitMs} ms (timeouts.snapshotMs).`;
    throw new SparklerError('VMM_FAILED', message, { step: program });
  } finally {
    clearTimeout(limit);
  }
}

/** Arguments: `before`, the files' descriptors (or the first one, then `ids`), `after`. */
async function start(
  program: string,
  before: readonly string[],
  files: readonly FileArgument[],
  after: readonly string[],
  tools: PageTools,
  ids: readonly number[] = [],
): Promise<{ child: ChildProcess; ended: Promise<Ended> }> {
  const opened: FileHandle[] = [];
  try {
    for (const { path, flags } of files) opened.push(await open(path, flags, 0o600));
    const numbers = opened.map((_, index) => FIRST_FD + index);
    const named = ids.length === 0 ? numbers : [FIRST_FD, ...ids];
    const child = spawn(
      join(tools.nativeDir, program),
      [...before, ...named.map(String), ...after],
      { env: {}, stdio: ['pipe', 'pipe', 'pipe', ...opened.map((file) => file.fd)] },
    );
    const ended = outcome(child);
    ended.catch(() => undefined);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(missing(program, error)));
    });
    return { child, ended };
  } finally {
    await Promise.all(opened.map((file) => file.close()));
  }
}

async function outcome(child: ChildProcess): Promise<Ended> {
  let out = '';
  let said = '';
  if (child.stdout) createInterface(child.stdout).on('line', (line) => (out += `${line}\n`));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, said };
}

function missing(program: string, cause: unknown): SparklerError {
  const message = `Cannot start ${program}. Run "make setup" to build it.`;
  return new SparklerError('DEPENDENCY_MISSING', message, {}, cause);
}
