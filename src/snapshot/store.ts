/** The snapshots' folders: `snapshots/<ssId>/` with memory, state, and the manifest, written last. */
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SparklerError } from '../errors.js';
import {
  hostBootId,
  type Intent,
  type JournalEntry,
  type StoredSnapshot,
} from '../registry/index.js';
import type { SnapshotFiles } from '../vmm/index.js';
import {
  blockSums,
  checkDigest,
  checkState,
  checkSum,
  digestOf,
  findMisfit,
  missingMemory,
  read,
  stateProof,
  type Fitness,
} from './checks.js';
import {
  derivedFiles,
  loadedFrom,
  MANIFEST,
  MEMORY,
  recordOf,
  relativeTo,
  STATE,
  sync,
  writeManifest,
  type LoadedSnapshot,
} from './files.js';
import {
  decodeManifest,
  MANIFEST_FORMAT,
  unusable,
  type RegionSettings,
  type SnapshotManifest,
} from './manifest.js';
import { checkSums, makeSums, type PageTools } from './native.js';
import { Derived } from './derived.js';
import { copySparse, dropCache } from './patch.js';
import { allowedPath, checkSsId } from './place.js';
import { PageCache } from './page-cache.js';
import { TrustedFiles } from './trust.js';
import { crc32c } from './working-set/crc32c.js';
import { DEFAULT_INTERVAL_THRESHOLD } from './working-set/loading-set.js';

/** What a journal entry's attribute `purpose` says of a snapshot. */
const MAKE = 'make';
const REMOVE = 'remove';
const MIB = 1024 * 1024;
/** A block of `stat`, bytes, whatever the file system's own block is. */
const STAT_BLOCK = 512;

export interface SnapshotStoreOptions {
  readonly dataDir: string;
  /** Folders beside `dataDir/snapshots` in which callers may have files put. */
  readonly snapshotDirs: readonly string[];
  readonly tools: PageTools;
}

/** A snapshot that is about to be taken: where everything will lie, and what to journal first. */
export interface SnapshotPlan {
  readonly ssId: string;
  readonly dir: string;
  readonly files: SnapshotFiles;
  readonly intents: readonly Intent[];
  readonly regions: RegionSettings;
}

/** What a caller may say of a snapshot to be taken. */
export interface PlanWishes {
  /** Files outside of the snapshot's own folder. */
  readonly statePath?: string;
  readonly memoryPath?: string;
  readonly regions?: Partial<RegionSettings>;
}

/** The paper's gap; nothing is left out. */
const DEFAULT_REGIONS: RegionSettings = {
  record: true,
  intervalThreshold: DEFAULT_INTERVAL_THRESHOLD,
  sizeThreshold: 0,
};

/** What the taker knows and the store does not. */
export type SnapshotFacts = Omit<
  SnapshotManifest,
  | 'format'
  | 'ssId'
  | 'memoryFile'
  | 'stateFile'
  | 'memoryBytes'
  | 'stateBytes'
  | 'stateSums'
  | 'memoryId'
  | 'nonZeroSum'
  | 'regions'
  | 'createdAt'
  | 'durable'
  | 'bootId'
>;

export class SnapshotStore {
  readonly dir: string;
  readonly #others: readonly string[];
  /** The plan that each snapshot of this run was made by, while it is there. */
  readonly #current = new Map<string, SnapshotPlan>();
  #writing: Promise<void> = Promise.resolve();
  /** Snapshots whose memory is being summed up, with the manifest that then holds. */
  readonly #summing = new Map<string, Promise<SnapshotManifest>>();
  readonly tools: PageTools;
  /** What of the snapshots is in the page cache. */
  readonly cache = new PageCache();
  /** Files of snapshots, and what is derived from them, that were found whole. */
  readonly trusted = new TrustedFiles();
  /** What restores compute from them. */
  readonly derived = new Derived(this.trusted);

