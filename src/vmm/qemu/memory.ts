/** Turning a paused VM's guest memory into a snapshot's memory file. */
import { execFile, spawn } from 'node:child_process';
import { link, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isErrno, SparklerError } from '../../errors.js';
import type { Preload } from './preload.js';
import type { QemuProcess } from './process.js';

const run = promisify(execFile);

/**
 * The memory of a booted VM is the file itself: it gets a second name, and the VM goes on with a
 * private mapping of it. No byte is copied. Across file systems it is copied and the VM keeps its
 * own. Returns the mode of the VM's mapping from now on.
 */
export async function saveSharedMemory(
  own: string,
  target: string,
  preload: Preload,
): Promise<'shared' | 'private'> {
  try {
    await link(own, target);
  } catch (error) {
    if (!isErrno(error, 'EXDEV')) throw error;
    await copySparse(own, target);
    return 'shared';
  }
  await preload.makePrivate();
  return 'private';
}

/** The memory of a clone: its snapshot's file and, over it, the pages that the clone wrote. */
export async function savePrivateMemory(
  target: string,
  vmm: QemuProcess,
  preload: Preload,
  nativeDir: string,
): Promise<void> {
  const { address, length } = await preload.region();
  await (await open(target, 'wx', 0o600)).close();
  const args = [String(vmm.pid), address.toString(16), String(length), '/proc/self/fd/3', target];
  const child = spawn(`${nativeDir}/memory-save`, args, {
    stdio: ['ignore', 'ignore', 'pipe', vmm.memory.fd],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw memoryError(said);
}

async function copySparse(from: string, to: string): Promise<void> {
  try {
    await run('cp', ['--reflink=auto', '--sparse=always', '--', from, to]);
  } catch (error) {
    throw memoryError(error instanceof Error ? error.message : String(error));
  }
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
