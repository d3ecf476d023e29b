/** Guest root file systems, from Debian packages and Sparkler's runtimes. */
import { chmod, cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SparklerError } from '../errors.js';
import { findMirrors, sourcesFor } from './apt.js';
import { run } from './command.js';
import { makeErofs } from './erofs.js';
import { digestFolder, keyOf } from './manifest.js';
import type { Progress } from './progress.js';
import type { RootRecipe } from './recipe.js';
import { find, findCurrent, publish, setCurrent, withWorkFolder, type Built } from './store.js';

/** Raised when what is built from the same inputs changes. */
const FORMAT = 1;
const INSTALL_TIMEOUT_MS = 1_800_000;
const COPY_TIMEOUT_MS = 300_000;
export const ROOT_FILE = 'root.erofs';
const BASE_FILE = 'root.tar';
const PACKAGE_LIST = 'packages';
/** Where the agent finds the runtimes inside the guest. */
const RUNTIMES = 'opt/sparkler/runtimes';
/** Mount points: empty folders of the read-only root. */
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'run', 'tmp', 'var/task'];
/** What the packages' installation leaves and no guest needs. */
const LEFTOVERS = ['etc/apt', 'var/lib/apt', 'var/cache', 'var/log', 'boot', 'etc/resolv.conf'];
/** Files of the runtimes' folders that are not for the guest. */
const NOT_FOR_GUESTS =
  /(^|\/)(__pycache__|tests?|node_modules|README\.md|Makefile)(\/|$)|\.c$|\.(test|spec)\.[a-z]+$/;

/** What both steps of a build need to know. */
export interface RootBuild {
  readonly cacheDir: string;
  /** The alias: `debian`. */
  readonly name: string;
  readonly recipe: RootRecipe;
  /** The runtimes' folder of the repository. */
  readonly runtimesDir: string;
  /** Look for newer packages even when some are there. */
  readonly refresh: boolean;
  readonly onProgress: Progress;
}

/** Builds a root file system, or finds it built, and makes it the current one of its name. */
export async function buildRoot(build: RootBuild): Promise<Built> {
  const base = await rootBase(build);
  const runtimes = await digestFolder(build.runtimesDir);
  const inputs = {
    base: base.manifest.key,
    runtimes: keyOf(Object.entries(runtimes).filter(([path]) => !NOT_FOR_GUESTS.test(path))),
    recipe: JSON.stringify(build.recipe),
    format: String(FORMAT),
  };
  const parent = join(build.cacheDir, 'images', build.name);
  const key = keyOf(inputs);
  const built = (await find(parent, key)) ?? (await assemble(build, base, parent, key, inputs));
  await setCurrent(parent, key);
  return built;
}

/** The packages, installed: kept while only the runtimes change. */
async function rootBase(build: RootBuild): Promise<Built> {
  const { suite, packages, exclude, remove, compilePython } = build.recipe;
  const inputs = {
    recipe: JSON.stringify({ suite, packages, exclude, remove, compilePython }),
    format: String(FORMAT),
  };
  const parent = join(build.cacheDir, 'bases', `image-${build.name}`);
  const link = `current-${keyOf(inputs)}`;
  const known = build.refresh ? undefined : await findCurrent(parent, link);
  if (known !== undefined) return known;
  requireRoot();
  return withWorkFolder(build.cacheDir, async (work) => {
    build.onProgress('Installing the root file system', `Debian ${suite}: ${packages.join(', ')}`);
    const out = join(work, 'base');
    await mkdir(out);
    await installPackages(build, work, join(out, BASE_FILE));
    const list = await readPackageList(join(work, PACKAGE_LIST));
    const key = keyOf({ ...inputs, list });
    const description = { name: build.name, kind: 'image-base', inputs, packages: list } as const;
    const base = (await find(parent, key)) ?? (await publish(out, parent, key, description));
    await setCurrent(parent, key, link);
    return base;
  });
}

