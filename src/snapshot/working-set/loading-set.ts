/** FaaSnap's overlay regions and loading set: which pages come from which file in a restore. */
import type { Layers } from './layers.js';
import {
  dropShort,
  hasBit,
  mergeGrouped,
  mergeRuns,
  runsFromBitmap,
  type GroupedRun,
  type Run,
} from './runs.js';

/** Gaps of fewer zero pages become part of a non-zero region: the paper's. */
export const DEFAULT_INTERVAL_THRESHOLD = 32;
/**
 * The same for a loading set: a mapping costs some 6 µs, a page that is read for nothing some 3
 * (`bench paging --ablation`). The paper has 32.
 */
export const LOADING_INTERVAL_THRESHOLD = 8;

export interface RegionOptions {
  /** Pages; 0 joins neighbours only. Default DEFAULT_INTERVAL_THRESHOLD, of a loading set LOADING_INTERVAL_THRESHOLD. */
  readonly intervalThreshold?: number;
  /** Pages; shorter runs are dropped, after joining. Default 0: none are. */
  readonly sizeThreshold?: number;
}

export interface LoadingSetOptions extends RegionOptions {
  /** Also pages that are not zero and in no group; they come last. */
  readonly inactiveWs?: boolean;
  /** Also zero pages that are in a group. */
  readonly zeroWs?: boolean;
}

/** The non-zero regions of a memory of `pages` pages; `nonZero` as `memory-sums` writes it. */
export function overlayRegions(
  nonZero: Uint8Array,
  pages: number,
  options: RegionOptions = {},
): Run[] {
  const { intervalThreshold = DEFAULT_INTERVAL_THRESHOLD, sizeThreshold = 0 } = options;
  return dropShort(mergeRuns(runsFromBitmap(nonZero, pages), intervalThreshold), sizeThreshold);
}

/**
 * The part of the working set that is worth loading: pages in a group and not zero. Sorted by
 * group, then by page, as a working-set file holds it; no group comes last.
 */
export function loadingSet(
  layers: Layers,
  nonZero: Uint8Array,
  options: LoadingSetOptions = {},
): GroupedRun[] {
  const { intervalThreshold = LOADING_INTERVAL_THRESHOLD, sizeThreshold = 0 } = options;
  const single: GroupedRun[] = [];
  layers.forEach((group, page) => {
    const isZero = !hasBit(nonZero, page);
    const isWanted = group === 0 ? options.inactiveWs && !isZero : !isZero || options.zeroWs;
    if (isWanted) single.push({ page, pages: 1, group });
  });
  const merged = dropShort(mergeGrouped(single, intervalThreshold), sizeThreshold);
  return merged.sort((a, b) => rank(a.group) - rank(b.group) || a.page - b.page);
}

/** `Infinity - Infinity` is not a number: the last rank is a finite one. */
function rank(group: number): number {
  return group === 0 ? Number.MAX_SAFE_INTEGER : group;
}
