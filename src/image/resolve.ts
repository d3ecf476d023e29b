/** Finds built images and kernels for the daemon. */
import { stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { SparklerError } from '../errors.js';
import { INITRD_FILE, KERNEL_FILE } from './kernel.js';
import { keyOf, readManifest } from './manifest.js';
import { ROOT_FILE } from './root.js';
import { find, findCurrent, type Built } from './store.js';

/** Memory in MiB assumed to be needed by an image that does not say. */
const DEFAULT_MIN_MEM_MIB = 96;
const BUILD_HINT = 'run `sparkler images build`';

/** The configuration's part for this room. */
export interface ImageSettings {
  /** The cache folder that images were built into. */
  readonly cacheDir: string;
  /** By alias: a built image's name (`debian`), or the absolute path of an image or its folder. */
  readonly images: Readonly<Record<string, string>>;
  /** By alias: a built kernel's name, or the absolute path of a folder with kernel and initramfs. */
  readonly kernels: Readonly<Record<string, string>>;
}

/** A root file system that VMs can use. */
export interface ResolvedImage {
  /** Changes whenever the image does: recorded in snapshots. */
  readonly id: string;
  readonly rootPath: string;
  /** Memory in MiB that a VM needs for it. */
  readonly minMemMiB: number;
}

/** A kernel that VMs can use. */
export interface ResolvedKernel {
  /** Changes whenever kernel or initramfs do: recorded in snapshots. */
  readonly id: string;
  readonly kernelPath: string;
  readonly initrdPath: string;
}

/** @throws SparklerError IMAGE_NOT_FOUND for an unknown alias and for what is not there. */
export async function resolveImage(settings: ImageSettings, alias: string): Promise<ResolvedImage> {
  const entry = lookUp(settings.images, alias, 'image');
  if (!isAbsolute(entry)) {
    return builtImage(await requireBuilt(settings.cacheDir, 'image', alias, entry));
  }
  const info = await stat(entry).catch(() => undefined);
  if (info?.isFile() === true) {
    const id = `file-${keyOf([entry, info.size, info.mtimeMs])}`;
    return { id, rootPath: entry, minMemMiB: DEFAULT_MIN_MEM_MIB };
  }
  const built = await builtFolder(entry);
  if (built?.manifest.kind === 'image') return builtImage(built);
  throw notFound('image', `Image "${alias}" is configured as ${entry}, which is no image.`);
}

/** @throws SparklerError KERNEL_NOT_FOUND for an unknown alias and for what is not there. */
export async function resolveKernel(
  settings: ImageSettings,
  alias: string,
): Promise<ResolvedKernel> {
  const entry = lookUp(settings.kernels, alias, 'kernel');
  if (!isAbsolute(entry)) {
    return builtKernel(await requireBuilt(settings.cacheDir, 'kernel', alias, entry));
  }
  const built = await builtFolder(entry);
  if (built?.manifest.kind === 'kernel') return builtKernel(built);
  const paths = { kernelPath: join(entry, KERNEL_FILE), initrdPath: join(entry, INITRD_FILE) };
  const infos = await Promise.all(Object.values(paths).map((p) => stat(p).catch(() => undefined)));
  if (infos.every((info) => info?.isFile() === true)) {
    return {
      id: `file-${keyOf([entry, infos.map((info) => [info?.size, info?.mtimeMs])])}`,
      ...paths,
    };
  }
  const needed = `${KERNEL_FILE} and ${INITRD_FILE}`;
  throw notFound('kernel', `Kernel "${alias}" is configured as ${entry}, which lacks ${needed}.`);
}

function lookUp(
  entries: Readonly<Record<string, string>>,
  alias: string,
  kind: 'image' | 'kernel',
): string {
  const entry = Object.hasOwn(entries, alias) ? entries[alias] : undefined;
  if (entry !== undefined) return entry;
  const known = Object.keys(entries).sort().join(', ') || 'none';
  throw notFound(kind, `There is no ${kind} "${alias}"; configured: ${known}.`);
}

async function requireBuilt(
  cacheDir: string,
  kind: 'image' | 'kernel',
  alias: string,
  name: string,
): Promise<Built> {
  const parent = join(cacheDir, `${kind}s`, name);
  const built = /^[A-Za-z0-9._-]+$/.test(name) ? await findCurrent(parent) : undefined;
  if (built?.manifest.kind === kind) return built;
  throw notFound(kind, `The ${kind} "${alias}" is not built: ${BUILD_HINT}.`);
}

async function builtFolder(dir: string): Promise<Built | undefined> {
  const manifest = await readManifest(dir);
  return manifest === undefined ? undefined : find(dirname(dir), basename(dir));
}

function builtImage({ dir, manifest }: Built): ResolvedImage {
  return {
    id: `${manifest.name}-${manifest.key}`,
    rootPath: join(dir, ROOT_FILE),
    minMemMiB: manifest.minMemMiB ?? DEFAULT_MIN_MEM_MIB,
  };
}

function builtKernel({ dir, manifest }: Built): ResolvedKernel {
  return {
    id: `${manifest.name}-${manifest.key}`,
    kernelPath: join(dir, KERNEL_FILE),
    initrdPath: join(dir, INITRD_FILE),
  };
}

function notFound(kind: 'image' | 'kernel', message: string): SparklerError {
  return new SparklerError(kind === 'image' ? 'IMAGE_NOT_FOUND' : 'KERNEL_NOT_FOUND', message, {
    field: kind,
  });
}
