/**
 * What bringing memory in costs on this host, measured once per boot in well under two seconds on a
 * file of its own. Who chooses between restore strategies reckons with it.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errors.js';
import { hostBootId } from '../registry/index.js';
import { encodePlan } from '../vmm/index.js';
import { makeSums, type PageTools } from './native.js';
import { replay, type ReplayResult, type ReplayWay } from './replay.js';
import { writeAt, writeDurably } from './working-set/durable.js';
import { encodeTrace } from './working-set/recording.js';
import { PAGE_BYTES } from './working-set/runs.js';

export interface HostCosts {
  /** A first touch in a private mapping of a cached file, microseconds. It maps neighbours too. */
  readonly minorFaultUs: number;
  /** A first touch in a mapping of a file on the disk, one in each MiB, read-ahead included. */
  readonly coldFaultUs: number;
  /** A fault that a page server answers from a cached file and verifies, microseconds. */
  readonly servedFaultUs: number;
  /** Reading a cached file and one on the disk from front to back, MiB per second. */
  readonly sequentialMiBps: number;
  readonly coldSequentialMiBps: number;
  /** Entering a page of a cached file in the page tables ahead of its touch, microseconds. */
  readonly populateUsPerPage: number;
}

const FIELDS = [
  ...(['minorFaultUs', 'coldFaultUs', 'servedFaultUs'] as const),
  ...(['sequentialMiBps', 'coldSequentialMiBps', 'populateUsPerPage'] as const),
] satisfies (keyof HostCosts)[];

/** The file that is measured with, MiB. */
const FILE_MIB = 64;
const MIB = 1024 * 1024;
const MIB_PAGES = MIB / PAGE_BYTES;
const FILE_PAGES = FILE_MIB * MIB_PAGES;
/** The kernel maps so many cached pages around one that faults: touches farther apart all fault. */
const AROUND_PAGES = 16;
/** Pages that are touched one after the other where a page server answers. */
const SERVED_RUN_PAGES = 4;
/** Each is measured so often, and the fastest counts: what else the host did only adds. */
const TRIES = 3;
const NS_PER_US = 1000;
const NS_PER_S = 1e9;

const FORMAT = 1;

/**
 * Measures; `dir` is on the disk that snapshots are on. Nothing stays in it.
 * @param limitMs for each of the programs that it runs.
 * @throws SparklerError DEPENDENCY_MISSING, VMM_FAILED when it took too long, INTERNAL when a
 * measurement failed (on a file system that is only in memory nothing can be cold), and what writing
 * the file throws.
 */
export async function measureHostCosts(
  tools: PageTools,
  dir: string,
  limitMs: number,
): Promise<HostCosts> {
  const folder = await mkdtemp(join(dir, 'costs-'));
  try {
    return await measureIn(folder, { ...tools, limitMs });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureIn(folder: string, tools: PageTools): Promise<HostCosts> {
  const [memoryPath, tracePath, planPath, sumsPath] = ['memory', 'trace', 'plan', 'sums'].map(
    (name) => join(folder, name),
  ) as [string, string, string, string];
  await writeMemory(memoryPath);
  await makeSums(memoryPath, sumsPath, join(folder, 'nonzero'), tools);
  await writeFile(planPath, wholePlan());
  const run = async (
    way: ReplayWay,
    cache: 'cold' | 'warm',
    pages: readonly number[],
  ): Promise<ReplayResult> => {
    await writeFile(tracePath, encodeTrace(Uint32Array.from(pages)));
    const results: ReplayResult[] = [];
    for (let i = 0; i < TRIES; i++) {
      results.push(await replay({ memoryPath, tracePath, way, cache }, tools));
    }
    return results.reduce((best, next) => (duration(next) < duration(best) ? next : best));
  };
  const perTouch = ({ totalNs, readyNs }: ReplayResult, touches: readonly number[]): number =>
    (totalNs - readyNs) / touches.length / NS_PER_US;
  const scattered = (step: number): number[] => shuffledPages(FILE_PAGES / step, step);
  const around = scattered(AROUND_PAGES);
  const sparse = scattered(MIB_PAGES);
  const served = around
    .slice(0, around.length / 2)
    .flatMap((page) => Array.from({ length: SERVED_RUN_PAGES }, (_, i) => page + i));
  const coldRead = await run({ kind: 'read' }, 'cold', []);
  const coldFaults = await run({ kind: 'private' }, 'cold', sparse);
  const warmRead = await run({ kind: 'read' }, 'warm', []);
  const warmFaults = await run({ kind: 'private' }, 'warm', around);
  const servedFaults = await run({ kind: 'userfault', sumsPath }, 'warm', served);
  const populated = await run({ kind: 'layers', planPath }, 'warm', []);
  return {
    minorFaultUs: perTouch(warmFaults, around),
    coldFaultUs: perTouch(coldFaults, sparse),
    servedFaultUs: perTouch(servedFaults, served),
    sequentialMiBps: (FILE_MIB * NS_PER_S) / warmRead.totalNs,
    coldSequentialMiBps: (FILE_MIB * NS_PER_S) / coldRead.totalNs,
    populateUsPerPage: populated.populateNs / FILE_PAGES / NS_PER_US,
  };
}

/** Of the touches, and of what was populated beside them. */
function duration({ totalNs, readyNs, populateNs }: ReplayResult): number {
  return totalNs - readyNs + populateNs;
}

async function writeMemory(path: string): Promise<void> {
  const chunk = randomFillSync(Buffer.allocUnsafe(MIB));
  const file = await open(path, 'wx', 0o600);
  try {
    for (let at = 0; at < FILE_MIB; at++) await writeAt(file, chunk, at * MIB);
  } finally {
    await file.close();
  }
}

/** All of the file, populated for reading. */
function wholePlan(): Buffer {
  const whole = {
    page: 0,
    pages: FILE_PAGES,
    from: 'base',
    filePage: 0,
    populate: 'read',
  } as const;
  return encodePlan({ kind: 'layers', base: 'memory', regions: [whole] }, FILE_PAGES * PAGE_BYTES);
}

/** Multiples of `step` in an order that no read-ahead guesses and that is always the same. */
function shuffledPages(count: number, step: number): number[] {
  // Odd and far from a multiple of any power of two: all of them come, each once.
  const stride = Math.floor(count * 0.618) | 1;
  return Array.from({ length: count }, (_, i) => ((i * stride) % count) * step);
}

/** What was measured since the host booted; undefined when nothing was, or the file is damaged. */
export async function readHostCosts(path: string): Promise<HostCosts | undefined> {
  let found: unknown;
  try {
    found = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
  const { format, bootId, costs } = (found ?? {}) as Readonly<Record<string, unknown>>;
  if (format !== FORMAT || bootId !== hostBootId()) return undefined;
  const known = (costs ?? {}) as Readonly<Record<string, unknown>>;
  const isCost = (value: unknown): boolean => Number.isFinite(value) && (value as number) > 0;
  return FIELDS.every((field) => isCost(known[field]))
    ? (known as unknown as HostCosts)
    : undefined;
}

/** Remembers them until the host boots again. The file is there whole or not at all. */
export async function writeHostCosts(path: string, costs: HostCosts): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, bootId: hostBootId(), costs }, null, 2);
  await writeDurably(path, (file) => writeAt(file, Buffer.from(`${text}\n`), 0));
}