async function installPackages(build: RootBuild, work: string, tar: string): Promise<void> {
  const { recipe } = build;
  const sources = sourcesFor(recipe.suite, await findMirrors());
  await mkdir(join(work, 'tmp'), { mode: 0o755 });
  const compile = `chroot "$1" ${pythonCompiler(recipe.compilePython).join(' ')}`;
  const list = `dpkg-query --admindir="$1/var/lib/dpkg" -W -f '\${Package} \${Version}\\n'`;
  // In a mount namespace of its own: whatever ends it, no mount of the new root stays behind.
  const args = [
    '--mount',
    '--',
    'mmdebstrap',
    '--mode=root',
    '--variant=essential',
    '--format=tar',
  ];
  args.push('--architectures=amd64', `--include=${recipe.packages.join(',')}`);
  args.push('--aptopt=APT::Sandbox::User "root"', '--aptopt=Acquire::Retries "3"');
  args.push('--aptopt=APT::Install-Recommends "false"');
  args.push(...recipe.exclude.map((path) => `--dpkgopt=path-exclude=${path}`));
  const remove = `chroot "$1" sh -c 'rm -r ${recipe.remove.join(' ')}'`;
  if (recipe.remove.length > 0) args.push(`--customize-hook=${remove}`);
  if (recipe.compilePython.length > 0) args.push(`--customize-hook=${compile}`);
  args.push(`--customize-hook=${list} > "$SPARKLER_PACKAGE_LIST"`);
  args.push(recipe.suite, tar, ...sources);
  await run('unshare', args, {
    timeoutMs: INSTALL_TIMEOUT_MS,
    env: { TMPDIR: join(work, 'tmp'), SPARKLER_PACKAGE_LIST: join(work, PACKAGE_LIST) },
    onLine: (line) => {
      const step =
        /^I: (?!automatically|chroot|using|finding|done|removing|success|running --)(.+?)(\.\.\.)?$/.exec(
          line,
        )?.[1];
      if (step !== undefined) build.onProgress('Installing the root file system', step);
    },
  });
}

/**
 * The command that compiles the Python files of `folders`. Unchecked: the image's files all bear
 * one fixed time, which the usual check would take for a change, and an interpreter that need not
 * look at the source starts sooner.
 */
function pythonCompiler(folders: readonly string[], ...more: string[]): string[] {
  const options = ['-q', '-q', '-f', '--invalidation-mode', 'unchecked-hash'];
  return ['python3', '-m', 'compileall', ...options, ...more, ...folders];
}

async function readPackageList(path: string): Promise<Record<string, string>> {
  const lines = (await readFile(path, 'utf8')).trim().split('\n').sort();
  return Object.fromEntries(lines.map((line) => line.split(' ') as [string, string]));
}

/** The image: the installed packages, the runtimes, mount points. */
async function assemble(
  build: RootBuild,
  base: Built,
  parent: string,
  key: string,
  inputs: Record<string, string>,
): Promise<Built> {
  requireRoot();
  return withWorkFolder(build.cacheDir, async (work) => {
    const tree = join(work, 'tree');
    const out = join(work, 'image');
    await mkdir(tree);
    await mkdir(out);
    build.onProgress('Unpacking the root file system', build.name);
    const tar = ['-x', '-p', '--numeric-owner', '-f', join(base.dir, BASE_FILE), '-C', tree];
    await run('tar', [...tar, '--exclude=./dev/*'], { timeoutMs: COPY_TIMEOUT_MS });
    await prepareTree(tree);
    await copyRuntimes(build, tree);
    build.onProgress('Building the file system image', build.name);
    await makeErofs(tree, join(out, ROOT_FILE), { allRoot: false, timeoutMs: COPY_TIMEOUT_MS });
    const { packages } = base.manifest;
    const { minMemMiB } = build.recipe;
    return publish(out, parent, key, {
      name: build.name,
      kind: 'image',
      inputs,
      packages,
      minMemMiB,
    });
  });
}

async function prepareTree(tree: string): Promise<void> {
  for (const path of LEFTOVERS) await rm(join(tree, path), { recursive: true, force: true });
  for (const path of MOUNT_POINTS) await mkdir(join(tree, path), { recursive: true });
  await chmod(join(tree, 'tmp'), 0o1777);
  await writeFile(join(tree, 'etc/hostname'), 'sparkler\n');
  await writeFile(join(tree, 'etc/hosts'), '127.0.0.1 localhost sparkler\n::1 localhost\n');
}

async function copyRuntimes(build: RootBuild, tree: string): Promise<void> {
  const target = join(tree, RUNTIMES);
  for (const name of await readdir(build.runtimesDir)) {
    await cp(join(build.runtimesDir, name), join(target, name), {
      recursive: true,
      filter: (source) => !NOT_FOR_GUESTS.test(source.slice(build.runtimesDir.length)),
    });
  }
  // Whatever this machine's umask was when the repository was cloned.
  await run('chmod', ['-R', 'u=rwX,go=rX', target], { timeoutMs: COPY_TIMEOUT_MS });
  if (build.recipe.compilePython.length === 0) return;
  // The agent starts the compiled file beside the source (-b).
  const command = pythonCompiler([`/${RUNTIMES}`], '-b');
  await run('chroot', [tree, ...command], { timeoutMs: COPY_TIMEOUT_MS });
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  const program = basename(process.argv[1] ?? 'sparkler');
  throw new SparklerError(
    'IMAGE_BUILD_FAILED',
    `Building an image needs root, for its files' owners: run ${program} as root.`,
  );
}
