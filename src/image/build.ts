/** Builds everything a guest needs into the cache folder; what is built already is reused. */
import { access, mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SparklerError } from '../errors.js';
import { buildKernel } from './kernel.js';
import type { Progress } from './progress.js';
import { readKernelRecipe, readRootRecipe } from './recipe.js';
import { buildRoot } from './root.js';
import type { Built } from './store.js';

/** Where to build from and to. */
export interface BuildOptions {
  /** The cache folder; made when missing. */
  readonly cacheDir: string;
  /** The repository: its images/, guest/ and build/ folders are read. */
  readonly repoDir: string;
  /** Look for newer Debian packages instead of keeping the ones of the last build. */
  readonly refresh?: boolean;
  readonly onProgress?: Progress;
}

/** The kernels and images that are current after a build, by alias. */
export interface BuildResult {
  readonly kernels: Readonly<Record<string, Built>>;
  readonly images: Readonly<Record<string, Built>>;
}

/**
 * Builds every recipe of the repository's images/ folder.
 * @throws SparklerError DEPENDENCY_MISSING when a program or a part of the guest is missing,
 *   INVALID_CONFIG for a wrong recipe, STORAGE_FULL, IMAGE_BUILD_FAILED.
 */
export async function buildImages(options: BuildOptions): Promise<BuildResult> {
  const { cacheDir, repoDir } = options;
  const shared = {
    cacheDir,
    refresh: options.refresh ?? false,
    onProgress: options.onProgress ?? (() => undefined),
  };
  const agentPath = join(repoDir, 'build', 'guest', 'agent');
  const runtimesDir = join(repoDir, 'guest', 'runtimes');
  await requireBuilt(agentPath, 'guest/agent');
  await requireBuilt(join(runtimesDir, 'nodejs', 'openssl.node'), 'guest/runtimes/nodejs');
  await mkdir(cacheDir, { recursive: true });
  const kernels: Record<string, Built> = {};
  for (const path of await recipes(join(repoDir, 'images', 'kernels'))) {
    const name = basename(path, '.json');
    const recipe = await readKernelRecipe(path);
    kernels[name] = await buildKernel({ ...shared, name, recipe, agentPath });
  }
  const images: Record<string, Built> = {};
  for (const path of await recipes(join(repoDir, 'images', 'roots'))) {
    const name = basename(path, '.json');
    const recipe = await readRootRecipe(path);
    images[name] = await buildRoot({ ...shared, name, recipe, runtimesDir });
  }
  return { kernels, images };
}

async function recipes(dir: string): Promise<string[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.json')).sort();
  return names.map((name) => join(dir, name));
}

async function requireBuilt(path: string, source: string): Promise<void> {
  try {
    await access(path);
  } catch (error) {
    throw new SparklerError(
      'DEPENDENCY_MISSING',
      `The guest's part ${path} is not built yet: run \`make -C ${source}\`.`,
      {},
      error,
    );
  }
}
