/** Makes what a way needs on the disk, once, and replays it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PageTools } from '../../src/snapshot/native.js';
import {
  replay,
  WRITTEN_BIT,
  type ReplayResult,
  type ReplayWay,
} from '../../src/snapshot/replay.js';
import { encodeTrace } from '../../src/snapshot/working-set/recording.js';
import { PAGE_BYTES, type GroupedRun } from '../../src/snapshot/working-set/runs.js';
import { writeWorkingSet } from '../../src/snapshot/working-set/working-set-file.js';
import { encodePlan } from '../../src/vmm/index.js';
import type { CacheState } from './cases.js';
import { expectedSum, type MemoryFile } from './memory.js';
import type { Trace } from './traces.js';
import { layeredPlan, setMiB, setRegions, type SetOptions, type Way } from './ways.js';

/** What is recorded and what is replayed on a memory. */
export interface Workload {
  readonly name: string;
  readonly recorded: Trace;
  readonly replayed: Trace;
}

interface SetFile {
  readonly path: string;
  readonly regions: readonly GroupedRun[];
  readonly dataPage: number;
}

export class Stage {
  readonly #traces = new Map<Trace, Promise<{ path: string; expect: number }>>();
  readonly #sets = new Map<string, Promise<SetFile>>();
  readonly #ids = new Map<Trace, number>();
  #plans = 0;

  /** @param dir a folder on the disk that is measured, removed by the caller. */
  constructor(
    readonly memory: MemoryFile,
    readonly dir: string,
    readonly tools: PageTools,
    readonly workNs: number,
  ) {}

  /** Makes the files of a cell; the answer replays it. */
  async prepare(
    { recorded, replayed }: Workload,
    way: Way,
    cache: CacheState,
  ): Promise<() => Promise<ReplayResult>> {
    const { tools, memory, workNs } = this;
    const { path: tracePath, expect } = await this.#trace(replayed);
    const made = await this.#way(recorded, way, cache);
    const { huge, random } = hintsOf(way);
    const request = { memoryPath: memory.path, tracePath, expect, cache, workNs, huge, random };
    return () => replay({ ...request, way: made }, tools);
  }

  /** MiB of the compact file of a way; undefined where it has none. */
  async fileMiB({ recorded }: Workload, way: Way): Promise<number | undefined> {
    if (way.kind === 'private' || way.set === undefined) return undefined;
    if (way.kind === 'layers' && way.layers.from === 'memory') return undefined;
    return setMiB((await this.#set(recorded, way.set)).regions);
  }

  async #way(recorded: Trace, way: Way, cache: CacheState): Promise<ReplayWay> {
    if (way.kind === 'private') return { kind: 'private' };
    const { sumsPath } = this.memory;
    if (way.kind === 'userfault') {
      if (way.set === undefined) return { kind: 'userfault', sumsPath };
      const { path } = await this.#set(recorded, way.set);
      return { kind: 'userfault', sumsPath, workingSet: { path, direct: way.direct ?? false } };
    }
    const set = await this.#set(recorded, way.set);
    const plan = layeredPlan(this.memory, recorded, set.regions, set.dataPage, way.layers);
    const planPath = join(this.dir, `plan-${this.#plans++}`);
    const memoryBytes = this.memory.pages * PAGE_BYTES;
    await writeFile(planPath, encodePlan({ kind: 'layers', ...plan }, memoryBytes));
    const isMapped = way.layers.from === 'file';
    return {
      ...{ kind: 'layers', planPath, workingSetPath: isMapped ? set.path : undefined },
      // What is in the page cache was loaded for an earlier clone.
      loader: way.layers.loader && cache === 'cold',
      willNeed: way.layers.willNeed && cache === 'cold',
    };
  }

  #trace(trace: Trace): Promise<{ path: string; expect: number }> {
    return once(this.#traces, trace, async () => {
      const path = join(this.dir, `trace-${this.#idOf(trace)}`);
      const written = new Set(trace.written);
      const numbers = trace.pages.map((page) => (written.has(page) ? page | WRITTEN_BIT : page));
      await writeFile(path, encodeTrace(numbers));
      return { path, expect: await expectedSum(this.memory, trace.pages) };
    });
  }

  #set(recorded: Trace, options: SetOptions): Promise<SetFile> {
    const id = this.#idOf(recorded);
    const { order, groupPages, gap, zeroPages = false } = options;
    return once(this.#sets, [id, order, groupPages, gap, zeroPages].join('-'), async () => {
      const regions = setRegions(this.memory, recorded, options);
      const path = join(this.dir, `set-${this.#sets.size}-${id}.wsf`);
      const source = { memoryPath: this.memory.path, memoryId: this.memory.memoryId };
      const { dataAt } = await writeWorkingSet(path, source, regions);
      return { path, regions, dataPage: dataAt / PAGE_BYTES };
    });
  }

  #idOf(trace: Trace): number {
    const id = this.#ids.get(trace) ?? this.#ids.size;
    this.#ids.set(trace, id);
    return id;
  }
}

function hintsOf(way: Way): { huge?: boolean | undefined; random?: boolean | undefined } {
  if (way.kind === 'layers') return way.layers;
  return way.kind === 'private' ? { random: way.random } : {};
}

function once<K, V>(known: Map<K, Promise<V>>, key: K, make: () => Promise<V>): Promise<V> {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  known.set(key, made);
  return made;
}
