/** Layered guest memory: what lies over what, as data. */
import type { MappedRegion } from '../../vmm/index.js';
import { overlayRegions } from '../working-set/loading-set.js';
import {
  difference,
  intersection,
  PAGE_BYTES,
  runsFromBitmap,
  type Run,
} from '../working-set/runs.js';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import type { SnapshotManifest } from '../manifest.js';

/** What lies under a guest's memory and over it. `overlayOf` gives the non-zero regions only. */
export interface Overlay {
  readonly base: 'memory' | 'anonymous';
  readonly regions: readonly MappedRegion[];
}

/**
 * Regions that are mapped at most, of all files together. Each may split the mapping under it in
 * two, and a process has at most 65530 mappings (vm.max_map_count), the VMM's own among them.
 */
const MAX_MAPPED = 30_000;

/** Regions in a plan, those that are only populated among them: see native/qemu-preload/memory.c. */
const MAX_PLANNED = 60_000;

/**
 * The overlay regions of a memory. Where `sizeThreshold` leaves out pages that are not zero, the
 * memory file must lie under them all: a guest never sees zeros in place of its data. (The original
 * has anonymous memory there.) Where the snapshot's regions are not recorded, or are more than can
 * be mapped beside `others`, the memory file lies there without any.
 */
export function overlayOf(
  nonZero: Uint8Array,
  pages: number,
  { regions: settings }: Pick<SnapshotManifest, 'regions'>,
  others: number,
): Overlay {
  if (!settings.record) return { base: 'memory', regions: [] };
  const runs = overlayRegions(nonZero, pages, settings);
  if (runs.length + others > MAX_MAPPED) return { base: 'memory', regions: [] };
  const missed = difference(runsFromBitmap(nonZero, pages), runs);
  return {
    base: missed.length === 0 ? 'anonymous' : 'memory',
    regions: runs.map((run) => ({ ...run, from: 'memory', filePage: run.page, populate: 'no' })),
  };
}

/** The working set's regions mapped from its own file, in the file's order. */
export function workingSetRegions(set: WorkingSet, populate: 'no' | 'read'): MappedRegion[] {
  let filePage = set.dataAt / PAGE_BYTES;
  return set.regions.map(({ page, pages }) => {
    const region: MappedRegion = { page, pages, from: 'workingSet', filePage, populate };
    filePage += pages;
    return region;
  });
}

/**
 * What to populate of `runs`, in their order: pages that are known to be written become private at
 * once, the others stay shared. What does not fit beside the `mapped` regions comes on demand.
 */
export function populateRegions(
  runs: readonly Run[],
  written: readonly Run[],
  mapped: number,
): MappedRegion[] {
  const as =
    (populate: 'read' | 'write') =>
    (run: Run): MappedRegion => ({
      ...{ page: run.page, pages: run.pages },
      ...{ from: 'base', filePage: 0, populate },
    });
  const regions = runs.flatMap((run) => [
    ...difference([run], written).map(as('read')),
    ...intersection([run], written).map(as('write')),
  ]);
  return regions.slice(0, Math.max(0, MAX_PLANNED - mapped));
}
