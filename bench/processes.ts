/** What the host's kernel says of a VM's processes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../src/errors.js';
import { findCgroupMount } from '../src/vmm/index.js';
import { sumOf } from './restore/stage.js';

const NS_PER_MS = 1e6;
const KIB_PER_MIB = 1024;

/** Processor time of all threads that a process has now, ms: proc/PID/task/TID/schedstat. */
export async function processorMs(pid: number): Promise<number> {
  const dir = `/proc/${pid}/task`;
  const times = (await readdir(dir)).map(async (tid) => {
    try {
      return Number((await readFile(join(dir, tid, 'schedstat'), 'utf8')).split(' ')[0]);
    } catch (error) {
      // It ended meanwhile.
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return 0;
      throw error;
    }
  });
  return (await Promise.all(times)).reduce((sum, ns) => sum + ns, 0) / NS_PER_MS;
}

/** The proportional memory of all processes in the cgroup of a VM's VMM, MiB. */
export async function groupPssMiB(pid: number): Promise<number> {
  const cgroups = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const path = /^0::(.*)$/m.exec(cgroups)?.[1];
  const mount = findCgroupMount();
  if (path === undefined || mount === undefined) throw new Error('no cgroup version 2');
  const members = await readFile(join(mount, path, 'cgroup.procs'), 'utf8');
  const texts = await Promise.all(
    members
      .split('\n')
      .filter(Boolean)
      .map((member) => readFile(`/proc/${member}/smaps_rollup`, 'utf8')),
  );
  return sumOf(texts.join(''), /^Pss:\s+(\d+) kB$/gm);
}

/** What the host can give away without swapping, MiB: MemAvailable of proc_meminfo(5). */
export async function availableMiB(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const kib = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0);
  return Math.floor(kib / KIB_PER_MIB);
}
