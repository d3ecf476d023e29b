/** How much memory a process has in a part of its address space: /proc/PID/smaps. */
import { readFile } from 'node:fs/promises';
import { isErrno, SparklerError } from '../../errors.js';

const KIB = 1024;

/** Bytes of the mapping at `address`, whatever it is made of, that are in the process's page tables. */
export async function residentBytes(pid: number, address: bigint, length: number): Promise<number> {
  try {
    const smaps = await readFile(`/proc/${pid}/smaps`, 'latin1');
    return sumResident(smaps, address, address + BigInt(length));
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ESRCH')) throw error;
    throw new SparklerError('VM_DIED', 'The VMM ended.', {}, error);
  }
}

/** The sum of `Rss` of the mappings that lie from `from` up to `to` (proc_pid_smaps(5)). */
export function sumResident(smaps: string, from: bigint, to: bigint): number {
  let sum = 0;
  let isInside = false;
  for (const line of smaps.split('\n')) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (start !== undefined && end !== undefined) {
      isInside = BigInt(`0x${start}`) >= from && BigInt(`0x${end}`) <= to;
    } else if (isInside) {
      sum += Number(/^Rss: +(\d+) kB$/.exec(line)?.[1] ?? 0) * KIB;
    }
  }
  return sum;
}
