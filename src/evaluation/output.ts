/** A folder of results that is there as a whole, or not at all. */
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import { isErrno, SparklerError } from '../errors.js';

function refuse(message: string, cause?: unknown): SparklerError {
  return new SparklerError('INVALID_REQUEST', message, { field: '--out' }, cause);
}

/**
 * Sees that results can go to `folder`: it does not exist, or is empty.
 * @throws SparklerError INVALID_REQUEST
 */
export function checkOutput(folder: string): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw refuse(`--out: ${folder} is no folder that can be used.`, error);
  }
  if (names.length > 0) {
    throw refuse(`--out: ${folder} is not empty. Choose another folder, or remove this one.`);
  }
}

/**
 * Writes files into a folder beside `folder`, which then takes its name. In one turn of the event
 * loop: Ctrl-C comes before or after it.
 * @throws SparklerError INVALID_REQUEST when the folder is not to be had
 */
export function writeOutput(folder: string, files: ReadonlyMap<string, string>): void {
  const target = resolve(folder);
  let made: string | undefined;
  try {
    mkdirSync(dirname(target), { recursive: true });
    const beside = join(dirname(target), `.${basename(target)}-${randomUUID()}`);
    mkdirSync(beside);
    made = beside;
    for (const [name, text] of files) writeFileSync(join(beside, name), text);
    renameSync(beside, target);
  } catch (error) {
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    for (const code of ['ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EACCES', 'EROFS']) {
      if (isErrno(error, code)) throw refuse(`--out: ${folder} cannot be written.`, error);
    }
    throw error;
  }
}
