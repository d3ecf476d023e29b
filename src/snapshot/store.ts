/** The snapshots' folders: `snapshots/<ssId>/` with memory, state, and the manifest, written last. */
import { lstatSync, mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { isErrno, SparklerError } from '../errors.js';
import { hostBootId, type Intent, type StoredSnapshot } from '../registry/index.js';
import type { SnapshotFiles } from '../vmm/index.js';
import {
  decodeManifest,
  encodeManifest,
  MANIFEST_FORMAT,
  unusable,
  type SnapshotManifest,
  type VmmIdentity,
} from './manifest.js';
import { allowedPath, checkSsId } from './place.js';

const MANIFEST = 'manifest.json';
const MEMORY = 'memory';
const STATE = 'state';
const MIB = 1024 * 1024;
/** A block of `stat`, bytes, whatever the file system's own block is. */
const STAT_BLOCK = 512;

export interface SnapshotStoreOptions {
  readonly dataDir: string;
  /** Folders beside `dataDir/snapshots` in which callers may have files put. */
  readonly snapshotDirs: readonly string[];
}

/** A snapshot that is about to be taken: where everything will lie, and what to journal first. */
export interface SnapshotPlan {
  readonly ssId: string;
  readonly dir: string;
  readonly files: SnapshotFiles;
  readonly intents: readonly Intent[];
}

/** What the taker knows and the store does not. */
export type SnapshotFacts = Omit<
  SnapshotManifest,
  | 'format'
  | 'ssId'
  | 'memoryFile'
  | 'stateFile'
  | 'memoryBytes'
  | 'stateBytes'
  | 'stateCrc32'
  | 'createdAt'
  | 'durable'
  | 'bootId'
>;

/** What a snapshot must match to be restored here and now. */
export interface Fitness {
  readonly vmm: VmmIdentity;
  readonly imageId: string;
  readonly kernelId: string;
}

export class SnapshotStore {
  readonly dir: string;
  readonly #others: readonly string[];
  /** Deleted while their files were still on the way to the disk: their manifest stays gone. */
  /** The plan that each snapshot of this run was made by, while it is there. */
  readonly #current = new Map<string, SnapshotPlan>();
  #writing: Promise<void> = Promise.resolve();

  constructor(options: SnapshotStoreOptions) {
    this.dir = join(options.dataDir, 'snapshots');
    this.#others = options.snapshotDirs;
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
  }

  /** @throws SparklerError INVALID_REQUEST for a bad ssId, PATH_NOT_ALLOWED for a bad place. */
  plan(ssId: string, statePath?: string, memoryPath?: string): SnapshotPlan {
    checkSsId(ssId);
    const dir = join(this.dir, ssId);
    if (lstatSync(dir, { throwIfNoEntry: false }) !== undefined) {
      throw new SparklerError('INVALID_REQUEST', `ssId: ${dir} exists already.`, { field: 'ssId' });
    }
    const place = (path: string, field: string): string =>
      allowedPath(path, field, this.dir, this.#others);
    const state = statePath && place(statePath, 'snapshot_path');
    const memory = memoryPath && place(memoryPath, 'mem_file_path');
    const intents: Intent[] = [{ kind: 'snapshot-dir', name: dir }];
    for (const name of [state, memory]) if (name) intents.push({ kind: 'file', name });
    const files = {
      statePath: state ?? join(dir, STATE),
      memoryPath: memory ?? join(dir, MEMORY),
    };
    return { ssId, dir, files, intents };
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
    const [memory, state] = await Promise.all([stat(memoryPath), readFile(statePath)]);
    if (memory.size !== facts.memMiB * MIB)
      throw unusable('the VMM wrote a memory file of wrong size');
    const manifest: SnapshotManifest = {
      format: MANIFEST_FORMAT,
      ...facts,
      ssId: plan.ssId,
      memoryFile: relativeTo(plan.dir, memoryPath),
      stateFile: relativeTo(plan.dir, statePath),
      memoryBytes: memory.size,
      stateBytes: state.length,
      stateCrc32: crc32(state),
      createdAt: Date.now(),
      durable: false,
      bootId: hostBootId(),
    };
    this.#current.set(plan.ssId, plan);
    writeManifest(plan.dir, manifest);
    this.#writing = this.#writing.then(() => this.#toDisk(plan, manifest));
    return recordOf(manifest, plan.dir, memory.blocks * STAT_BLOCK + state.length);
  }

  /** Resolves when the files of all committed snapshots are on the disk, or could not be put there. */
  settled(): Promise<void> {
    return this.#writing;
  }

  /**
   * Reads the manifest and proves that the snapshot is whole and fits.
   * @throws SparklerError SNAPSHOT_UNUSABLE with the reason.
   */
  async load(
    record: StoredSnapshot,
    fitness: Fitness | Promise<Fitness>,
  ): Promise<SnapshotManifest> {
    const { manifest } = await this.#verify(record.ssId);
    const misfit = findMisfit(manifest, await fitness);
    if (misfit !== undefined) throw unusable(misfit);
    return manifest;
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

  /** Removes a snapshot, its manifest first: from then on it is no snapshot any more. */
  async remove(record: Pick<StoredSnapshot, 'ssId' | 'memoryPath' | 'statePath'>): Promise<void> {
    this.#current.delete(record.ssId);
    const dir = join(this.dir, record.ssId);
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
    return [
      { kind: 'snapshot-dir', name: dir },
      ...[record.memoryPath, record.statePath]
        .filter((path) => !own(path))
        .map((name): Intent => ({ kind: 'file', name })),
    ];
  }

  async #verify(ssId: string): Promise<{ manifest: SnapshotManifest; diskBytes: number }> {
    const dir = join(this.dir, ssId);
    const manifest = decodeManifest((await read(join(dir, MANIFEST), 'its manifest')).toString());
    if (manifest.ssId !== ssId) throw unusable(`its manifest is that of ${manifest.ssId}`);
    const [state, memory] = await Promise.all([
      read(resolve(dir, manifest.stateFile), 'its state file'),
      stat(resolve(dir, manifest.memoryFile)).catch((error: unknown) => {
        throw unusable('its memory file is missing', error);
      }),
    ]);
    if (state.length !== manifest.stateBytes) throw unusable('its state file has another size');
    if (crc32(state) !== manifest.stateCrc32) throw unusable('its state file is damaged');
    if (memory.size !== manifest.memoryBytes) throw unusable('its memory file has another size');
    return { manifest, diskBytes: memory.blocks * STAT_BLOCK + state.length };
  }

  /** Puts the files on the disk and says so in the manifest. Failing, it stays not durable. */
  async #toDisk(plan: SnapshotPlan, manifest: SnapshotManifest): Promise<void> {
    try {
      await sync(plan.files.memoryPath);
      await sync(plan.files.statePath);
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

/** The record as the registry keeps it. */
function recordOf(manifest: SnapshotManifest, dir: string, diskBytes: number): StoredSnapshot {
  const { ssId, vmId, functionName, vcpus, memMiB, image, kernel, codeId, createdAt } = manifest;
  return {
    ssId,
    vmId,
    functionName,
    statePath: resolve(dir, manifest.stateFile),
    memoryPath: resolve(dir, manifest.memoryFile),
    vcpus,
    memMiB,
    image,
    kernel,
    codeId,
    version: `${manifest.vmm.vmm} ${manifest.vmm.version}`,
    createdAt,
    diskBytes,
  };
}

/** Why the snapshot cannot run here; undefined when it can. */
function findMisfit(manifest: SnapshotManifest, fitness: Fitness): string | undefined {
  const pairs: [string, string, string][] = [
    ['VMM', manifest.vmm.vmm, fitness.vmm.vmm],
    ['VMM version', manifest.vmm.version, fitness.vmm.version],
    ['machine type', manifest.vmm.machine, fitness.vmm.machine],
    ['CPU model', manifest.vmm.cpuModel, fitness.vmm.cpuModel],
    ['accelerator', manifest.vmm.accelerator, fitness.vmm.accelerator],
    ['image', manifest.imageId, fitness.imageId],
    ['kernel', manifest.kernelId, fitness.kernelId],
  ];
  const wrong = pairs.find(([, made, here]) => made !== here);
  if (wrong === undefined) return undefined;
  const [what, made, here] = wrong;
  return `it was made with ${what} ${made}, here it is ${here}`;
}

function relativeTo(dir: string, path: string): string {
  return path.startsWith(`${dir}/`) ? path.slice(dir.length + 1) : path;
}

/** In one turn of the event loop: nobody can delete the snapshot between the two calls. */
function writeManifest(dir: string, manifest: SnapshotManifest): void {
  const temporary = join(dir, `${MANIFEST}.new`);
  writeFileSync(temporary, encodeManifest(manifest), { mode: 0o644 });
  try {
    renameSync(temporary, join(dir, MANIFEST));
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

async function read(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw unusable(`${what} is missing`, error);
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
