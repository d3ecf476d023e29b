/** What the kernel says about processes. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A field of /proc/PID/status; empty when it has no value. */
export function statusOf(pid: number, field: string): string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(text)?.[1] ?? '';
}

/** What its descriptors lead to, by their numbers. */
export function descriptorsOf(pid: number): Map<number, string> {
  const numbers = readdirSync(`/proc/${pid}/fd`).map(Number);
  return new Map(numbers.map((fd) => [fd, readlinkSync(`/proc/${pid}/fd/${fd}`)]));
}

/** Its cgroup of version 2, as a path below the mount. */
export function cgroupOf(pid: number): string {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  return lines.find((line) => line.startsWith('0::'))?.slice('0::'.length) ?? '';
}

/** Its children, theirs, and so on, that are not ended yet. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid)
    .flatMap((child) => [child, ...descendantsOf(child)])
    .filter(isAlive);
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8');
      return text.split(' ').filter(Boolean).map(Number);
    });
  } catch {
    // It ended meanwhile.
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    return !statusOf(pid, 'State').startsWith('Z');
  } catch {
    return false;
  }
}
