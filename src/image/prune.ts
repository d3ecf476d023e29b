/** Removes what no longer serves anybody from the cache folder. */
import { readdir, readlink, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errors.js';
import { removeTree, withWorkFolder } from './store.js';

/** What to keep beside what is current. */
export interface PruneOptions {
  readonly cacheDir: string;
  /** Identifiers of images and kernels (`ResolvedImage.id`) that snapshots still need. */
  readonly keep: readonly string[];
}

/** Removes built folders that are neither current nor to be kept; returns their paths. */
export async function pruneImages(options: PruneOptions): Promise<string[]> {
  const removed: string[] = [];
  for (const kind of ['kernels', 'images', 'bases']) {
    for (const name of await list(join(options.cacheDir, kind))) {
      const parent = join(options.cacheDir, kind, name);
      const current = await currentKeys(parent);
      for (const key of await list(parent)) {
        if (current.has(key) || options.keep.includes(`${name}-${key}`)) continue;
        await removeWhole(options.cacheDir, join(parent, key));
        removed.push(join(parent, key));
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
