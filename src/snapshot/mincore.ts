/**
 * FaaSnap's mincore layers and loading set under the hands of a user: looked at, carried over, added
 * to, emulated, trimmed, written. Nobody may be restoring the snapshot while they change.
 */
import { SparklerError } from '../errors.js';
import type { PageCache } from './page-cache.js';
import { dropCache } from './patch.js';
import { samePages } from './shared-pages.js';
import { readRuns } from './read-ahead.js';
import { makeFaasnapFile } from './strategies/faasnap.js';
import {
  addLayer,
  carryOver,
  countLayers,
  layersFromTrace,
  mincoreCounts,
  runsOfLayers,
  sharedNonZero,
  trimLayers,
  type Layers,
  type MincoreCounts,
} from './working-set/layers.js';
import { combineRecordings } from './working-set/combine.js';
import { overlayRegions, type LoadingSetOptions } from './working-set/loading-set.js';
import type { Run } from './working-set/runs.js';
import {
  recordedEvent,
  WORKING_SET_USES,
  type RecordedEvent,
  type WorkingSets,
  type WorkingSetUse,
} from './working-sets.js';

/** How many layers, regions that are not zero, and regions of the loading set's file there are. */
export async function countMincore(sets: WorkingSets): Promise<MincoreCounts> {
  const layers = (await sets.layers()) ?? new Uint16Array(sets.pages);
  const file = await sets.file('faasnap');
  return mincoreCounts(layers, await regionsOf(sets), file?.regions ?? []);
}

/** Layers of another snapshot's recording for this one. @throws SparklerError INVALID_REQUEST */
export async function carryLayers(
  sets: WorkingSets,
  source: WorkingSets,
  cache: PageCache,
): Promise<void> {
  const recording = await source.layerRecording();
  if (recording === undefined) throw wrong('source', 'nothing is recorded of it');
  const { layers, eventSha256: sha256, eventBytes: bytes } = recording;
  await putLayers(sets, carryOver(layers, sets.pages), { sha256, bytes }, cache);
}

/**
 * A layer of the pages that two snapshots share and that are not zero.
 * @throws SparklerError INVALID_REQUEST, LIMIT_EXCEEDED
 */
export async function addSharedLayer(
  sets: WorkingSets,
  other: WorkingSets,
  position: number,
  cache: PageCache,
): Promise<void> {
  const [recording, nonZero] = [await sets.layerRecording(), await sets.nonZero()];
  const same = await samePages(sets.snapshot, other.snapshot);
  const layers = recording?.layers ?? new Uint16Array(sets.pages);
  const added = addLayer(layers, position, sharedNonZero(same, nonZero, sets.pages));
  const event = recording
    ? { sha256: recording.eventSha256, bytes: recording.eventBytes }
    : recordedEvent('');
  await putLayers(sets, added, event, cache);
}

/** Layers of `groupPages` pages each, made of the recorded faults. @throws SparklerError INVALID_REQUEST */
export async function emulateLayers(
  sets: WorkingSets,
  groupPages: number,
  cache: PageCache,
): Promise<void> {
  const traces = await sets.traces();
  const newest = traces.at(-1);
  if (newest === undefined) {
    throw wrong(
      'from_records_size',
      'no faults are recorded; restore the snapshot with reap first',
    );
  }
  const layers = layersFromTrace(combineRecordings(traces), sets.pages, groupPages);
  const { eventSha256: sha256, eventBytes: bytes } = newest;
  await putLayers(sets, layers, { sha256, bytes }, cache);
}

/** Takes the pages outside of the snapshot's regions out of the layers. @throws INVALID_REQUEST */
export async function trimToRegions(sets: WorkingSets, cache: PageCache): Promise<void> {
  const recording = await mustHaveLayers(sets, 'trim_regions');
  if (!sets.snapshot.manifest.regions.record) {
    throw wrong('trim_regions', 'the snapshot was taken with record_regions false: it has none');
  }
  const { layers, eventSha256: sha256, eventBytes: bytes } = recording;
  await putLayers(sets, trimLayers(layers, await regionsOf(sets)), { sha256, bytes }, cache);
}

/** Writes the loading set to its file and answers the path. @throws SparklerError INVALID_REQUEST */
export async function writeLoadingSet(
  sets: WorkingSets,
  options: LoadingSetOptions,
  cache: PageCache,
): Promise<string> {
  await mustHaveLayers(sets, 'to_ws_file');
  await makeFaasnapFile(sets, options);
  const path = sets.filePath('faasnap');
  cache.dropped(path);
  return path;
}

/** Of the memory file only the named layers are in the page cache afterwards. @throws INVALID_REQUEST */
export async function warmLayers(
  sets: WorkingSets,
  groups: readonly number[],
  cache: PageCache,
  limitMs: number,
): Promise<void> {
  const { layers } = await mustHaveLayers(sets, 'mincore_cache');
  const count = countLayers(layers);
  const unknown = groups.find((group) => group > count);
  if (unknown !== undefined) {
    throw wrong('mincore_cache', `there is no layer ${unknown}: there are ${count}`);
  }
  const { memoryPath } = sets.snapshot;
  cache.dropped(memoryPath);
  await dropCache(memoryPath, limitMs);
  await readRuns(memoryPath, runsOfLayers(layers, groups));
}

/** Drops working-set files from the page cache, those that there are. */
export async function dropSets(
  sets: WorkingSets,
  cache: PageCache,
  limitMs: number,
  uses: readonly WorkingSetUse[] = WORKING_SET_USES,
): Promise<void> {
  for (const use of uses) {
    if ((await sets.file(use)) === undefined) continue;
    cache.dropped(sets.filePath(use));
    await dropCache(sets.filePath(use), limitMs);
  }
}

/** The file that was made of the layers before goes: it is made anew by whoever needs it. */
async function putLayers(
  sets: WorkingSets,
  layers: Layers,
  event: RecordedEvent,
  cache: PageCache,
): Promise<void> {
  await sets.putLayers(layers, event);
  await sets.forget('faasnap');
  cache.dropped(sets.filePath('faasnap'));
}

async function regionsOf(sets: WorkingSets): Promise<readonly Run[]> {
  const { regions } = sets.snapshot.manifest;
  return regions.record ? overlayRegions(await sets.nonZero(), sets.pages, regions) : [];
}

async function mustHaveLayers(sets: WorkingSets, field: string) {
  const recording = await sets.layerRecording();
  if (recording) return recording;
  throw wrong(field, 'no layers are recorded; invoke with mincore_size first, or carry them over');
}

function wrong(field: string, what: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${what}.`, { field });
}
