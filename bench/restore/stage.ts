/** The snapshots that `bench restore` restores, with what each strategy has recorded of them. */
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Invocation, InvocationResult } from '../../src/client/index.js';
import { dropCache, loadCache } from '../../src/snapshot/index.js';
import { type DaemonProcess, REPOSITORY } from '../harness.js';
import type { Sample } from '../report.js';
import { type BenchmarkFunction, type Cache, type Cell, cellName, type Way } from './cells.js';

const CACHE_LIMIT_MS = 60_000;
const FUNCTION_LIMIT_MS = 300_000;
const KIB_PER_MIB = 1024;
const MIB = 1024 * 1024;

export function benchmarkFunctions(): BenchmarkFunction[] {
  const path = join(REPOSITORY, 'functions/benchmarks.json');
  return JSON.parse(readFileSync(path, 'utf8')) as BenchmarkFunction[];
}

/** A function with its snapshot. */
export interface Prepared {
  readonly fn: BenchmarkFunction;
  readonly ssId: string;
  /** The folder of all its files. */
  readonly folder: string;
  /** What one restore on demand had served by the page server, while it was recorded. */
  readonly onDemandFaults: number;
}

/** Deploys, invokes twice, takes a snapshot, and lets each strategy record what it needs. */
export async function prepare(daemon: DaemonProcess, fn: BenchmarkFunction): Promise<Prepared> {
  const { client } = daemon;
  await daemon.deploy(`functions/${fn.name}`, {
    ...{ func_name: fn.name, runtime: 'python3', handler: 'app.handler' },
    ...{ vcpu: fn.vcpus, mem_size: fn.memMiB, timeout_ms: FUNCTION_LIMIT_MS },
  });
  const params = JSON.stringify(fn.small);
  const { vmId } = await client.invoke({ func_name: fn.name, params, placement: ['cold'] });
  await client.invoke({ func_name: fn.name, params, vmId });
  const { ssId, snapshot_path } = await client.snapshots.take({ vmId });
  await client.vms.delete(vmId);
  const prepared = { fn, ssId, folder: dirname(snapshot_path), onDemandFaults: 0 };
  let onDemandFaults = 0;
  // Twice: the first restore records, the second may learn from what the guest writes.
  for (const way of ['reap', 'faasnap', 'populate', 'populate'] as const) {
    const result = await restoreOnce(daemon, prepared, way, 'dropped');
    if (way === 'reap') onDemandFaults = result.restore?.served_faults ?? 0;
    await client.vms.delete(result.vmId);
  }
  return { ...prepared, onDemandFaults };
}

/** One restore as a way has it, with the snapshot's files dropped or warm before. */
export async function restoreOnce(
  daemon: DaemonProcess,
  { fn, ssId, folder }: Pick<Prepared, 'fn' | 'ssId' | 'folder'>,
  way: Way,
  cache: Cache,
): Promise<InvocationResult> {
  const { client } = daemon;
  // `cached` has its file in the page cache by its own doing: before, not within the request.
  const load = cache === 'warm' || way === 'cached';
  await client.snapshots.patch(ssId, { drop_cache: true });
  await client.workingSets.patchMincore(ssId, { drop_ws_cache: true });
  for (const name of await readdir(folder)) {
    // A file that is about to get its name.
    if (name.endsWith('.new')) continue;
    const path = join(folder, name);
    await (load ? loadCache(path, CACHE_LIMIT_MS) : dropCache(path, CACHE_LIMIT_MS));
  }
  if (load) await client.snapshots.patch(ssId, { load_cache: true });
  const asked: Partial<Invocation> =
    way === 'floor' ? { strategy: 'vanilla', resident: true } : { strategy: way };
  return client.invoke({
    ...{ func_name: fn.name, params: JSON.stringify(fn.small), ssId },
    ...asked,
  });
}

/** Runs a cell once and ends its VM. */
export async function runCell(
  daemon: DaemonProcess,
  prepared: Prepared,
  cell: Cell,
): Promise<Sample[]> {
  const result = await restoreOnce(daemon, prepared, cell.way, cell.cache);
  const { pid } = await daemon.client.vms.get(result.vmId);
  const privateMiB = await privateMemoryMiB(pid ?? 0);
  await daemon.client.vms.delete(result.vmId);
  const { phases, restore, faults, handlerMs } = result;
  const name = cellName(cell.fn.name, cell.way, cell.cache);
  const of = (metric: string, unit: Sample['unit'], value: number): Sample => ({
    ...{ case: name, metric, unit, value },
  });
  return [
    ...Object.entries(phases).map(([metric, value]) => of(metric, 'ms', value)),
    of('handler', 'ms', handlerMs),
    of('major faults', 'count', faults.major),
    of('minor faults', 'count', faults.minor),
    of('faults served', 'count', restore?.served_faults ?? 0),
    of('read from disk', 'MiB', (restore?.read_bytes ?? 0) / MIB),
    of('private', 'MiB', privateMiB),
  ];
}

/** Private memory of a process, MiB: smaps_rollup of proc_pid_smaps(5). */
export async function privateMemoryMiB(pid: number): Promise<number> {
  return sumOf(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'), /^Private_\w+:\s+(\d+) kB$/gm);
}

/** Sums what a pattern's first group finds in kB; MiB. */
export function sumOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((sum, [, kib]) => sum + Number(kib), 0) / KIB_PER_MIB;
}
