/**
 * What was recorded of a snapshot, and what was made of it. All of it lies in the snapshot's folder
 * and is bound to its memory; none of it is needed: a part that is damaged is dropped, and recorded
 * or made again.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SparklerError } from '../errors.js';
import { checkSums as checkMemory, loadWorkingSet, type PageTools } from './native.js';
import type { LoadedSnapshot } from './files.js';
import { unusable } from './manifest.js';
import type { Derived } from './derived.js';
import type { TrustedFiles } from './trust.js';
import type { Layers } from './working-set/layers.js';
import {
  decodeTrace,
  readRecording,
  writeRecording,
  type LayerRecording,
  type Recording,
  type RecordingFacts,
} from './working-set/recording.js';
import { PAGE_BYTES, type GroupedRun } from './working-set/runs.js';
import { readWorkingSet, writeWorkingSet } from './working-set/working-set-file.js';
import type { WorkingSet } from './working-set/working-set-layout.js';

/** The working-set files that there may be, one for each use. */
export type WorkingSetUse = 'reap' | 'faasnap' | 'populate';
export const WORKING_SET_USES: readonly WorkingSetUse[] = ['reap', 'faasnap', 'populate'];

/** A recording and what it is called: `layers`, `trace-1`. */
export interface NamedRecording {
  readonly name: string;
  readonly recording: Recording;
}

/** The event that a recorded invocation had. */
export interface RecordedEvent {
  readonly sha256: string;
  readonly bytes: number;
}

