/** What users do with the working sets of snapshots: the original's `mincore` and `reap`, and more. */
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { Registry } from '../registry/index.js';
import {
  addSharedLayer,
  carryLayers,
  countMincore,
  dropSets,
  emulateLayers,
  exportFile,
  fileOf,
  makeReapFile,
  pictureOf,
  surveyOf,
  trimToRegions,
  verifyAll,
  warmLayers,
  WORKING_SET_USES,
  writeLoadingSet,
  type MincoreCounts,
  type SnapshotStore,
  type WorkingSets,
  type WorkingSetUse,
  type WorkingSetView,
} from '../snapshot/index.js';
import { invalid } from './errors.js';
import type { Restores } from './restores.js';
import type { Access } from './snapshot-locks.js';
import type { Snapshots } from './snapshots.js';
import type {
  MincorePatch,
  ReapState,
  SnapshotVerified,
  WorkingSetPlatform,
} from './working-set-types.js';

export interface WorkingSetAdminDeps {
  readonly config: Config;
  readonly registry: Registry;
  readonly store: SnapshotStore;
  readonly snapshots: Snapshots;
  readonly restores: Restores;
  /** Ends the pooled VMs of a snapshot that were restored with its working set. */
  readonly dropPooled: (ssId: string) => Promise<void>;
  /** @throws SparklerError SHUTTING_DOWN */
  readonly mustBeOpen: () => void;
}

export class WorkingSetAdmin implements WorkingSetPlatform {
  readonly #deps: WorkingSetAdminDeps;

  constructor(deps: WorkingSetAdminDeps) {
    this.#deps = deps;
  }

  mincore(ssId: string): Promise<MincoreCounts> {
    return this.#on(ssId, 'together', countMincore);
  }

  carryMincore(ssId: string, source: string): Promise<void> {
    return this.#onTwo(ssId, source, 'source', (sets, other) =>
      carryLayers(sets, other, this.#cache),
    );
  }

  addMincoreLayer(ssId: string, position: number, fromDiff: string): Promise<void> {
    return this.#onTwo(ssId, fromDiff, 'fromDiff', (sets, other) =>
      addSharedLayer(sets, other, position, this.#cache),
    );
  }

  patchMincore(ssId: string, patch: MincorePatch): Promise<void> {
    const work = (sets: WorkingSets): Promise<void> => this.#patch(sets, patch);
    const isChange = patch.fromRecordsSize || patch.trimRegions || patch.toFile !== undefined;
    return isChange ? this.#change(ssId, work) : this.#on(ssId, 'alone', work);
  }

