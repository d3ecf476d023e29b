/** Many clones of one snapshot: what they take of the host's memory, and how fast they come and go. */
import { readFile } from 'node:fs/promises';
import type { DaemonProcess } from '../harness.js';
import { groupPssMiB } from '../processes.js';
import type { Sample } from '../report.js';
import { median } from '../statistics.js';
import { privateMemoryMiB, sumOf, type Prepared } from './stage.js';

const MS_PER_S = 1000;

/** As many clones alive at once, each having answered; their proportional memory, at rest. */
export async function clonesAtRest(
  daemon: DaemonProcess,
  { fn, ssId }: Prepared,
  count: number,
  name = 'clones at rest',
): Promise<Sample[]> {
  const { client } = daemon;
  const params = JSON.stringify(fn.small);
  const vmIds: string[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const strategy = 'vanilla' as const;
      vmIds.push((await client.invoke({ func_name: fn.name, params, ssId, strategy })).vmId);
    }
    const samples: Sample[] = [];
    for (const vmId of vmIds) {
      const { pid, vmConf } = await client.vms.get(vmId);
      const smaps = await readFile(`/proc/${pid ?? 0}/smaps`, 'utf8');
      const of = (metric: string, value: number): Sample => ({
        ...{ case: name, metric, unit: 'MiB', value },
      });
      samples.push(of('proportional memory', await groupPssMiB(pid ?? 0)));
      samples.push(of('of it guest memory', guestPss(smaps, vmConf.mem_size)));
    }
    return samples;
  } finally {
    for (const vmId of vmIds) await client.vms.delete(vmId);
  }
}

/** The proportional memory of the mappings of the memory file: they are as large as the guest. */
function guestPss(smaps: string, memMiB: number): number {
  const parts = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const isGuest = (part: string): boolean => /\/memory$/.test(part.split('\n')[0] ?? '');
  const guest = parts.filter(isGuest).join('');
  const mapped = sumOf(guest, /^Size:\s+(\d+) kB$/gm);
  if (mapped < memMiB) throw new Error(`guest memory is mapped in ${mapped} of ${memMiB} MiB only`);
  return sumOf(guest, /^Pss:\s+(\d+) kB$/gm);
}

/** Private memory of ten clones by each of two strategies, and the one's in the other's. */
export async function privateOfTen(daemon: DaemonProcess, prepared: Prepared): Promise<Sample[]> {
  const medians: Record<string, number> = {};
  const samples: Sample[] = [];
  for (const strategy of ['populate', 'reap'] as const) {
    const values = await privateOf(daemon, prepared, strategy, 10);
    medians[strategy] = median(values);
    samples.push(
      ...values.map((value): Sample => ({
        ...{ case: 'private memory of ten', metric: strategy, unit: 'MiB', value },
      })),
    );
  }
  const value = (medians['populate'] ?? NaN) / (medians['reap'] ?? NaN);
  const metric = 'populate / reap';
  return [...samples, { case: 'private memory of ten', metric, unit: 'x', value }];
}

async function privateOf(
  daemon: DaemonProcess,
  { fn, ssId }: Prepared,
  strategy: 'populate' | 'reap',
  count: number,
): Promise<number[]> {
  const { client } = daemon;
  const params = JSON.stringify(fn.small);
  const vmIds: string[] = [];
  try {
    for (let i = 0; i < count; i++) {
      vmIds.push((await client.invoke({ func_name: fn.name, params, ssId, strategy })).vmId);
    }
    const values: number[] = [];
    for (const vmId of vmIds) {
      const { pid } = await client.vms.get(vmId);
      values.push(await privateMemoryMiB(pid ?? 0));
    }
    return values;
  } finally {
    for (const vmId of vmIds) await client.vms.delete(vmId);
  }
}

/** Restores, invokes and ends VMs for as long, as many at a time as there are cores. */
export async function sustained(
  daemon: DaemonProcess,
  { fn, ssId }: Prepared,
  forMs: number,
  cores: number,
  name = 'sustained',
): Promise<Sample[]> {
  const { client } = daemon;
  const params = JSON.stringify(fn.small);
  const until = performance.now() + forMs;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      const strategy = 'vanilla' as const;
      const { vmId } = await client.invoke({ func_name: fn.name, params, ssId, strategy });
      await client.vms.delete(vmId);
      done++;
    }
  };
  const before = performance.now();
  await Promise.all(Array.from({ length: cores }, worker));
  const seconds = (performance.now() - before) / MS_PER_S;
  const value = done / seconds / cores;
  return [{ case: name, metric: 'restores per second and core', unit: 'count', value }];
}
