/** Where a snapshot's files may lie. */
import { existsSync, lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, normalize, relative } from 'node:path';
import { isErrno, SparklerError } from '../errors.js';

/** What a snapshot may be called: it becomes the name of a folder. */
const SS_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** @throws SparklerError INVALID_REQUEST */
export function checkSsId(ssId: string): void {
  if (SS_ID.test(ssId)) return;
  throw new SparklerError(
    'INVALID_REQUEST',
    'ssId must be 1 to 64 letters, digits, dots, dashes or underscores, starting with a letter or digit.',
    { field: 'ssId' },
  );
}

/**
 * The path with its folder resolved, so that no link is followed later.
 * @param folder the daemon's own snapshots folder: files may lie in it but not in the folders of
 * other snapshots.
 * @throws SparklerError PATH_NOT_ALLOWED when it is not a new file inside an allowed folder.
 */
export function allowedPath(
  path: string,
  field: string,
  folder: string,
  others: readonly string[],
): string {
  const refuse = (reason: string): SparklerError =>
    new SparklerError('PATH_NOT_ALLOWED', `${field}: ${path} ${reason}.`, { field });
  if (!isAbsolute(path) || path.includes('\0')) throw refuse('is not an absolute path');
  if (normalize(path) !== path || path.endsWith('/')) {
    throw refuse('is not a plain path of a file (no "..", ".", "//" or trailing "/")');
  }
  let parent: string;
  try {
    parent = realpathSync(dirname(path));
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) throw error;
    throw refuse('lies in a folder that does not exist');
  }
  const real = join(parent, basename(path));
  const inOther = others.some((root) => existsSync(root) && isInside(real, realpathSync(root)));
  const inOwn = parent === realpathSync(folder);
  const inOwnBelow = isInside(parent, realpathSync(folder));
  if (inOwnBelow || !(inOther || inOwn)) {
    throw refuse('is not inside a folder that snapshotDirs of the configuration names');
  }
  if (lstatSync(real, { throwIfNoEntry: false }) !== undefined) {
    throw refuse('exists already; choose another name or delete it first');
  }
  return real;
}

/** True when `path` is below `folder`, judged by their names alone. */
export function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}
