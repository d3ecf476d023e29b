/** What is known of a snapshot's working set, for people: numbers and a picture. */
import { stat } from 'node:fs/promises';
import { SparklerError } from '../errors.js';
import type { PageCache } from './page-cache.js';
import { combineRecordings, jaccard } from './working-set/combine.js';
import { memoryPicture } from './working-set/picture.js';
import { firstTouches, recordingCounts, type Recording } from './working-set/recording.js';
import { countPages, runsFromBitmap, runsFromPages, union, type Run } from './working-set/runs.js';
import { WORKING_SET_USES, type WorkingSets, type WorkingSetUse } from './working-sets.js';

/** One recorded invocation. */
export interface RecordingView {
  readonly name: string;
  /** `userfault`: page faults; `mincore`: scans of the page cache. */
  readonly kind: Recording['strategy'];
  readonly eventSha256: string;
  readonly eventBytes: number;
  /** Milliseconds since the epoch. */
  readonly recordedAt: number;
  readonly pages: number;
  /** Layers; 0 for page faults. */
  readonly groups: number;
}

/** A working-set file. */
export interface WorkingSetFileView {
  readonly use: WorkingSetUse;
  readonly regions: number;
  readonly pages: number;
  /** Bytes of the file. */
  readonly bytes: number;
  /** It was read by this daemon and not dropped since. */
  readonly cached: boolean;
}

/** Shared pages of two recordings by all their pages, 0 to 1. */
export interface Similarity {
  readonly one: string;
  readonly other: string;
  readonly jaccard: number;
}

/** Everything that is known of a working set. Numbers of pages. */
export interface WorkingSetView {
  readonly pages: number;
  readonly nonZeroPages: number;
  readonly recordings: readonly RecordingView[];
  readonly files: readonly WorkingSetFileView[];
  readonly similarities: readonly Similarity[];
  /** Pages that invocations are known to write; absent when nobody looked. */
  readonly writtenPages?: number;
  /** Pages in at least so many of the recordings; only where it was asked for. */
  readonly common?: { readonly atLeast: number; readonly pages: number };
}

/** @throws SparklerError INVALID_REQUEST when `atLeast` is more than there are recordings. */
export async function surveyOf(
  sets: WorkingSets,
  cache: PageCache,
  atLeast?: number,
): Promise<WorkingSetView> {
  const named = await sets.recordings();
  const touched = named.map(({ name, recording }) => ({ name, pages: firstTouches(recording) }));
  const similarities = touched.flatMap((one, i) =>
    touched.slice(i + 1).map((other) => ({
      one: one.name,
      other: other.name,
      jaccard: jaccard(one.pages, other.pages),
    })),
  );
  const written = await sets.written();
  return {
    pages: sets.pages,
    nonZeroPages: countPages(runsFromBitmap(await sets.nonZero(), sets.pages)),
    recordings: named.map(({ name, recording }) => view(name, recording)),
    files: await filesOf(sets, cache),
    similarities,
    ...(written && { writtenPages: written.length }),
    ...(atLeast !== undefined && {
      common: {
        atLeast,
        pages: combineRecordings(
          named.map(({ recording }) => recording),
          atLeast,
        ).length,
      },
    }),
  };
}

function view(name: string, recording: Recording): RecordingView {
  const { strategy: kind, eventSha256, eventBytes, recordedAt } = recording;
  return { name, kind, eventSha256, eventBytes, recordedAt, ...recordingCounts(recording) };
}

/** One working-set file; undefined when there is none. */
export async function fileOf(
  sets: WorkingSets,
  use: WorkingSetUse,
  cache: PageCache,
): Promise<WorkingSetFileView | undefined> {
  const set = await sets.file(use);
  if (set === undefined) return undefined;
  const path = sets.filePath(use);
  const { regions } = set;
  return {
    use,
    regions: regions.length,
    pages: countPages(regions),
    bytes: set.dataAt + set.dataBytes,
    cached: cache.has(path),
  };
}

async function filesOf(sets: WorkingSets, cache: PageCache): Promise<WorkingSetFileView[]> {
  const files: WorkingSetFileView[] = [];
  for (const use of WORKING_SET_USES) {
    const file = await fileOf(sets, use, cache);
    if (file) files.push(file);
  }
  return files;
}

/**
 * The picture of a snapshot's memory: zero, resident, touched by the recorded invocations, in the
 * working-set file.
 * @param use which file counts as prefetched. Default: the one that was made last; none when there
 * is none.
 * @throws SparklerError INVALID_REQUEST when the named one is not there.
 */
export async function pictureOf(sets: WorkingSets, use?: WorkingSetUse): Promise<string> {
  const chosen = use ?? (await latestUse(sets));
  const set = chosen && (await sets.file(chosen));
  if (use !== undefined && set === undefined) {
    const message = `strategy: there is no working-set file for ${use} yet.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'strategy' });
  }
  const touched = (await sets.recordings()).map(({ recording }) =>
    runsFromPages(firstTouches(recording).sort()),
  );
  const { functionName, ssId } = sets.snapshot.manifest;
  const what = set ? `the working set for ${chosen}` : 'nothing is prefetched';
  return memoryPicture({
    title: `${functionName}, snapshot ${ssId}: ${what}`,
    pages: sets.pages,
    nonZero: runsFromBitmap(await sets.nonZero(), sets.pages),
    touched: touched.reduce<readonly Run[]>(union, []),
    prefetched: union(set?.regions ?? [], []),
  });
}

async function latestUse(sets: WorkingSets): Promise<WorkingSetUse | undefined> {
  let latest: { use: WorkingSetUse; at: number } | undefined;
  for (const use of WORKING_SET_USES) {
    if ((await sets.file(use)) === undefined) continue;
    const at = (await stat(sets.filePath(use))).mtimeMs;
    if (latest === undefined || at > latest.at) latest = { use, at };
  }
  return latest?.use;
}
