/** The guest kernel and its initramfs, from Debian's kernel package: unpacked, never installed. */
import {
  copyFile,
  link,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { SparklerError, isErrno } from '../errors.js';
import { PrivateApt } from './apt.js';
import { findPayload, isKernelElf, type Payload } from './boot-header.js';
import { run } from './command.js';
import { cpio, type CpioEntry } from './cpio.js';
import { digestFile, keyOf } from './manifest.js';
import { loadOrder, moduleDependencies, moduleName, orderLine } from './modules.js';
import type { Progress } from './progress.js';
import type { KernelRecipe } from './recipe.js';
import { find, findCurrent, publish, setCurrent, withWorkFolder, type Built } from './store.js';

/** Raised when what is built from the same inputs changes. */
const FORMAT = 1;
const UNPACK_TIMEOUT_MS = 180_000;
export const KERNEL_FILE = 'vmlinux';
export const INITRD_FILE = 'initrd.cpio';
const MODULE_ORDER_FILE = 'order';
/** Where the agent mounts things; it is process 1 and makes no folders itself. */
const INITRD_FOLDERS = ['dev', 'proc', 'sys', 'mods', 'ro', 'rw', 'new'];

/** What both steps of a build need to know. */
export interface KernelBuild {
  readonly cacheDir: string;
  /** The alias: `debian`. */
  readonly name: string;
  readonly recipe: KernelRecipe;
  /** The agent's executable: process 1 of the guest. */
  readonly agentPath: string;
  /** Look for newer packages even when some are there. */
  readonly refresh: boolean;
  readonly onProgress: Progress;
}

/** Builds kernel and initramfs, or finds them built, and makes them the current ones. */
export async function buildKernel(build: KernelBuild): Promise<Built> {
  const base = await kernelBase(build);
  const agent = await digestFile(build.agentPath);
  const inputs = { base: base.manifest.key, agent: agent.sha256, format: String(FORMAT) };
  const parent = join(build.cacheDir, 'kernels', build.name);
  const key = keyOf(inputs);
  const built = (await find(parent, key)) ?? (await assemble(build, base, parent, key, inputs));
  await setCurrent(parent, key);
  return built;
}

/** Kernel and modules as the packages have them: kept while only the agent changes. */
async function kernelBase(build: KernelBuild): Promise<Built> {
  const { recipe, cacheDir } = build;
  const parent = join(cacheDir, 'bases', `kernel-${build.name}`);
  const link = `current-${keyOf({ recipe, format: FORMAT })}`;
  const known = build.refresh ? undefined : await findCurrent(parent, link);
  if (known !== undefined) return known;
  return withWorkFolder(cacheDir, async (work) => {
    const apt = await PrivateApt.open(join(work, 'apt'), recipe.suite, build.onProgress);
    const deb = await apt.download(await apt.resolve(recipe.package));
    const inputs = { recipe: JSON.stringify(recipe), format: String(FORMAT) };
    const key = keyOf({ ...inputs, name: deb.name, version: deb.version });
    let base = await find(parent, key);
    if (base === undefined) {
      build.onProgress('Unpacking the kernel', `${deb.name} ${deb.version}`);
      const out = join(work, 'base');
      await unpackKernel(deb.path, join(work, 'deb'), out, recipe);
      const packages = { [deb.name]: deb.version };
      base = await publish(out, parent, key, {
        name: build.name,
        kind: 'kernel-base',
        inputs,
        packages,
      });
    }
    await setCurrent(parent, key, link);
    return base;
  });
}

async function unpackKernel(
  deb: string,
  unpacked: string,
  out: string,
  recipe: KernelRecipe,
): Promise<void> {
  await run('dpkg-deb', ['-x', deb, unpacked], { timeoutMs: UNPACK_TIMEOUT_MS });
  await mkdir(join(out, 'mods'), { recursive: true });
  const boot = join(unpacked, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) {
    throw new SparklerError(
      'IMAGE_BUILD_FAILED',
      `${basename(deb)} holds no kernel (boot/vmlinuz-*).`,
    );
  }
  const payload = findPayload(await readFile(join(boot, image)));
  await decompressPayload(payload, join(unpacked, 'payload'), join(out, KERNEL_FILE));
  const take = (wanted: readonly string[]): Promise<string[]> =>
    takeModules(join(unpacked, 'usr/lib/modules'), join(out, 'mods'), wanted);
  const always = await take(recipe.modules);
  const lines = always.map((name) => orderLine(name));
  for (const [module, device] of Object.entries(recipe.deviceModules)) {
    const more = (await take([module])).filter((name) => !always.includes(name));
    lines.push(...more.map((name) => orderLine(name, device)));
  }
  await writeFile(join(out, 'mods', MODULE_ORDER_FILE), lines.join(''));
}

async function decompressPayload(payload: Payload, scratch: string, out: string): Promise<void> {
  if (payload.compression === 'gzip') {
    await writeFile(out, await promisify(gunzip)(payload.data));
  } else {
    const suffix = payload.compression === 'zstd' ? '.zst' : '.xz';
    await writeFile(scratch + suffix, payload.data);
    await run(payload.compression, ['-q', '-d', '-k', scratch + suffix], {
      timeoutMs: UNPACK_TIMEOUT_MS,
    });
    await rename(scratch, out);
  }
  const file = await open(out, 'r');
  try {
    const start = Buffer.alloc(64);
    await file.read(start, 0, start.length, 0);
    if ((await file.stat()).size !== payload.uncompressedBytes || !isKernelElf(start)) {
      throw new SparklerError('IMAGE_BUILD_FAILED', 'The kernel package holds a damaged kernel.');
    }
  } finally {
    await file.close();
  }
}

/** Copies the wanted modules and what they need, decompressed; returns their load order. */
async function takeModules(
  tree: string,
  out: string,
  wanted: readonly string[],
): Promise<string[]> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  const modules = entries.filter((entry) => entry.isFile() && /\.ko(\.|$)/.test(entry.name));
  const paths = new Map(modules.map((e) => [moduleName(e.name), join(e.parentPath, e.name)]));
  return loadOrder(wanted, async (name) => {
    const path = paths.get(name);
    if (path === undefined) return undefined;
    const bytes = await readFile(await decompressModule(path));
    await writeFile(join(out, `${name}.ko`), bytes);
    return moduleDependencies(bytes);
  });
}

