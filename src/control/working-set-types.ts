/** What the API may ask about the working sets of snapshots. */
import type {
  LoadingSetOptions,
  MincoreCounts,
  Verified,
  WorkingSetFileView,
  WorkingSetUse,
  WorkingSetView,
} from '../snapshot/index.js';

export type { WorkingSetView } from '../snapshot/index.js';

/** What to do with mincore layers and what is made of them; done in this order. */
export interface MincorePatch {
  /** Layers of so many pages each are made of the recorded page faults, instead of those there are. */
  readonly fromRecordsSize?: number;
  /** Pages outside of the snapshot's regions leave the layers. */
  readonly trimRegions?: boolean;
  /** The loading set is written to its working-set file. */
  readonly toFile?: LoadingSetOptions & {
    /** A copy of the file goes here, and is the caller's. */
    readonly exportPath?: string;
  };
  /** Of the memory file only these layers are in the page cache afterwards. */
  readonly warmLayers?: readonly number[];
  /** The working-set files leave the page cache. */
  readonly dropCache?: boolean;
}

/** What REAP knows of a snapshot. */
export interface ReapState {
  /** Recorded invocations. */
  readonly traces: number;
  /** The file that restores install, where there is one. */
  readonly file?: WorkingSetFileView;
}

/** What `verify` has read, and how long that took, milliseconds. */
export interface SnapshotVerified extends Verified {
  readonly durationMs: number;
}

/** Every method throws SNAPSHOT_NOT_FOUND and SNAPSHOT_UNUSABLE beside what it names. */
export interface WorkingSetPlatform {
  mincore(ssId: string): Promise<MincoreCounts>;
  /** Takes over the layers of `source`. @throws INVALID_REQUEST */
  carryMincore(ssId: string, source: string): Promise<void>;
  /**
   * Adds a layer of the pages that the snapshot shares with `fromDiff` and that are not zero.
   * @throws INVALID_REQUEST, LIMIT_EXCEEDED
   */
  addMincoreLayer(ssId: string, position: number, fromDiff: string): Promise<void>;
  /** @throws INVALID_REQUEST, PATH_NOT_ALLOWED, STORAGE_FULL */
  patchMincore(ssId: string, patch: MincorePatch): Promise<void>;
  reap(ssId: string): Promise<ReapState>;
  /** Brings REAP's file into the page cache, or drops it from there. @throws INVALID_REQUEST */
  cacheReap(ssId: string, keep: boolean): Promise<void>;
  /** Forgets the recorded page faults and REAP's file. */
  forgetReap(ssId: string): Promise<void>;
  /**
   * @param atLeast also counts the pages that are in so many of the recordings.
   * @throws INVALID_REQUEST
   */
  workingSet(ssId: string, atLeast?: number): Promise<WorkingSetView>;
  /** SVG. @throws INVALID_REQUEST when there is no file for `use`. */
  picture(ssId: string, use?: WorkingSetUse): Promise<string>;
  /** Forgets all that was recorded of the snapshot, and all that was made of it. */
  forget(ssId: string): Promise<void>;
  /** Reads and verifies every byte. */
  verify(ssId: string): Promise<SnapshotVerified>;
}
