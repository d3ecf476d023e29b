/** How much of an instance's blocks the host populates ahead: learned per function. Pure. */

/** Peaks of a function that are kept; the newest count. */
export const KEPT_PEAKS = 16;

/** Of the kept peaks at most one in this many is above what is populated ahead. */
const EXCEEDED_ONE_IN = 10;

/** What is populated is a multiple of this, bytes: a huge page. */
const GRAIN_BYTES = 2 * 1024 * 1024;

/** One call of the VMM populates at most this, bytes: between two, it can be stopped. */
const PIECE_BYTES = 64 * 1024 * 1024;

const MIB = 1024 * 1024;

/** A function's peaks with a new one, oldest first. */
export function withPeak(peaks: readonly number[], bytes: number): number[] {
  return [...peaks, bytes].slice(-KEPT_PEAKS);
}

/**
 * Bytes that are populated ahead of an instance of `memMiB`; what it touches beyond comes lazily.
 * Without a peak it is `firstMiB`: nobody knows yet.
 */
export function eagerBytes(peaks: readonly number[], memMiB: number, firstMiB: number): number {
  const sorted = [...peaks].sort((a, b) => a - b);
  const exceeded = Math.floor(sorted.length / EXCEEDED_ONE_IN);
  const wanted = sorted[sorted.length - 1 - exceeded] ?? firstMiB * MIB;
  return Math.min(Math.ceil(wanted / GRAIN_BYTES) * GRAIN_BYTES, memMiB * MIB);
}

/** A part of a block: `block` is its node. */
export interface Piece {
  readonly block: number;
  readonly offset: number;
  readonly bytes: number;
}

/** The first `bytes` of these blocks, one after the other, in pieces. */
export function pieces(
  blocks: readonly { readonly node: number; readonly memMiB: number }[],
  bytes: number,
): Piece[] {
  const list: Piece[] = [];
  let left = bytes;
  for (const { node, memMiB } of blocks) {
    const part = Math.min(left, memMiB * MIB);
    for (let offset = 0; offset < part; offset += PIECE_BYTES) {
      list.push({ block: node, offset, bytes: Math.min(PIECE_BYTES, part - offset) });
    }
    left -= part;
  }
  return list;
}
