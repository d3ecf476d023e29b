/** Turning a paused VM's guest memory into a snapshot's memory file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, open, readdir, readlink, rm } from 'node:fs/promises';
import { isErrno, SparklerError } from '../../errors.js';
import type { MemoryRegion } from './preload.js';

/** The programs that copy memory: where they are, and what ends them. */
export interface Copying {
  /** The folder of vmm-launch and memory-save. */
  readonly nativeDir: string;
  /** Ends what runs, and lets nothing begin. */
  readonly signal: AbortSignal;
}

/** The VM's end of the work; see Preload. */
export interface MappedMemory {
  makePrivate(): Promise<void>;
  region(): Promise<MemoryRegion>;
}

/** What is kept of what a program says on stderr, characters. */
const SAID_LIMIT = 2000;

/**
 * The memory of a booted VM is the file itself: it gets a second name, and the VM goes on with a
 * private mapping of it. No byte is copied. Across file systems it is copied and the VM keeps its
 * own. Returns the mode of the VM's mapping from now on.
 */
export async function saveSharedMemory(
  own: string,
  target: string,
  mapped: MappedMemory,
  copying: Copying,
): Promise<'shared' | 'private'> {
  try {
    await link(own, target);
  } catch (error) {
    if (!isErrno(error, 'EXDEV')) throw error;
    await run('cp', ['--reflink=auto', '--sparse=always', '--', own, target], copying);
    return 'shared';
  }
  await mapped.makePrivate();
  // A name that went later would change the snapshot's file, as its inode's time tells it.
  await rm(own);
  return 'private';
}

/** The name of the file that the preload makes; see native/qemu-preload/preload.c. */
const UNNAMED = 'memfd:sparkler-memory';

/** The memory of a VM that made it itself: it is copied, and the VM keeps its own. */
export async function saveUnnamedMemory(
  pid: number,
  target: string,
  copying: Copying,
): Promise<void> {
  const folder = `/proc/${pid}/fd`;
  for (const fd of await readdir(folder)) {
    // One that was closed meanwhile is not it.
    const leads = await readlink(`${folder}/${fd}`).catch(() => '');
    if (!leads.includes(UNNAMED)) continue;
    await run('cp', ['--sparse=always', '--', `${folder}/${fd}`, target], copying);
    return;
  }
  throw memoryError('the VMM has none');
}

/**
 * The memory of a clone: its snapshot's file and, over it, the pages that the clone wrote.
 * @param vmm its process, and the file that it maps.
 */
export async function savePrivateMemory(
  target: string,
  vmm: { readonly pid: number; readonly memory: { readonly fd: number } },
  mapped: MappedMemory,
  copying: Copying,
): Promise<void> {
  const { address, length } = await mapped.region();
  await (await open(target, 'wx', 0o600)).close();
  const args = [String(vmm.pid), address.toString(16), String(length), '/proc/self/fd/3', target];
  await run(`${copying.nativeDir}/memory-save`, args, copying, vmm.memory.fd);
}

/**
 * Runs a program that ends with the daemon, and at once when the signal says so. It is gone when
 * this returns, however it ended.
 * @param inherited a descriptor that it gets as number 3.
 */
async function run(
  program: string,
  args: readonly string[],
  { nativeDir, signal }: Copying,
  inherited?: number,
): Promise<void> {
  const mustGoOn = (): void => {
    if (signal.aborted) throw ended();
  };
  mustGoOn();
  const launch = [String(process.pid), '-', '-', program, ...args];
  const child = spawn(`${nativeDir}/vmm-launch`, launch, {
    stdio: ['ignore', 'ignore', 'pipe', ...(inherited === undefined ? [] : [inherited])],
  });
  let said = '';
  child.stderr?.on(
    'data',
    (chunk: Buffer) => (said = (said + chunk.toString()).slice(-SAID_LIMIT)),
  );
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    mustGoOn();
    if (code !== 0) throw memoryError(said);
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function ended(): SparklerError {
  return new SparklerError('VMM_FAILED', 'The VM was ended while its memory was saved.');
}

function memoryError(said: string): SparklerError {
  if (said.includes('No space left') || said.includes('quota')) {
    return new SparklerError(
      'STORAGE_FULL',
      'The disk is full: guest memory could not be written. Free some space and try again.',
    );
  }
  return new SparklerError('VMM_FAILED', `Guest memory could not be saved: ${said.trim()}`);
}