export function recordedEvent(event: string): RecordedEvent {
  const bytes = Buffer.from(event);
  return { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
}

/** What all snapshots of a store have in common. */
export interface WorkingSetTools {
  readonly tools: PageTools;
  readonly trusted: TrustedFiles;
  readonly derived: Derived;
}

const LAYERS = 'layers.rec';
const WRITTEN = 'written.rec';
const TRACE = /^trace-(\d+)\.rec$/;

export class WorkingSets {
  readonly snapshot: LoadedSnapshot;
  readonly #tools: PageTools;
  readonly #trusted: TrustedFiles;
  readonly #derived: Derived;
  readonly #say: (message: string) => void;

  /** @param say is told when something damaged was dropped. */
  constructor(
    snapshot: LoadedSnapshot,
    { tools, trusted, derived }: WorkingSetTools,
    say: (message: string) => void,
  ) {
    this.snapshot = snapshot;
    this.#tools = tools;
    this.#trusted = trusted;
    this.#derived = derived;
    this.#say = say;
  }

  /** Pages of the guest's memory. */
  get pages(): number {
    return this.snapshot.manifest.memoryBytes / PAGE_BYTES;
  }

  /** The bitmap of pages that are not zero. */
  nonZero(): Promise<Buffer> {
    return readFile(this.snapshot.nonZeroPath);
  }

  /** Mincore layers, undefined when nothing was recorded. */
  async layers(): Promise<Layers | undefined> {
    return (await this.layerRecording())?.layers;
  }

  /** The same with what is known of them. */
  async layerRecording(): Promise<LayerRecording | undefined> {
    const recording = await this.#read(LAYERS);
    return recording?.strategy === 'mincore' ? recording : undefined;
  }

  /** Everything that invocations were recorded by, traces first, oldest first. */
  async recordings(): Promise<readonly NamedRecording[]> {
    const names = [...this.#traceNumbers().map((number) => `trace-${number}.rec`), LAYERS];
    const found: NamedRecording[] = [];
    for (const file of names) {
      const recording = await this.#read(file);
      if (recording) found.push({ name: file.replace(/\.rec$/, ''), recording });
    }
    return found;
  }

  async putLayers(layers: Layers, event: RecordedEvent): Promise<void> {
    await this.#write(LAYERS, { strategy: 'mincore', layers, ...this.#facts(event) });
  }

  /** The recorded traces of page faults, oldest first. */
  async traces(): Promise<readonly Recording[]> {
    const found: Recording[] = [];
    for (const number of this.#traceNumbers()) {
      const recording = await this.#read(`trace-${number}.rec`);
      if (recording) found.push(recording);
    }
    return found;
  }

  /**
   * Adds a trace as a page server wrote it. Of more than `keep` traces the oldest go.
   * @returns true when it has pages.
   */
  async addTrace(tracePath: string, event: RecordedEvent, keep: number): Promise<boolean> {
    const trace = decodeTrace(await readFile(tracePath));
    if (trace.length === 0) return false;
    const numbers = this.#traceNumbers();
    const next = (numbers.at(-1) ?? 0) + 1;
    const facts = this.#facts(event);
    await this.#write(`trace-${next}.rec`, { strategy: 'userfault', trace, ...facts });
    for (const old of numbers.slice(0, Math.max(0, numbers.length + 1 - keep))) {
      await rm(this.#path(`trace-${old}.rec`), { force: true });
    }
    return true;
  }

  /** Pages that invocations are known to write, undefined when none was looked at. */
  async written(): Promise<Uint32Array | undefined> {
    const recording = await this.#read(WRITTEN);
    return recording?.strategy === 'userfault' ? recording.trace : undefined;
  }

  async putWritten(pages: Uint32Array, event: RecordedEvent): Promise<void> {
    await this.#write(WRITTEN, { strategy: 'userfault', trace: pages, ...this.#facts(event) });
  }

  /** Where the working-set file for a use lies. */
  filePath(use: WorkingSetUse): string {
    return this.#path(`${use}.wsf`);
  }

  /**
   * What a working-set file holds; undefined when there is none or it was damaged. All of it is
   * verified the first time, and again when the file has changed.
   */
  async file(use: WorkingSetUse): Promise<WorkingSet | undefined> {
    const path = this.filePath(use);
    if (!existsSync(path)) return undefined;
    return this.#orDrop(path, async () => {
      await this.confirm(path);
      const { memoryId } = this.snapshot.manifest;
      return this.#derived.of('working set', [path], () => readWorkingSet(path, memoryId));
    });
  }

  /**
   * How memory is to be mapped, as `make` finds it from the working-set file of a use (which may be
   * missing), the bitmap of non-zero pages, and the pages that are written; kept while these files
   * are the same. Call `file` first: it verifies.
   */
  plan<T>(use: WorkingSetUse, kind: string, make: () => Promise<T>): Promise<T> {
    const { nonZeroPath } = this.snapshot;
    const files = [this.filePath(use), nonZeroPath, this.#path(WRITTEN)];
    return this.#derived.of(kind, files, make);
  }

  /** Makes the working-set file for a use of the pages in `regions`; replaces the one before. */
  async make(use: WorkingSetUse, regions: readonly GroupedRun[]): Promise<void> {
    const { memoryPath, sumsPath, manifest } = this.snapshot;
    const { memoryId } = manifest;
    const path = this.filePath(use);
    const check = (): Promise<void> => checkMemory(memoryPath, sumsPath, this.#tools);
    await this.#trusted.verify(memoryPath, memoryId, check);
    const look = await this.#trusted.look(memoryPath);
    await writeWorkingSet(path, { memoryPath, memoryId }, regions);
    if ((await this.#trusted.look(memoryPath)) !== look) {
      // Its pages may have come from a memory that changed meanwhile.
      await rm(path, { force: true });
      throw unusable('its memory file changed while it was read');
    }
    await this.confirm(path);
  }

  /**
   * Proves that a working-set file is whole; cheap when it is as it was when that was found last.
   * @throws SparklerError SNAPSHOT_UNUSABLE
   */
  async confirm(path: string): Promise<void> {
    await this.#trusted.verify(path, '', async () => {
      if (!existsSync(path)) throw unusable('its working-set file is missing');
      await loadWorkingSet(path, this.#tools);
    });
  }

  /** Reads the file for a use into the page cache, verifying it. */
  async load(use: WorkingSetUse): Promise<void> {
    await loadWorkingSet(this.filePath(use), this.#tools);
  }

  /** Forgets what a use was made of: the file, and for `reap` the traces too. */
  async forget(use: WorkingSetUse): Promise<void> {
    await rm(this.filePath(use), { force: true });
    if (use !== 'reap') return;
    for (const number of this.#traceNumbers()) {
      await rm(this.#path(`trace-${number}.rec`), { force: true });
    }
  }

  /** Forgets all that was recorded, and all that was made of it. */
  async forgetAll(): Promise<void> {
    for (const use of WORKING_SET_USES) await this.forget(use);
    for (const name of [LAYERS, WRITTEN]) await rm(this.#path(name), { force: true });
  }

  #traceNumbers(): number[] {
    return readdirSync(this.snapshot.dir)
      .map((name) => TRACE.exec(name)?.[1])
      .filter((number) => number !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
  }

  #path(name: string): string {
    return join(this.snapshot.dir, name);
  }

  #facts(event: RecordedEvent): RecordingFacts {
    const { manifest } = this.snapshot;
    return {
      snapshotId: manifest.ssId,
      memoryId: manifest.memoryId,
      memoryBytes: manifest.memoryBytes,
      eventSha256: event.sha256,
      eventBytes: event.bytes,
      recordedAt: Date.now(),
    };
  }

  #write(name: string, recording: Recording): Promise<void> {
    return writeRecording(this.#path(name), recording);
  }

  async #read(name: string): Promise<Recording | undefined> {
    const path = this.#path(name);
    if (!existsSync(path)) return undefined;
    return this.#orDrop(path, () => readRecording(path, this.snapshot.manifest.memoryId));
  }

  async #orDrop<T>(path: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof SparklerError) || error.code !== 'SNAPSHOT_UNUSABLE') throw error;
      this.#say(`${path} was dropped: ${error.message}`);
      await rm(path, { force: true });
      return undefined;
    }
  }
}
