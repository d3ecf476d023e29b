/** What may be done to a snapshot's memory file: its contents stay the same, byte for byte. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { isErrno, SparklerError } from '../errors.js';

/** One read when a file is brought into the page cache, bytes. */
const READ_BYTES = 1024 * 1024;

/** Makes blocks of zeros holes. @throws SparklerError OPERATION_UNSUPPORTED, DEPENDENCY_MISSING */
export function digHoles(path: string, limitMs: number): Promise<void> {
  return run('fallocate', ['--dig-holes', path], limitMs);
}

/** Drops the file's clean pages from the page cache; pages that somebody maps stay. */
export function dropCache(path: string, limitMs: number): Promise<void> {
  // With no block to copy, nocache makes dd advise the kernel to forget the whole file; fdatasync
  // first, because dirty pages cannot be dropped.
  const args = [
    `of=${path}`,
    'oflag=nocache',
    'conv=notrunc,nocreat,fdatasync',
    'count=0',
    'status=none',
  ];
  return run('dd', args, limitMs);
}

/** Reads the whole file once, so that its pages are in the page cache. */
export async function loadCache(path: string, limitMs: number): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  try {
    await finished(createReadStream(path, { highWaterMark: READ_BYTES, signal }).resume());
  } catch (error) {
    if (signal.aborted) throw tooSlow('load_cache', limitMs, error);
    throw error;
  }
}

/**
 * Copies a file, sharing its blocks where the file system can, with its holes.
 * @param to does not exist.
 * @throws SparklerError STORAGE_FULL
 */
export function copySparse(from: string, to: string, limitMs: number): Promise<void> {
  return run('cp', ['--reflink=auto', '--sparse=always', '--', from, to], limitMs);
}

/**
 * Copies a file to where nothing is yet; failing, nothing is there.
 * @throws SparklerError STORAGE_FULL, PATH_NOT_ALLOWED when something is there.
 */
export async function exportFile(from: string, to: string, limitMs: number): Promise<void> {
  try {
    await (await open(to, 'wx', 0o600)).close();
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new SparklerError('PATH_NOT_ALLOWED', `${to} exists already.`, {}, error);
  }
  try {
    await copySparse(from, to, limitMs);
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  }
}

function run(program: string, args: readonly string[], limitMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: limitMs, killSignal: 'SIGKILL' }, (error, _, stderr) => {
      if (error === null) resolve();
      else reject(failure(program, error, stderr, limitMs));
    });
  });
}

function failure(program: string, error: Error, stderr: string, limitMs: number): SparklerError {
  if (isErrno(error, 'ENOENT')) {
    const message = `${program} is not installed (packages util-linux and coreutils).`;
    return new SparklerError('DEPENDENCY_MISSING', message, {}, error);
  }
  if ('killed' in error && error.killed === true) return tooSlow(program, limitMs, error);
  if (/No space left|quota exceeded/i.test(stderr)) {
    const message = 'The disk is full: a copy could not be written. Free some space and try again.';
    return new SparklerError('STORAGE_FULL', message, {}, error);
  }
  const message = `${program} failed: ${stderr.trim() || error.message}`;
  return new SparklerError('OPERATION_UNSUPPORTED', message, {}, error);
}

function tooSlow(what: string, limitMs: number, cause: unknown): SparklerError {
  return new SparklerError('VMM_FAILED', `${what} took longer than ${limitMs} ms.`, {}, cause);
}