  constructor(options: SnapshotStoreOptions) {
    this.tools = options.tools;
    this.dir = join(options.dataDir, 'snapshots');
    this.#others = options.snapshotDirs;
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
  }

  /** @throws SparklerError INVALID_REQUEST for a bad ssId, PATH_NOT_ALLOWED for a bad place. */
  plan(ssId: string, { statePath, memoryPath, regions }: PlanWishes = {}): SnapshotPlan {
    checkSsId(ssId);
    const dir = join(this.dir, ssId);
    if (lstatSync(dir, { throwIfNoEntry: false }) !== undefined) {
      throw new SparklerError('INVALID_REQUEST', `ssId: ${dir} exists already.`, { field: 'ssId' });
    }
    const state = statePath && this.place(statePath, 'snapshot_path');
    const memory = memoryPath && this.place(memoryPath, 'mem_file_path');
    const attributes = { purpose: MAKE, ssId };
    const intents: Intent[] = [{ kind: 'snapshot-dir', name: dir, attributes }];
    for (const name of [state, memory]) if (name) intents.push({ kind: 'file', name, attributes });
    const files = {
      statePath: state ?? join(dir, STATE),
      memoryPath: memory ?? join(dir, MEMORY),
    };
    return { ssId, dir, files, intents, regions: { ...DEFAULT_REGIONS, ...regions } };
  }

