/**
 * Mincore layers: for each page of guest memory the group in which a recording saw it first. Group
 * 1 is the earliest; 0 is no group. As `page-recorder` writes them, u16 little-endian.
 */
import { SparklerError } from '../../errors.js';
import { unusable } from '../manifest.js';
import { countPages, hasBit, runsWhere, type Run } from './runs.js';

export type Layers = Uint16Array;

/** Pages in a group when layers are made from a trace and the caller does not say. */
export const DEFAULT_GROUP_PAGES = 1024;
/** The last group there can be: the numbers are u16. */
export const MAX_GROUP = 0xffff;

/** @throws SparklerError SNAPSHOT_UNUSABLE when the length is odd. */
export function decodeLayers(bytes: Uint8Array): Layers {
  if (bytes.length % 2 !== 0) throw unusable('its mincore layers have half a number');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, page) =>
    view.getUint16(2 * page, true),
  );
}

export function encodeLayers(layers: Layers): Buffer {
  const bytes = Buffer.alloc(layers.length * 2);
  layers.forEach((group, page) => bytes.writeUInt16LE(group, 2 * page));
  return bytes;
}

/** How many layers there are: the latest group's number. */
export function countLayers(layers: Layers): number {
  return layers.reduce((latest, group) => Math.max(latest, group), 0);
}

/** The pages of the named groups; of all of them when none are named. */
export function runsOfLayers(layers: Layers, groups?: readonly number[]): Run[] {
  const wanted = groups && new Set(groups);
  return runsWhere(layers.length, (page) => {
    const group = layers[page] ?? 0;
    return group !== 0 && (wanted === undefined || wanted.has(group));
  });
}

/**
 * A snapshot's layers for another one with `pages` pages, of the same VM's memory later on.
 * @throws SparklerError INVALID_REQUEST when the other's memory has another size.
 */
export function carryOver(source: Layers, pages: number): Layers {
  if (source.length === pages) return source.slice();
  throw new SparklerError(
    'INVALID_REQUEST',
    `source: its memory has ${source.length} pages, this snapshot's has ${pages}.`,
    { field: 'source' },
  );
}

/** The pages that two snapshots share and that are not zero, as a layer to add. */
export function sharedNonZero(equal: Uint8Array, nonZero: Uint8Array, pages: number): Run[] {
  return runsWhere(pages, (page) => hasBit(equal, page) && hasBit(nonZero, page));
}

/**
 * Layers with one more at `position`, 1 being the first. Its pages move there unless they are in an
 * earlier group; what was at that position and after it moves back by one.
 * @throws SparklerError INVALID_REQUEST for a position that leaves a gap, LIMIT_EXCEEDED when
 * there are MAX_GROUP layers already.
 */
export function addLayer(layers: Layers, position: number, layer: readonly Run[]): Layers {
  const count = countLayers(layers);
  if (!Number.isInteger(position) || position < 1 || position > count + 1) {
    const message = `position must be 1 to ${count + 1}: there are ${count} layers.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'position' });
  }
  if (count >= MAX_GROUP) {
    throw new SparklerError('LIMIT_EXCEEDED', `There are ${MAX_GROUP} layers, the most possible.`);
  }
  const added = layers.map((group) => (group >= position ? group + 1 : group));
  for (const { page, pages } of layer) {
    for (let at = page; at < page + pages && at < added.length; at++) {
      const group = added[at] ?? 0;
      if (group === 0 || group > position) added[at] = position;
    }
  }
  return added;
}

/**
 * Layers as a recording would have given them: the trace's pages in groups of `groupPages`, in the
 * order in which they were touched first.
 * @param trace page numbers; later touches of a page do not count.
 * @throws SparklerError INVALID_REQUEST for a group size that is not positive, SNAPSHOT_UNUSABLE
 * for a page outside of the memory, LIMIT_EXCEEDED for more than MAX_GROUP groups.
 */
export function layersFromTrace(
  trace: Iterable<number>,
  pages: number,
  groupPages: number = DEFAULT_GROUP_PAGES,
): Layers {
  if (!Number.isInteger(groupPages) || groupPages < 1) {
    const message = 'from_records_size must be a positive number of pages.';
    throw new SparklerError('INVALID_REQUEST', message, { field: 'from_records_size' });
  }
  const layers = new Uint16Array(pages);
  let seen = 0;
  for (const page of trace) {
    if (page >= pages) throw unusable(`its trace has page ${page} of a memory of ${pages} pages`);
    if (layers[page] !== 0) continue;
    const group = Math.floor(seen++ / groupPages) + 1;
    if (group > MAX_GROUP) {
      throw new SparklerError('LIMIT_EXCEEDED', `The trace makes more than ${MAX_GROUP} groups.`);
    }
    layers[page] = group;
  }
  return layers;
}

/** Layers without the pages outside of the overlay regions. */
export function trimLayers(layers: Layers, overlay: readonly Run[]): Layers {
  const trimmed = new Uint16Array(layers.length);
  for (const { page, pages } of overlay) trimmed.set(layers.subarray(page, page + pages), page);
  return trimmed;
}

/** What `GET /snapshots/{ssId}/mincore` answers; sizes in pages. */
export interface MincoreCounts {
  readonly nlayers: number;
  readonly n_nz_regions: number;
  readonly nz_region_size: number;
  readonly n_ws_regions: number;
  readonly ws_region_size: number;
}

export function mincoreCounts(
  layers: Layers,
  overlay: readonly Run[],
  loadingSet: readonly Run[],
): MincoreCounts {
  return {
    nlayers: countLayers(layers),
    n_nz_regions: overlay.length,
    nz_region_size: countPages(overlay),
    n_ws_regions: loadingSet.length,
    ws_region_size: countPages(loadingSet),
  };
}
