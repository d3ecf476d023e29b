/** Which pages two snapshots have in common. */
import { readFile } from 'node:fs/promises';
import { SparklerError } from '../errors.js';
import type { LoadedSnapshot } from './files.js';
import { readAt, withFile } from './working-set/durable.js';
import { PAGE_BYTES } from './working-set/runs.js';

/** Bytes under one checksum of a memory file, and of one such checksum. */
const BLOCK_BYTES = 64 * 1024;
const SUM_BYTES = 4;
const BLOCK_PAGES = BLOCK_BYTES / PAGE_BYTES;

/**
 * A bitmap of the pages that are the same in both memories. Blocks whose checksums agree count as
 * the same without being read: they are hints of what to prefetch, and nothing is served from them.
 * @throws SparklerError INVALID_REQUEST when the memories have different sizes.
 */
export async function samePages(one: LoadedSnapshot, other: LoadedSnapshot): Promise<Uint8Array> {
  const { memoryBytes } = one.manifest;
  if (memoryBytes !== other.manifest.memoryBytes) {
    const message = `fromDiff: its memory has ${other.manifest.memoryBytes} bytes, this snapshot's has ${memoryBytes}.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'fromDiff' });
  }
  const [sums, others] = await Promise.all([readFile(one.sumsPath), readFile(other.sumsPath)]);
  const same = new Uint8Array(memoryBytes / PAGE_BYTES / 8);
  const [mine, theirs] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)];
  await withFile(one.memoryPath, 'r', (a) =>
    withFile(other.memoryPath, 'r', async (b) => {
      for (let block = 0; block * BLOCK_BYTES < memoryBytes; block++) {
        const at = block * SUM_BYTES;
        const first = block * BLOCK_PAGES;
        if (sums.readUInt32LE(at) === others.readUInt32LE(at)) {
          for (let i = 0; i < BLOCK_PAGES; i++) setBit(same, first + i);
          continue;
        }
        await Promise.all([
          readAt(a, mine, first * PAGE_BYTES),
          readAt(b, theirs, first * PAGE_BYTES),
        ]);
        for (let i = 0; i < BLOCK_PAGES; i++) {
          const [from, to] = [i * PAGE_BYTES, (i + 1) * PAGE_BYTES];
          if (mine.compare(theirs, from, to, from, to) === 0) setBit(same, first + i);
        }
      }
    }),
  );
  return same;
}

function setBit(bitmap: Uint8Array, page: number): void {
  bitmap[page >>> 3] = (bitmap[page >>> 3] ?? 0) | (1 << (page & 7));
}