  reap(ssId: string): Promise<ReapState> {
    return this.#on(ssId, 'together', async (sets) => {
      const traces = await sets.traces();
      const file = await fileOf(sets, 'reap', this.#cache);
      return { traces: traces.length, ...(file && { file }) };
    });
  }

  /** The file is made first where there are traces and no file yet. */
  cacheReap(ssId: string, keep: boolean): Promise<void> {
    return this.#on(ssId, 'alone', async (sets) => {
      if (!keep) return dropSets(sets, this.#cache, this.#limitMs, ['reap']);
      if ((await sets.file('reap')) === undefined && !(await makeReapFile(sets))) {
        throw invalid('cache', 'true needs a recording; restore the snapshot with reap first');
      }
      const path = sets.filePath('reap');
      this.#cache.dropped(path);
      await this.#cache.once(path, () => sets.load('reap'));
    });
  }

  forgetReap(ssId: string): Promise<void> {
    return this.#change(ssId, async (sets) => {
      await sets.forget('reap');
      this.#cache.dropped(sets.filePath('reap'));
    });
  }

  workingSet(ssId: string, atLeast?: number): Promise<WorkingSetView> {
    return this.#on(ssId, 'together', (sets) => surveyOf(sets, this.#cache, atLeast));
  }

  picture(ssId: string, use?: WorkingSetUse): Promise<string> {
    return this.#on(ssId, 'together', (sets) => pictureOf(sets, use));
  }

  forget(ssId: string): Promise<void> {
    return this.#change(ssId, async (sets) => {
      await sets.forgetAll();
      for (const use of WORKING_SET_USES) this.#cache.dropped(sets.filePath(use));
      this.#deps.restores.forget(ssId);
    });
  }

  async verify(ssId: string): Promise<SnapshotVerified> {
    const { store, restores, snapshots, mustBeOpen } = this.#deps;
    mustBeOpen();
    snapshots.get(ssId);
    return restores.locks.with({ [ssId]: 'together' }, async () => {
      snapshots.get(ssId);
      const before = performance.now();
      const verified = await verifyAll(store, ssId);
      return { ...verified, durationMs: performance.now() - before };
    });
  }

  async #patch(sets: WorkingSets, patch: MincorePatch): Promise<void> {
    const cache = this.#cache;
    const { exportPath } = patch.toFile ?? {};
    // A wrong place is refused before anything is changed.
    const target = exportPath && this.#deps.store.place(exportPath, 'to_ws_file');
    if (patch.fromRecordsSize) await emulateLayers(sets, patch.fromRecordsSize, cache);
    if (patch.trimRegions) await trimToRegions(sets, cache);
    if (patch.toFile !== undefined) {
      const path = await writeLoadingSet(sets, patch.toFile, cache);
      if (target) await this.#export(path, target);
    }
    if (patch.warmLayers?.length) await warmLayers(sets, patch.warmLayers, cache, this.#limitMs);
    if (patch.dropCache) await dropSets(sets, cache, this.#limitMs);
  }

  /** A copy of the file goes where the caller wanted it; from then on it is the caller's. */
  async #export(path: string, target: string): Promise<void> {
    const { registry } = this.#deps;
    const id = registry.journal.intend({ kind: 'file', name: target });
    try {
      await exportFile(path, target, this.#limitMs);
    } finally {
      registry.journal.done(id);
    }
  }

  get #cache(): SnapshotStore['cache'] {
    return this.#deps.store.cache;
  }
  get #limitMs(): number {
    return this.#deps.config.timeouts.snapshotMs;
  }

  async #on<T>(ssId: string, access: Access, work: (sets: WorkingSets) => Promise<T>): Promise<T> {
    const { restores, snapshots, mustBeOpen } = this.#deps;
    mustBeOpen();
    snapshots.get(ssId);
    return restores.locks.with({ [ssId]: access }, async () => work(await this.#sets(ssId)));
  }

  /** VMs that wait in the pool with what `work` changes would be of an older working set. */
  async #change(ssId: string, work: (sets: WorkingSets) => Promise<void>): Promise<void> {
    await this.#on(ssId, 'alone', work);
    // After the lock: one that is starting may wait for it.
    await this.#deps.dropPooled(ssId);
  }

  /** `work` changes the first and reads the second. */
  async #onTwo(
    ssId: string,
    other: string,
    field: string,
    work: (sets: WorkingSets, other: WorkingSets) => Promise<void>,
  ): Promise<void> {
    const { restores, snapshots, mustBeOpen } = this.#deps;
    mustBeOpen();
    snapshots.get(ssId);
    if (other === ssId) throw invalid(field, 'must be another snapshot');
    this.#mustKnow(other, field);
    await restores.locks.with({ [ssId]: 'alone', [other]: 'together' }, async () =>
      work(await this.#sets(ssId), await this.#sets(other)),
    );
    await this.#deps.dropPooled(ssId);
  }

  #mustKnow(ssId: string, field: string): void {
    if (this.#deps.snapshots.has(ssId)) return;
    const message = `${field}: there is no snapshot ${ssId}.`;
    throw new SparklerError('SNAPSHOT_NOT_FOUND', message, { field });
  }

  /** The snapshot may have gone while its turn was waited for. */
  async #sets(ssId: string): Promise<WorkingSets> {
    const { restores, snapshots, store } = this.#deps;
    return restores.sets(await store.loadAnywhere(snapshots.get(ssId)));
  }
}