  /** A new file where a caller wants it. @throws SparklerError PATH_NOT_ALLOWED */
  place(path: string, field: string): string {
    return allowedPath(path, field, this.dir, this.#others);
  }

  /** Makes the planned folder. Call after the plan's intents were journaled. */
  async prepare(plan: SnapshotPlan): Promise<void> {
    await mkdir(plan.dir, { mode: 0o700 });
  }

  /**
   * Checks the written files, writes the manifest and answers the record. The files then go to the
   * disk in the background: `settled` waits for that.
   */
  async commit(plan: SnapshotPlan, facts: SnapshotFacts): Promise<StoredSnapshot> {
    const { memoryPath, statePath } = plan.files;
    const look = await this.trusted.look(statePath);
    const [memory, state] = await Promise.all([stat(memoryPath), readFile(statePath)]);
    if (memory.size !== facts.memMiB * MIB)
      throw unusable('the VMM wrote a memory file of wrong size');
    const manifest: SnapshotManifest = {
      format: MANIFEST_FORMAT,
      ...facts,
      regions: plan.regions,
      ssId: plan.ssId,
      memoryFile: relativeTo(plan.dir, memoryPath),
      stateFile: relativeTo(plan.dir, statePath),
      memoryBytes: memory.size,
      stateBytes: state.length,
      stateSums: blockSums(state),
      memoryId: '',
      nonZeroSum: 0,
      createdAt: Date.now(),
      durable: false,
      bootId: hostBootId(),
    };
    this.#current.set(plan.ssId, plan);
    writeManifest(plan.dir, manifest);
    this.trusted.trust(statePath, stateProof(manifest), look);
    const summed = this.#sumUp(plan.dir, manifest, true);
    // It is summed up again by whoever needs it, and says then what was wrong.
    summed.catch(() => undefined);
    this.#writing = this.#writing.then(() => this.#toDisk(plan, summed));
    return recordOf(manifest, plan.dir, memory.blocks * STAT_BLOCK + state.length);
  }

  /**
   * Makes the planned snapshot a copy of another one: its files, and what was recorded of it. The
   * copy is verified in full. Call after `prepare`.
   * @throws SparklerError SNAPSHOT_UNUSABLE, STORAGE_FULL
   */
  async copy(plan: SnapshotPlan, source: LoadedSnapshot): Promise<StoredSnapshot> {
    const { memoryPath, statePath } = plan.files;
    const copies: [from: string, to: string][] = [
      [source.memoryPath, memoryPath],
      [source.statePath, statePath],
      ...(await derivedFiles(source.dir)).map((name): [string, string] => [
        join(source.dir, name),
        join(plan.dir, name),
      ]),
    ];
    for (const [from, to] of copies) await copySparse(from, to, this.tools.limitMs);
    const manifest: SnapshotManifest = {
      ...source.manifest,
      ssId: plan.ssId,
      memoryFile: relativeTo(plan.dir, memoryPath),
      stateFile: relativeTo(plan.dir, statePath),
      createdAt: Date.now(),
      durable: false,
      bootId: hostBootId(),
    };
    this.#current.set(plan.ssId, plan);
    writeManifest(plan.dir, manifest);
    await this.loadAnywhere(plan);
    this.#writing = this.#writing.then(() => this.#toDisk(plan, Promise.resolve(manifest)));
    const { blocks } = await stat(memoryPath);
    return recordOf(manifest, plan.dir, blocks * STAT_BLOCK + manifest.stateBytes);
  }

  /** Resolves when the files of all committed snapshots are on the disk, or could not be put there. */
  settled(): Promise<void> {
    return this.#writing;
  }

  /**
   * Reads the manifest and proves that the snapshot is whole and fits. Its files are read in full
   * only when they are not as they were when they were last found whole: see TrustedFiles.
   * @throws SparklerError SNAPSHOT_UNUSABLE with the reason.
   */
  async load(record: StoredSnapshot, fitness: Fitness | Promise<Fitness>): Promise<LoadedSnapshot> {
    const loaded = await this.loadAnywhere(record);
    const misfit = findMisfit(loaded.manifest, await fitness);
    if (misfit !== undefined) throw unusable(misfit);
    return loaded;
  }

  /** `load` without asking whether the snapshot fits this host's VMM, image and kernel. */
  async loadAnywhere({ ssId }: Pick<StoredSnapshot, 'ssId'>): Promise<LoadedSnapshot> {
    const dir = join(this.dir, ssId);
    await this.#summing.get(ssId);
    const found = (await this.#verify(ssId)).manifest;
    const manifest = found.memoryId === '' ? await this.#sumUp(dir, found, false) : found;
    const loaded = loadedFrom(dir, manifest);
    await this.confirm(loaded);
    return loaded;
  }

  /**
   * Proves that a snapshot's files are what its manifest says; cheap for those that are as they were
   * when that was found last. After a restore has opened them it shows that they were whole then.
   * @throws SparklerError SNAPSHOT_UNUSABLE
   */
  async confirm({ manifest, ...paths }: LoadedSnapshot): Promise<void> {
    const { memoryPath, statePath, sumsPath, nonZeroPath } = paths;
    const { memoryId, nonZeroSum, memoryBytes } = manifest;
    const sum = String(nonZeroSum);
    await Promise.all([
      this.trusted.verify(statePath, stateProof(manifest), () => checkState(statePath, manifest)),
      this.trusted.verify(sumsPath, memoryId, () => checkDigest(sumsPath, memoryId)),
      this.trusted.verify(nonZeroPath, sum, () => checkSum(nonZeroPath, nonZeroSum)),
      stat(memoryPath).then(({ size }) => {
        if (size !== memoryBytes) throw unusable('its memory file has another size');
      }, missingMemory),
    ]);
    await this.trusted.verify(memoryPath, memoryId, () =>
      checkSums(memoryPath, sumsPath, this.tools),
    );
  }

  /** Reads and verifies all of it, whatever is known. @throws SparklerError SNAPSHOT_UNUSABLE */
  async verify(record: Pick<StoredSnapshot, 'ssId'>): Promise<LoadedSnapshot> {
    const { manifest } = await this.#verify(record.ssId);
    const loaded = loadedFrom(join(this.dir, record.ssId), manifest);
    this.distrust(loaded);
    // What the disk has, not what was read of it before.
    this.cache.dropped(loaded.memoryPath);
    await dropCache(loaded.memoryPath, this.tools.limitMs);
    return this.loadAnywhere(record);
  }

  /** Something of the snapshot was found damaged: all of it is read again before its next use. */
  distrust({ dir, memoryPath, statePath }: LoadedSnapshot): void {
    for (const path of [memoryPath, statePath]) this.trusted.forget(path);
    this.trusted.forgetIn(dir);
  }

  /**
   * Makes the checksum table and the bitmap of non-zero pages, and a manifest that knows them.
   * @param isNew the memory file was just written: what it holds is what it should hold.
   */
  #sumUp(dir: string, manifest: SnapshotManifest, isNew: boolean): Promise<SnapshotManifest> {
    const { ssId } = manifest;
    const running = this.#summing.get(ssId);
    if (running) return running;
    const summing = this.#sumUpNow(dir, manifest, isNew).finally(() => this.#summing.delete(ssId));
    this.#summing.set(ssId, summing);
    return summing;
  }

  async #sumUpNow(
    dir: string,
    manifest: SnapshotManifest,
    isNew: boolean,
  ): Promise<SnapshotManifest> {
    const { memoryPath, sumsPath, nonZeroPath } = loadedFrom(dir, manifest);
    const wasDurable = manifest.durable;
    // What a daemon left that was killed meanwhile.
    for (const path of [sumsPath, nonZeroPath]) await rm(path, { force: true });
    const memoryLook = await this.trusted.look(memoryPath);
    await makeSums(memoryPath, sumsPath, nonZeroPath, this.tools);
    const looks = await Promise.all([sumsPath, nonZeroPath].map((path) => this.trusted.look(path)));
    const [sums, nonZero] = await Promise.all([readFile(sumsPath), readFile(nonZeroPath)]);
    const summed = { ...manifest, memoryId: digestOf(sums), nonZeroSum: crc32c(nonZero) };
    if (isNew && this.#current.get(manifest.ssId)?.dir !== dir) throw unusable('it was deleted');
    writeManifest(dir, { ...summed, durable: wasDurable });
    const { memoryId, nonZeroSum } = summed;
    this.trusted.trust(memoryPath, memoryId, memoryLook);
    this.trusted.trust(sumsPath, memoryId, looks[0]);
    this.trusted.trust(nonZeroPath, String(nonZeroSum), looks[1]);
    return summed;
  }

  /** The record of the snapshot in folder `ssId`, from its manifest. @throws SNAPSHOT_UNUSABLE */
  async inspect(ssId: string): Promise<StoredSnapshot> {
    const { manifest, diskBytes } = await this.#verify(ssId);
    if (!manifest.durable && manifest.bootId !== hostBootId()) {
      throw unusable('the host went down before its files were on the disk');
    }
    return recordOf(manifest, join(this.dir, ssId), diskBytes);
  }

  /** Bytes that memory and state take on the disk now. */
  async diskBytes(record: StoredSnapshot): Promise<number> {
    const stats = await Promise.all([stat(record.memoryPath), stat(record.statePath)]);
    return stats.reduce((sum, { blocks }) => sum + blocks * STAT_BLOCK, 0);
  }

  /** Bytes that a snapshot's memory file, and all its other files together, take on the disk now. */
  async occupied(record: StoredSnapshot): Promise<{ memory: number; others: number }> {
    const dir = join(this.dir, record.ssId);
    const names = (await derivedFiles(dir)).map((name) => join(dir, name));
    const bytes = async (path: string): Promise<number> => (await stat(path)).blocks * STAT_BLOCK;
    const others = await Promise.all([record.statePath, ...names].map(bytes));
    return {
      memory: await bytes(record.memoryPath),
      others: others.reduce((sum, some) => sum + some, 0),
    };
  }

  /** Removes a snapshot, its manifest first: from then on it is no snapshot any more. */
  async remove(record: Pick<StoredSnapshot, 'ssId' | 'memoryPath' | 'statePath'>): Promise<void> {
    this.#current.delete(record.ssId);
    const dir = join(this.dir, record.ssId);
    this.trusted.forgetIn(dir);
    this.cache.droppedIn(dir);
    this.cache.dropped(record.memoryPath);
    rmSync(join(dir, MANIFEST), { force: true });
    await Promise.all([
      rm(record.memoryPath, { force: true }),
      rm(record.statePath, { force: true }),
    ]);
    await rm(dir, { recursive: true, force: true });
  }

  /** What to journal before `remove`. */
  removalIntents(record: StoredSnapshot): Intent[] {
    const dir = join(this.dir, record.ssId);
    const own = (path: string): boolean => path.startsWith(`${dir}/`);
    const { ssId, createdAt } = record;
    const attributes = { purpose: REMOVE, ssId, createdAt };
    return [
      { kind: 'snapshot-dir', name: dir, attributes },
      ...[record.memoryPath, record.statePath]
        .filter((path) => !own(path))
        .map((name): Intent => ({ kind: 'file', name, attributes })),
    ];
  }

  /**
   * For `reclaim`: true when an open entry of the journal names a part of a snapshot that is on the
   * disk whole, and not the one that the entry was to remove. A power loss can take the commit that
   * crossed the entry out, never the durable manifest.
   */
  async isWhole({ kind, name, attributes }: JournalEntry): Promise<boolean> {
    const { purpose, ssId, createdAt } = attributes ?? {};
    if (typeof ssId !== 'string' || (purpose !== MAKE && purpose !== REMOVE)) return false;
    const found = await this.#verify(ssId).catch((error: unknown) => {
      if (error instanceof SparklerError && error.code === 'SNAPSHOT_UNUSABLE') return undefined;
      throw error;
    });
    if (found?.manifest.durable !== true) return false;
    if (purpose === REMOVE && found.manifest.createdAt === createdAt) return false;
    const dir = join(this.dir, ssId);
    if (kind === 'snapshot-dir') return name === dir;
    const { memoryPath, statePath } = recordOf(found.manifest, dir, found.diskBytes);
    return name === memoryPath || name === statePath;
  }

  async #verify(ssId: string): Promise<{ manifest: SnapshotManifest; diskBytes: number }> {
    const dir = join(this.dir, ssId);
    const manifest = decodeManifest((await read(join(dir, MANIFEST), 'its manifest')).toString());
    if (manifest.ssId !== ssId) throw unusable(`its manifest is that of ${manifest.ssId}`);
    const statePath = resolve(dir, manifest.stateFile);
    await this.trusted.verify(statePath, stateProof(manifest), () =>
      checkState(statePath, manifest),
    );
    const memory = await stat(resolve(dir, manifest.memoryFile)).catch(missingMemory);
    if (memory.size !== manifest.memoryBytes) throw unusable('its memory file has another size');
    return { manifest, diskBytes: memory.blocks * STAT_BLOCK + manifest.stateBytes };
  }

  /** Puts the files on the disk and says so in the manifest. Failing, it stays not durable. */
  async #toDisk(plan: SnapshotPlan, summed: Promise<SnapshotManifest>): Promise<void> {
    try {
      const manifest = await summed;
      const { sumsPath, nonZeroPath } = loadedFrom(plan.dir, manifest);
      const { memoryPath, statePath } = plan.files;
      for (const path of [memoryPath, statePath, sumsPath, nonZeroPath]) await sync(path);
      // Deleted meanwhile, and perhaps another one made under the same id.
      if (this.#current.get(plan.ssId) !== plan) return;
      writeManifest(plan.dir, { ...manifest, durable: true });
      await sync(join(plan.dir, MANIFEST));
      await sync(plan.dir);
      await sync(this.dir);
    } catch {
      // Deleted meanwhile, or a disk that does not write: the manifest then still says the truth.
    }
  }
}
