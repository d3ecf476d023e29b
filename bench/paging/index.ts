/** `bench paging`: each way of bringing a snapshot's memory in, without a VM. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PageTools } from '../../src/snapshot/native.js';
import type { ReplayResult } from '../../src/snapshot/replay.js';
import { firstTouches, readRecording } from '../../src/snapshot/working-set/recording.js';
import { REPOSITORY } from '../harness.js';
import { describeMachine } from '../machine.js';
import { randomFrom, shuffled } from '../random.js';
import { rowsOf, type Report, type Sample } from '../report.js';
import {
  ABLATION_WAYS,
  cellName,
  DRIFT_RUN_PAGES,
  DRIFT_SHARE,
  DRIFT_SHARES,
  DRIFT_WAYS,
  LAZY,
  shapes,
  WAYS,
  type CacheState,
  type NamedWay,
} from './cases.js';
import { makeMemory, openMemory, type MemoryFile } from './memory.js';
import { ratioSamples } from './ratios.js';
import { Stage, type Workload } from './stage.js';
import { drifted, makeTrace } from './traces.js';

export interface PagingOptions {
  readonly rounds: number;
  /** After so long no further round is begun, ms. */
  readonly roundsForMs: number;
  readonly seed: number;
  readonly what: 'ways' | 'ablation' | 'drift';
  /** Fewer workloads: the first one, or of `drift` every other. */
  readonly quick: boolean;
  /** A snapshot's recording (`trace-*.rec`) and its memory, in place of what is made up. */
  readonly recording?: {
    readonly trace: string;
    readonly memory: string;
    readonly written?: string;
  };
  /** A folder on the disk that is measured. */
  readonly dir: string;
  /** The guest's work after each touch, µs. */
  readonly workUs: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Of the made-up memory: MiB, and pages that a trace touches. */
const MEMORY_MIB = 1024;
const TOUCHES = 16_384;
/** An ablation needs some 40 compact files: a quarter of it, as dense. */
const ABLATION_MEMORY_MIB = 256;
const ABLATION_TOUCHES = 4096;

/** One replay may take so long, ms. */
const REPLAY_LIMIT_MS = 120_000;
const MIB = 1024 * 1024;
const NS_PER_MS = 1e6;
const NS_PER_US = 1000;

/** Which workloads `--quick` keeps. */
const isForQuick = {
  ways: (_: Workload, index: number) => index === 0,
  ablation: (_: Workload, index: number) => index === 0,
  drift: (_: Workload, index: number) => index % 2 === 1,
};

interface Cell {
  readonly name: string;
  readonly fileMiB: number | undefined;
  readonly run: () => Promise<ReplayResult>;
}

