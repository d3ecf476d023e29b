/** What /proc says about this boot and its processes. */
import { readFileSync } from 'node:fs';
import { isErrno } from '../errors.js';
import type { ProcessIdentity } from './rows.js';

let cachedBootId: string | undefined;

/** The id that the host's kernel drew for this boot. */
export function hostBootId(): string {
  cachedBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return cachedBootId;
}

/**
 * When the process started, in clock ticks since the boot; undefined when there is none, or only
 * its not yet collected remains.
 */
export function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
  // The second field is the command in parentheses and may contain both spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}

/** The identity of the running process `pid`, undefined when it is gone. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}
