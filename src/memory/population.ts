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

/** A block, and how far from its start guests have touched it: 0 while it is as it came up. */
export interface Populatable {
  readonly node: number;
  readonly memMiB: number;
  readonly touchedBytes: number;
}

/**
 * The `bytes` of these blocks that a guest takes first, one block after the other, in pieces. A
 * kernel gives away what was freed last: of a new block it takes the lowest addresses first, and of
 * one that was used those below the highest that were ever touched.
 */
export function pieces(blocks: readonly Populatable[], bytes: number): Piece[] {
  const list: Piece[] = [];
  let left = bytes;
  for (const { node, memMiB, touchedBytes } of blocks) {
    const part = Math.min(left, memMiB * MIB);
    const first = Math.max(0, Math.floor(touchedBytes / GRAIN_BYTES) * GRAIN_BYTES - part);
    for (let done = 0; done < part; done += PIECE_BYTES) {
      list.push({ block: node, offset: first + done, bytes: Math.min(PIECE_BYTES, part - done) });
    }
    left -= part;
  }
  return list;
}