/** Debian compresses modules with xz; decompressed beside the original. */
async function decompressModule(path: string): Promise<string> {
  const programs: Record<string, string> = { '.xz': 'xz', '.zst': 'zstd' };
  const suffix = Object.keys(programs).find((s) => path.endsWith(s));
  const program = suffix === undefined ? undefined : programs[suffix];
  if (suffix === undefined || program === undefined) return path;
  await run(program, ['-q', '-d', '-k', path], { timeoutMs: UNPACK_TIMEOUT_MS });
  return path.slice(0, -suffix.length);
}

/** The initramfs: the agent as /init, and the modules. */
async function assemble(
  build: KernelBuild,
  base: Built,
  parent: string,
  key: string,
  inputs: Record<string, string>,
): Promise<Built> {
  build.onProgress('Building the initramfs', build.name);
  return withWorkFolder(build.cacheDir, async (work) => {
    const out = join(work, 'kernel');
    await mkdir(out);
    const mods = join(base.dir, 'mods');
    const entries: CpioEntry[] = INITRD_FOLDERS.map((path) => ({ path, mode: 0o755 }));
    entries.push({ path: 'init', mode: 0o755, data: await readFile(build.agentPath) });
    for (const name of (await readdir(mods)).sort()) {
      entries.push({ path: `mods/${name}`, mode: 0o644, data: await readFile(join(mods, name)) });
    }
    await writeFile(join(out, INITRD_FILE), cpio(entries));
    await copyKernel(join(base.dir, KERNEL_FILE), join(out, KERNEL_FILE));
    const { packages } = base.manifest;
    return publish(out, parent, key, { name: build.name, kind: 'kernel', inputs, packages });
  });
}

/** Shares the file's blocks with the base where it can: both are immutable. */
async function copyKernel(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!isErrno(error, 'EXDEV') && !isErrno(error, 'EPERM')) throw error;
    await copyFile(from, to);
  }
}