/** Runs everything; what it wrote is gone afterwards, on every path. */
export async function benchPaging(options: PagingOptions): Promise<Report> {
  const machine = describeMachine();
  const dir = await mkdtemp(join(options.dir, 'sparkler-paging-'));
  try {
    const cells = await prepare(options, dir);
    const samples = await runRounds(options, cells);
    const order = cells.map(({ name }) => name);
    const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as {
      version: string;
    };
    return {
      machine: { ...machine, accelerator: 'none' },
      versions: { sparkler: version, node: process.versions.node },
      rows: rowsOf([...samples, ...ratioSamples(samples, LAZY)], order),
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function prepare(options: PagingOptions, dir: string): Promise<Cell[]> {
  const { recording, say, signal, what } = options;
  const tools: PageTools = {
    nativeDir: join(REPOSITORY, 'build/native'),
    limitMs: REPLAY_LIMIT_MS,
  };
  const isAblation = what === 'ablation';
  say('preparing: the memory and its checksums');
  const memory = recording
    ? await openMemory(recording.memory, dir, tools)
    : await makeMemory(
        ...([join(dir, 'memory'), isAblation ? ABLATION_MEMORY_MIB : MEMORY_MIB] as const),
        ...([dir, tools] as const),
      );
  const stage = new Stage(memory, dir, tools, options.workUs * NS_PER_US);
  const ways = { ways: WAYS, ablation: ABLATION_WAYS, drift: DRIFT_WAYS }[what];
  const cells: Cell[] = [];
  const all = await workloads(options, memory);
  const chosen = options.quick ? all.filter(isForQuick[what]) : all;
  for (const workload of chosen) {
    for (const way of ways) {
      signal.throwIfAborted();
      say(`preparing: ${workload.name}: ${way.name}`);
      cells.push(...(await cellsOf(stage, workload, way)));
    }
  }
  return cells;
}

async function cellsOf(stage: Stage, workload: Workload, { name, way, caches }: NamedWay) {
  const fileMiB = await stage.fileMiB(workload, way);
  const make = async (cache: CacheState): Promise<Cell> => ({
    name: cellName(workload.name, name, cache),
    fileMiB,
    run: await stage.prepare(workload, way, cache),
  });
  return Promise.all(caches.map(make));
}

async function workloads(options: PagingOptions, memory: MemoryFile): Promise<Workload[]> {
  const { recording, seed, what } = options;
  if (recording) return [await recordedWorkload(recording, memory)];
  const { scattered, clustered } = shapes(what === 'ablation' ? ABLATION_TOUCHES : TOUCHES);
  const same = (shape: typeof scattered): Workload => {
    const trace = makeTrace(memory, shape, seed);
    return { name: shape.name, recorded: trace, replayed: trace };
  };
  const shape = { ...clustered, runPages: DRIFT_RUN_PAGES };
  const recorded = makeTrace(memory, shape, seed);
  const drift = (share: number): Workload => ({
    name: `drift, ${share * 100} % shared`,
    recorded,
    replayed: drifted(memory, recorded, shape, share, seed + 1),
  });
  if (what === 'drift') return DRIFT_SHARES.map(drift);
  return [same(scattered), same(clustered), drift(DRIFT_SHARE)];
}

async function recordedWorkload(
  { trace, written }: NonNullable<PagingOptions['recording']>,
  memory: MemoryFile,
): Promise<Workload> {
  const pages = firstTouches(await readRecording(trace, memory.memoryId));
  const all =
    written === undefined ? [] : firstTouches(await readRecording(written, memory.memoryId));
  const touched = new Set(pages);
  const known = {
    pages,
    written: Uint32Array.from(all)
      .filter((page) => touched.has(page))
      .sort(),
  };
  return { name: 'recorded', recorded: known, replayed: known };
}

/** Every cell once in each round, in an order of its own: what drifts, drifts for all. */
async function runRounds(options: PagingOptions, cells: readonly Cell[]): Promise<Sample[]> {
  const { rounds, roundsForMs, seed, signal, say } = options;
  const random = randomFrom(seed);
  const began = performance.now();
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds; round++) {
    const elapsed = performance.now() - began;
    if (round > 1 && elapsed + elapsed / (round - 1) > roundsForMs) {
      say(`no time for more than ${round - 1} of ${rounds} rounds`);
      break;
    }
    say(`round ${round} of ${rounds}: ${cells.length} replays`);
    for (const cell of shuffled(cells, random)) {
      signal.throwIfAborted();
      samples.push(...samplesOf(cell, await cell.run()));
    }
  }
  return samples;
}

function samplesOf({ name, fileMiB }: Cell, result: ReplayResult): Sample[] {
  const ms = { total: result.totalNs, mapped: result.mapNs, ready: result.readyNs };
  const mib = { 'read from disk': result.readBytes, private: result.privateBytes };
  const counts = {
    'major faults': result.majorFaults,
    'minor faults': result.minorFaults,
    'faults of all threads': result.allMajorFaults + result.allMinorFaults,
    'faults served': result.served,
    prefetched: result.prefetched,
    populated: result.populated,
  };
  const of = (unit: Sample['unit'], values: Record<string, number>, per: number): Sample[] =>
    Object.entries(values).map(([metric, value]) => ({
      ...{ case: name, metric, unit, value: value / per },
    }));
  return [
    ...of('ms', ms, NS_PER_MS),
    ...of('count', counts, 1),
    ...of('MiB', mib, MIB),
    ...(fileMiB === undefined ? [] : of('MiB', { 'compact file': fileMiB }, 1)),
  ];
}
