/** The QEMU driver with built images, without a daemon; and a look at its guests' memory. */
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { loadConfig, type Config } from '../../src/config/index.js';
import { resolveImage, resolveKernel } from '../../src/image/index.js';
import {
  createQemuDriver,
  findCgroupMount,
  type Drive,
  type VmmDriver,
} from '../../src/vmm/index.js';
import { REPOSITORY } from './daemon.js';

export interface QemuUnderTest {
  readonly driver: VmmDriver;
  readonly config: Config;
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** Ids that a snapshot of it carries. */
  readonly imageId: string;
  readonly kernelId: string;
  /** The root, and a code drive with the given files. */
  readonly drives: readonly Drive[];
  /** A folder that is removed in the end. */
  readonly dir: string;
  /** Cgroups that are left. */
  leftovers(): string[];
  /** Ends what the driver keeps; fails when a cgroup is left. */
  dispose(): Promise<void>;
}

const nativeDir = join(REPOSITORY, 'build/native');

/** @param name of the cgroup for its VMs. */
export async function qemuUnderTest(
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<QemuUnderTest> {
  const config = loadConfig({ env: process.env, flags: {} });
  const dir = mkdtempSync(join(tmpdir(), `${name}-`));
  const code = codeDrive(dir, files);
  const cgroupRoot = join(findCgroupMount() ?? '/nowhere', name);
  const kernel = await resolveKernel(config, config.defaultKernel);
  const image = await resolveImage(config, config.defaultImage);
  const driver = await createQemuDriver({
    accelerator: 'tcg',
    qemuPath: config.vmm.qemuPath,
    nativeDir,
    cgroupRoot,
    firstUid: config.vmm.firstUid,
    uidCount: config.vmm.uidCount,
    tbSizeMiB: config.vmm.tbSizeMiB,
    templates: config.vmm.templates,
    consoleBytes: config.limits.consoleBytes,
    closeMs: config.timeouts.closeMs,
    startMs: config.timeouts.vmmStartMs,
    restoreMs: config.timeouts.restoreMs,
    pageServerMs: config.timeouts.pageServerMs,
  });
  const groups = (): string[] =>
    existsSync(cgroupRoot)
      ? readdirSync(cgroupRoot, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => entry.name)
      : [];
  return {
    ...{ driver, config, dir },
    ...{ kernelPath: kernel.kernelPath, initrdPath: kernel.initrdPath },
    ...{ imageId: image.id, kernelId: kernel.id },
    drives: [
      { id: 'root', path: image.rootPath },
      { id: 'code', path: code },
    ],
    // Templates wait for the next restore; `dispose` looks whether they go.
    leftovers: () => groups().filter((group) => !group.startsWith('template-')),
    dispose: async () => {
      await driver.close?.();
      rmSync(dir, { recursive: true, force: true });
      expect(groups()).toEqual([]);
    },
  };
}

function codeDrive(dir: string, files: Readonly<Record<string, string>>): string {
  const task = mkdtempSync(join(tmpdir(), 'sparkler-task-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(task, name), text);
  chmodSync(task, 0o755); // The function's user is not root.
  const code = join(dir, 'code.erofs');
  execFileSync('mkfs.erofs', ['--quiet', code, task], { stdio: 'ignore' });
  rmSync(task, { recursive: true });
  return code;
}

/** Builds the program that looks at guest memory. */
export function buildGuestDiffers(dir: string): string {
  const source = join(REPOSITORY, 'tests/support/native/guest-differs.c');
  const program = join(dir, 'guest-differs');
  const flags = ['-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...flags, '-o', program, source]);
  return program;
}

/** The pages in which a VM's memory, read as its guest reads it, is not that of the file. */
export async function differingPages(
  program: string,
  pid: number,
  memMiB: number,
  memoryPath: string,
): Promise<number[]> {
  const length = memMiB * 1024 * 1024;
  const address = guestAddress(pid, length);
  const args = [String(pid), address.toString(16), String(length), memoryPath];
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: length });
  return stdout.split('\n').filter(Boolean).map(Number);
}

/**
 * Where guest memory lies in the VMM: neighbouring mappings, readable and writable, that end at the
 * unreadable page with which QEMU guards it.
 */
function guestAddress(pid: number, length: number): bigint {
  let from = 0n;
  let to = 0n;
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, start = '0', end = '0', rights] = /^(\w+)-(\w+) (\S+)/.exec(line) ?? [];
    const [at, until] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
    const touches = at === to;
    if (rights?.startsWith('---') && touches && to - from >= BigInt(length)) {
      return to - BigInt(length);
    }
    if (!touches || !rights?.startsWith('rw')) from = at;
    to = rights?.startsWith('rw') ? until : 0n;
  }
  throw new Error(`process ${pid} has no guest memory of ${length} bytes`);
}
