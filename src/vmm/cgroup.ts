/** A cgroup (version 2) per VM, so that the kernel knows what belongs to it and can end all of it. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isErrno } from '../errors.js';

/** Pause between two attempts to remove a cgroup whose last process is being collected, ms. */
const REMOVE_RETRY_MS = 2;

const CREATE_ATTEMPTS = 5;

/**
 * Where version 2 is mounted: the usual place, or beside version 1 (there without controllers, but
 * grouping and killing work). Undefined when it is not mounted.
 */
export function findCgroupMount(mounts = readFileSync('/proc/mounts', 'utf8')): string | undefined {
  const line = mounts.split('\n').find((entry) => entry.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1];
}

/** Where the VMs' cgroups go, or why there are none. */
export interface CgroupChoice {
  /** The parent of the VMs' cgroups. */
  readonly root?: string;
  /** For the operator, when there is none. */
  readonly warning?: string;
}

/** Where version 2 is mounted, and where in it this process is. */
export interface CgroupHost {
  readonly mount: string | undefined;
  /** The path of `0::` in /proc/self/cgroup. */
  readonly own: string | undefined;
}

/** Tries to use `root`: undefined when that works, else why not. */
export type TryRoot = (root: string) => Promise<string | undefined>;

/** The folder of all VMs' cgroups, in the mount or in the daemon's own cgroup. */
const PARENT = 'sparkler';

/**
 * The first place that a VM can really be put into: below the mount, or below the daemon's own
 * cgroup where that was delegated to its user. VMs run without one where neither can be used.
 */
export async function chooseCgroupRoot(host: CgroupHost, attempt: TryRoot): Promise<CgroupChoice> {
  const without = 'VMs run without cgroups of their own:';
  if (host.mount === undefined) return { warning: `${without} cgroup version 2 is not mounted.` };
  const places = [host.mount, ...(host.own === undefined ? [] : [join(host.mount, host.own)])];
  const refusals: string[] = [];
  for (const root of new Set(places.map((place) => join(place, PARENT)))) {
    const refusal = await attempt(root);
    if (refusal === undefined) return { root };
    refusals.push(`${root}: ${refusal}`);
  }
  const way = 'Run the daemon as root, or in a cgroup that is delegated to its user.';
  return { warning: `${without} ${refusals.join('; ')}. ${way}` };
}

export function findCgroupHost(): CgroupHost {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const own = lines.find((line) => line.startsWith('0::'))?.slice('0::'.length);
  return { mount: findCgroupMount(), own: own?.startsWith('/..') ? undefined : own };
}

/** How long the trial may take, ms. */
const TRIAL_MS = 5_000;

/**
 * Makes a cgroup below `root`, has a process enter it as a VM would, and removes it.
 * @param nativeDir the folder of vmm-launch. Where it is not built the making alone decides: the
 * start of a VM says what is missing.
 */
export async function tryCgroupRoot(root: string, nativeDir: string): Promise<string | undefined> {
  const group = new VmCgroup(root, `trial-${process.pid}`);
  try {
    await group.create();
    const args = [String(process.pid), group.path, '-', 'true'];
    await promisify(execFile)(`${nativeDir}/vmm-launch`, args, { timeout: TRIAL_MS });
    return undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    const { stderr, message } = error as Error & { readonly stderr?: string };
    return (stderr?.trim() || message).replace(/\s+/g, ' ');
  } finally {
    await group.remove(TRIAL_MS);
  }
}

/** The cgroup of one VM. Its parent is shared by the VMs of all daemons; the last one removes it. */
export class VmCgroup {
  readonly path: string;
  readonly #parent: string;

  constructor(root: string, vmId: string) {
    this.path = join(root, vmId);
    this.#parent = root;
  }

  async create(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await mkdir(this.path, { recursive: true });
        return;
      } catch (error) {
        // Another daemon's last VM took the parent away between its making and its use.
        if (!isErrno(error, 'ENOENT') || attempt === CREATE_ATTEMPTS) throw error;
      }
    }
  }

  /** Kills all that is inside; harmless when it is gone. */
  async kill(): Promise<void> {
    try {
      await writeFile(join(this.path, 'cgroup.kill'), '1');
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return;
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'EACCES')) throw error;
      // Gone, or a kernel before 5.14, which has no cgroup.kill.
      if (existsSync(this.path)) await this.#killEach();
    }
  }

  /** Removes the cgroup, waiting at most `limitMs` for its last process to be collected. */
  async remove(limitMs: number): Promise<boolean> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      try {
        await rmdir(this.path);
        // Refused while other VMs are in it.
        await rmdir(this.#parent).catch(() => undefined);
        return true;
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return true;
        if (!isErrno(error, 'EBUSY') || performance.now() > deadline) return false;
      }
      await sleep(REMOVE_RETRY_MS);
    }
  }

  async #killEach(): Promise<void> {
    const members = await readFile(join(this.path, 'cgroup.procs'), 'utf8');
    for (const pid of members.split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch (error) {
        if (!isErrno(error, 'ESRCH')) throw error;
      }
    }
  }
}
