/** A cgroup (version 2) per VM, so that the kernel knows what belongs to it and can end all of it. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
