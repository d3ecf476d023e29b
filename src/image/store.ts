/**
 * The cache folder: finished folders under names that say what they were made from, and a link
 * that says which of them is current. A folder is built under a temporary name and renamed when
 * it is whole, so that nobody ever sees half of one and two builders at once do no harm.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, readlink, rename, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SparklerError, isErrno } from '../errors.js';
import { run } from './command.js';
import {
  digestFolder,
  readManifest,
  sync,
  verifyFolder,
  writeManifest,
  type Manifest,
} from './manifest.js';

/** Removing a temporary folder takes at most this long, in milliseconds. */
const REMOVE_TIMEOUT_MS = 120_000;
const CURRENT = 'current';

/** What a builder says about the folder that it filled. */
export type Description = Omit<Manifest, 'format' | 'key' | 'created' | 'files'>;

/** A finished folder and its manifest. */
export interface Built {
  readonly dir: string;
  readonly manifest: Manifest;
}

/** The finished folder `key` under `parent`; undefined when there is none or it is damaged. */
export async function find(parent: string, key: string): Promise<Built | undefined> {
  const dir = join(parent, key);
  const manifest = await readManifest(dir);
  if (manifest === undefined) return undefined;
  const faults = await verifyFolder(dir, manifest, { thorough: false });
  return faults.length === 0 ? { dir, manifest } : undefined;
}

/** The folder that the link `name` under `parent` names; undefined when there is none. */
export async function findCurrent(parent: string, name = CURRENT): Promise<Built | undefined> {
  try {
    return await find(parent, await readlink(join(parent, name)));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Makes the link `name` under `parent` name `key`, at once or not at all. */
export async function setCurrent(parent: string, key: string, name = CURRENT): Promise<void> {
  const temporary = join(parent, `.${name}-${randomBytes(6).toString('hex')}`);
  await symlink(key, temporary);
  await rename(temporary, join(parent, name));
  await sync(parent);
}

/**
 * Finishes the folder `work` as `key` under `parent`: manifest written last, everything durable,
 * then renamed. When another builder was faster its folder is returned and `work` is left.
 */
export async function publish(
  work: string,
  parent: string,
  key: string,
  description: Description,
): Promise<Built> {
  const manifest: Manifest = {
    format: 1,
    ...description,
    key,
    created: new Date().toISOString(),
    files: await digestFolder(work),
  };
  await writeManifest(work, manifest);
  await mkdir(parent, { recursive: true });
  const dir = join(parent, key);
  if (!(await tryRename(work, dir))) {
    const winner = await find(parent, key);
    if (winner !== undefined) return winner;
    // What is in the way is damaged: it goes where the work folder's leftovers are cleared.
    await rename(dir, `${work}.damaged`).catch(ignoreMissing);
    if (!(await tryRename(work, dir))) return requireBuilt(parent, key);
  }
  await sync(parent);
  return { dir, manifest };
}

/** False when there is something under the new name. */
async function tryRename(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOTEMPTY') || isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

async function requireBuilt(parent: string, key: string): Promise<Built> {
  const built = await find(parent, key);
  if (built !== undefined) return built;
  const message = `${join(parent, key)} is damaged and is being replaced by somebody else.`;
  throw new SparklerError('IMAGE_BUILD_FAILED', message);
}

/**
 * Calls `action` with an empty folder of its own under `cacheDir`/tmp, which is gone afterwards.
 * What builders that no longer live have left there is removed first.
 */
export async function withWorkFolder<T>(
  cacheDir: string,
  action: (dir: string) => Promise<T>,
): Promise<T> {
  const parent = join(cacheDir, 'tmp');
  await mkdir(parent, { recursive: true });
  await removeAbandoned(parent);
  const owner = `${process.pid}-${(await startTime(process.pid)) ?? '0'}`;
  const dir = join(parent, `${owner}-${randomBytes(6).toString('hex')}`);
  await mkdir(dir, { mode: 0o755 });
  try {
    return await action(dir);
  } finally {
    await removeTree(dir);
  }
}

async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [pid, started] = name.split('-');
    if ((await startTime(Number(pid))) !== started) await removeTree(join(parent, name));
  }
}

/** Never crosses into a file system that a killed builder may have left mounted. */
export async function removeTree(dir: string): Promise<void> {
  await run('rm', ['-rf', '--one-file-system', '--', dir], {
    timeoutMs: REMOVE_TIMEOUT_MS,
    cwd: dirname(dir),
  });
}

/** When a process started, in clock ticks since boot; undefined when there is none. */
async function startTime(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Fields are counted after the command's closing parenthesis: it may hold spaces itself.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}

function ignoreMissing(error: unknown): void {
  if (!isErrno(error, 'ENOENT')) throw error;
}
