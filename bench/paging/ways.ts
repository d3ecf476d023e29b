/** The ways of bringing a memory in, as data: which file, which mappings. Pure. */
import { populateRegions } from '../../src/snapshot/strategies/layers.js';
import { layersFromTrace } from '../../src/snapshot/working-set/layers.js';
import { loadingSet, overlayRegions } from '../../src/snapshot/working-set/loading-set.js';
import {
  difference,
  mergeRuns,
  PAGE_BYTES,
  runsFromPages,
  type GroupedRun,
  type Run,
} from '../../src/snapshot/working-set/runs.js';
import type { MappedRegion } from '../../src/vmm/index.js';
import type { Ground, Trace } from './traces.js';

/** Which pages are in the compact file, and in which order. */
export interface SetOptions {
  /** `touch`: groups by first touch, by address within; `address`: REAP's, all touched pages. */
  readonly order: 'touch' | 'address';
  /** Pages in a group. */
  readonly groupPages: number;
  /** Gaps of fewer pages are in the file too; 0: none are. */
  readonly gap: number;
  /** Touched pages that are zero are in the file too. */
  readonly zeroPages?: boolean;
}

export type Populate = 'no' | 'read' | 'written';

export interface LayerOptions {
  /** Non-zero regions over anonymous memory; else the memory file lies under everything. */
  readonly overlay: boolean;
  /** The loading set is mapped from the compact file, or from the memory file. */
  readonly from: 'file' | 'memory';
  /** By a thread: nothing, all for reading, or written pages for writing and the rest for reading. */
  readonly populate: Populate;
  /** One populating call covers at most so many pages; as large as the region when absent. */
  readonly chunkPages?: number;
  readonly loader: boolean;
  readonly willNeed?: boolean;
  readonly huge?: boolean;
  /** No read-ahead where the memory file is mapped. */
  readonly random?: boolean;
}

export type Way =
  | { readonly kind: 'private'; readonly random?: boolean }
  | { readonly kind: 'userfault'; readonly set?: SetOptions; readonly direct?: boolean }
  | { readonly kind: 'layers'; readonly set: SetOptions; readonly layers: LayerOptions };

/** FaaSnap's settings of src/snapshot: groups of 1024 pages, gaps below 32. */
export const FAASNAP_SET: SetOptions = { order: 'touch', groupPages: 1024, gap: 32 };
/** The settings of src/snapshot/strategies/populate.ts. */
export const POPULATE_SET: SetOptions = { order: 'touch', groupPages: 256, gap: 32 };
/** REAP's, of src/snapshot/strategies/reap.ts. */
export const REAP_SET: SetOptions = { order: 'address', groupPages: 1, gap: 0 };

export const FAASNAP: LayerOptions = { overlay: true, from: 'file', populate: 'no', loader: true };
export const POPULATED: LayerOptions = { ...FAASNAP, populate: 'written' };

/** The regions of the compact file for a recorded trace, in the file's order. */
export function setRegions(ground: Ground, recorded: Trace, options: SetOptions): GroupedRun[] {
  const { order, groupPages, gap, zeroPages = false } = options;
  if (order === 'address') {
    const runs = mergeRuns(runsFromPages(recorded.pages.toSorted()), gap);
    return runs.map((run) => ({ ...run, group: 1 }));
  }
  const layers = layersFromTrace(recorded.pages, ground.pages, groupPages);
  return loadingSet(layers, ground.nonZero, { intervalThreshold: gap, zeroWs: zeroPages });
}

export interface LayeredPlan {
  readonly base: 'memory' | 'anonymous';
  readonly regions: readonly MappedRegion[];
}

/**
 * What lies over what, as the strategies `faasnap` and `populate` have it.
 * @param dataPage the page of the compact file where its data begins.
 */
export function layeredPlan(
  ground: Ground,
  recorded: Trace,
  set: readonly GroupedRun[],
  dataPage: number,
  options: LayerOptions,
): LayeredPlan {
  const overlay = options.overlay ? overlayRegions(ground.nonZero, ground.pages) : [];
  return {
    base: options.overlay ? 'anonymous' : 'memory',
    regions: [
      ...overlay.map((run) => mapped(run, 'memory', run.page)),
      ...setMappings(set, dataPage, options.from),
      ...populating(set, recorded, options),
    ],
  };
}

function setMappings(
  set: readonly Run[],
  dataPage: number,
  from: LayerOptions['from'],
): MappedRegion[] {
  let filePage = dataPage;
  return set.map((run) => {
    const at = filePage;
    filePage += run.pages;
    return from === 'file' ? mapped(run, 'workingSet', at) : mapped(run, 'memory', run.page);
  });
}

function mapped({ page, pages }: Run, from: MappedRegion['from'], filePage: number): MappedRegion {
  return { page, pages, from, filePage, populate: 'no' };
}

function populating(
  set: readonly Run[],
  recorded: Trace,
  { populate, chunkPages }: LayerOptions,
): MappedRegion[] {
  if (populate === 'no') return [];
  const written = populate === 'written' ? runsFromPages(recorded.written) : [];
  const inFile = [...set].sort((a, b) => a.page - b.page);
  // Written pages outside of the file were zero.
  const runs = [...set, ...difference(written, inFile)];
  const regions = populateRegions(runs, written, set.length);
  return chunkPages === undefined ? regions : regions.flatMap((run) => chunks(run, chunkPages));
}

function chunks(region: MappedRegion, size: number): MappedRegion[] {
  const parts: MappedRegion[] = [];
  for (let at = 0; at < region.pages; at += size) {
    const pages = Math.min(size, region.pages - at);
    parts.push({ ...region, page: region.page + at, pages });
  }
  return parts;
}

/** Bytes of a compact file's data, MiB. */
export function setMiB(set: readonly Run[]): number {
  const pages = set.reduce((sum, run) => sum + run.pages, 0);
  return (pages * PAGE_BYTES) / (1024 * 1024);
}
