/** Removes what no longer serves anybody from the cache folder. */
import { readdir, readlink, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errors.js';
import { removeTree, withWorkFolder } from './store.js';

/** What to keep beside what is current. */
export interface PruneOptions {
  readonly cacheDir: string;
  /** Paths in use, as the configuration names them: built folders, or files in them. */
  readonly keep: readonly string[];
}

/**
 * Removes built folders that are neither current nor to be kept; returns their paths. A snapshot
 * needs the very image and kernel that it was made with, so what is not current serves none unless
 * the configuration names it.
 */
export async function pruneImages(options: PruneOptions): Promise<string[]> {
  const removed: string[] = [];
  for (const kind of ['kernels', 'images', 'bases']) {
    for (const name of await list(join(options.cacheDir, kind))) {
      const parent = join(options.cacheDir, kind, name);
      const current = await currentKeys(parent);
      for (const key of await list(parent)) {
        const dir = join(parent, key);
        const kept = options.keep.some((path) => path === dir || path.startsWith(`${dir}/`));
        if (kept || current.has(key)) continue;
        await removeWhole(options.cacheDir, dir);
        removed.push(dir);
      }
    }
  }
  return removed;
}

/** Renamed first: a folder under its name is whole or not there. */
async function removeWhole(cacheDir: string, dir: string): Promise<void> {
  await withWorkFolder(cacheDir, async (work) => {
    await rename(dir, join(work, 'pruned'));
    await removeTree(join(work, 'pruned'));
  });
}

/** What links under `parent` name. */
async function currentKeys(parent: string): Promise<Set<string>> {
  const entries = await readdir(parent, { withFileTypes: true });
  const links = entries.filter((entry) => entry.isSymbolicLink());
  return new Set(await Promise.all(links.map((entry) => readlink(join(parent, entry.name)))));
}

/** Names of the folders in `dir`; none when it is missing. */
async function list(dir: string): Promise<string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
