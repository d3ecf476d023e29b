/** How much memory the host has left: proc_meminfo(5), and the limits of the daemon's own cgroups. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isErrno } from '../errors.js';

/** What the daemon and its VMs may use, bytes. */
export interface HostMemory {
  /** Not in use now, or given up by the kernel without swapping. */
  readonly availableBytes: number;
  /** All there is. */
  readonly totalBytes: number;
}

const KIB = 1024;

/** The files of one version of memory cgroups. */
interface Version {
  readonly limit: string;
  readonly usage: string;
  /** Lines of `memory.stat` that name what the kernel gives up: cached files. */
  readonly cached: readonly string[];
}

const V2: Version = {
  limit: 'memory.max',
  usage: 'memory.current',
  cached: ['inactive_file', 'active_file'],
};
const V1: Version = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  cached: ['total_inactive_file', 'total_active_file'],
};

/** @param root where /proc and the cgroups lie; the host's own unless a test says otherwise. */
export async function readHostMemory(root = '/'): Promise<HostMemory> {
  const host = parseMeminfo(await readFile(join(root, 'proc/meminfo'), 'utf8'));
  const limits = await cgroupMemory(root);
  return [host, ...limits].reduce((least, one) => ({
    availableBytes: Math.min(least.availableBytes, one.availableBytes),
    totalBytes: Math.min(least.totalBytes, one.totalBytes),
  }));
}

/** Memory of a process that can only be had back by ending it, bytes; 0 when there is no process. */
export async function ownBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const sum = [...status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)];
  return sum.reduce((total, [, kib]) => total + Number(kib) * KIB, 0);
}

export function parseMeminfo(text: string): HostMemory {
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * KIB;
  return { availableBytes: bytes('MemAvailable'), totalBytes: bytes('MemTotal') };
}

/** What each cgroup with a limit leaves, from the daemon's own up. */
async function cgroupMemory(root: string): Promise<HostMemory[]> {
  const [mounts, own] = await Promise.all([
    readFile(join(root, 'proc/mounts'), 'utf8'),
    readFile(join(root, 'proc/self/cgroup'), 'utf8'),
  ]);
  const found: HostMemory[] = [];
  for (const { mount, path, version } of hierarchies(mounts, own)) {
    const top = join(root, mount);
    for (let folder = join(top, path); folder.startsWith(top); folder = dirname(folder)) {
      const left = await limitOf(folder, version);
      if (left) found.push(left);
    }
  }
  return found;
}

interface Hierarchy {
  readonly mount: string;
  /** Of the daemon, below the mount. */
  readonly path: string;
  readonly version: Version;
}

/** The mounts of cgroups that may hold memory limits, and where in them the process is. */
export function hierarchies(mounts: string, own: string): Hierarchy[] {
  const paths = own.split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const pathOf = (is: (controllers: string) => boolean): string =>
    paths.find((match) => match && is(match[1] ?? ''))?.[2] ?? '/';
  return mounts.split('\n').flatMap((line): Hierarchy[] => {
    const [, mount = '', type = '', options = ''] = line.split(' ');
    if (type === 'cgroup2') {
      return [{ mount, path: pathOf((controllers) => controllers === ''), version: V2 }];
    }
    if (type !== 'cgroup' || !options.split(',').includes('memory')) return [];
    const isMemory = (controllers: string): boolean => controllers.split(',').includes('memory');
    return [{ mount, path: pathOf(isMemory), version: V1 }];
  });
}

/** Undefined where there is no limit, no controller, or no such folder. */
async function limitOf(folder: string, version: Version): Promise<HostMemory | undefined> {
  const read = async (name: string): Promise<string> => {
    try {
      return (await readFile(join(folder, name), 'utf8')).trim();
    } catch (error) {
      // The root has no limit, and a container sees its own part of the tree only.
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return '';
      throw error;
    }
  };
  const [limit, usage, stat] = await Promise.all(
    [version.limit, version.usage, 'memory.stat'].map(read),
  );
  // Version 2 writes `max`; version 1 a number that no host has.
  const totalBytes = Number(limit === '' ? 'max' : limit);
  if (!Number.isSafeInteger(totalBytes)) return undefined;
  const cached = version.cached.reduce((sum, name) => {
    const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(stat ?? '');
    return sum + Number(line?.[1] ?? 0);
  }, 0);
  const used = Math.max(0, Number(usage) - cached);
  return { totalBytes, availableBytes: Math.max(0, totalBytes - used) };
}
