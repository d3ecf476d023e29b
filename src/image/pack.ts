/** Packs a folder as a tar archive: what the CLI uploads as a function's code. */
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar-stream';
import { SparklerError, asSparklerError } from '../errors.js';
import { DEFAULT_CODE_LIMITS, invalidEntry, type CodeLimits } from './archive/limits.js';
import { ArchiveTree } from './archive/tree.js';

/** Never part of a function's code. */
const SKIPPED: readonly string[] = ['.git'];

interface Found {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly bytes: number;
  readonly target?: string;
}

/**
 * Packs the folder `dir`: everything in it but `.git`, in a fixed order, without times and owners,
 * so that the same folder always gives the same bytes. Links that stay inside are kept.
 * @throws SparklerError INVALID_REQUEST when `dir` is no folder, INVALID_ARCHIVE and
 *   ARCHIVE_TOO_LARGE for what the daemon would refuse, before anything is streamed.
 */
export async function packFolder(
  dir: string,
  options: Partial<CodeLimits> = {},
): Promise<Readable> {
  const root = await folderPath(dir);
  const tree = new ArchiveTree({ ...DEFAULT_CODE_LIMITS, ...options });
  const found: Found[] = [];
  await collect(root, '', tree, found);
  tree.finish();
  const pack = tar.pack();
  feed(pack, root, found).catch((error: unknown) => pack.destroy(asSparklerError(error)));
  return Readable.from(pack, { objectMode: false });
}

async function folderPath(dir: string): Promise<string> {
  const info = await stat(dir).catch(() => undefined);
  if (info?.isDirectory() === true) return realpath(dir);
  throw new SparklerError('INVALID_REQUEST', `${dir} is not a folder.`);
}

async function collect(
  root: string,
  folder: string,
  tree: ArchiveTree,
  found: Found[],
): Promise<void> {
  // By code unit: independent of the user's language.
  for (const base of (await readdir(join(root, folder))).sort()) {
    if (SKIPPED.includes(base)) continue;
    const name = folder === '' ? base : `${folder}/${base}`;
    const info = await lstat(join(root, name));
    if (info.isDirectory()) {
      tree.addFolder(name);
      found.push({ name: `${name}/`, type: 'directory', bytes: 0 });
      await collect(root, name, tree, found);
    } else if (info.isSymbolicLink()) {
      const target = await insideTarget(root, name);
      tree.addLink(name, target);
      found.push({ name, type: 'symlink', bytes: 0, target });
    } else if (info.isFile()) {
      tree.addFile(name, info.size);
      found.push({ name, type: 'file', bytes: info.size });
    } else {
      throw invalidEntry(name, 'it is a device, a pipe or a socket');
    }
  }
}

/** A link's target as a relative path: also one that was given as an absolute path inside. */
async function insideTarget(root: string, name: string): Promise<string> {
  const target = await readlink(join(root, name));
  if (!target.startsWith(sep)) return target;
  const inside = relative(root, target);
  if (inside.startsWith('..'))
    throw invalidEntry(name, `its link to "${target}" leaves the folder`);
  return relative(dirname(name), inside) || '.';
}

async function feed(pack: tar.Pack, root: string, found: readonly Found[]): Promise<void> {
  for (const { name, type, bytes, target } of found) {
    const mode = type === 'file' ? 0o644 : 0o755;
    const header = { name, type, mode, size: bytes, mtime: new Date(0), uid: 0, gid: 0 };
    if (type === 'file') {
      await pipeline(createReadStream(join(root, name)), pack.entry(header));
    } else {
      pack.entry(target === undefined ? header : { ...header, linkname: target }, '');
    }
  }
  pack.finalize();
}
