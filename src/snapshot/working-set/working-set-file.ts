/** Working-set files: the pages worth prefetching, one after the other, in a file of their own. */
import type { FileHandle } from 'node:fs/promises';
import { isErrno } from '../../errors.js';
import { unusable } from '../manifest.js';
import { crc32c } from './crc32c.js';
import { readAt, withFile, writeAt, writeDurably } from './durable.js';
import { PAGE_BYTES, type GroupedRun } from './runs.js';
import {
  BLOCK_BYTES,
  dataOffset,
  decodeWorkingSet,
  encodeWorkingSet,
  HEADER_BYTES,
  layoutOf,
  type WorkingSet,
} from './working-set-layout.js';

/** Data in memory at a time, bytes: a multiple of BLOCK_BYTES. */
const BATCH_BYTES = 16 * BLOCK_BYTES;

export interface WorkingSetSource {
  readonly memoryPath: string;
  /** Hexadecimal SHA-256 over the memory's checksum table. */
  readonly memoryId: string;
}

/**
 * Writes the pages of `regions` and answers what was written. The file is there whole or not at all.
 * @throws SparklerError SNAPSHOT_UNUSABLE when regions overlap or leave the memory.
 */
export async function writeWorkingSet(
  path: string,
  source: WorkingSetSource,
  regions: readonly GroupedRun[],
): Promise<WorkingSet> {
  return withFile(source.memoryPath, 'r', async (memory) => {
    const memoryBytes = (await memory.stat()).size;
    const { dataAt, dataBytes } = layoutOf(regions);
    const { memoryId } = source;
    const empty = { memoryId, memoryBytes, regions, sums: [], dataAt, dataBytes };
    encodeWorkingSet(empty);
    return writeDurably(path, async (file) => {
      const sums = await copyData(memory, file, regions, dataAt);
      const set = { ...empty, sums };
      await writeAt(file, encodeWorkingSet(set), 0);
      return set;
    });
  });
}

/** Copies the regions' pages one after the other; answers the checksums of the blocks. */
async function copyData(
  memory: FileHandle,
  file: FileHandle,
  regions: readonly GroupedRun[],
  dataAt: number,
): Promise<number[]> {
  const buffer = Buffer.allocUnsafe(BATCH_BYTES);
  const sums: number[] = [];
  let filled = 0;
  let written = 0;
  const flush = async (): Promise<void> => {
    const data = buffer.subarray(0, filled);
    for (let at = 0; at < filled; at += BLOCK_BYTES) {
      sums.push(crc32c(data.subarray(at, at + BLOCK_BYTES)));
    }
    await writeAt(file, data, dataAt + written);
    written += filled;
    filled = 0;
  };
  for (const { page, pages } of regions) {
    const end = (page + pages) * PAGE_BYTES;
    for (let at = page * PAGE_BYTES; at < end;) {
      const some = buffer.subarray(filled, filled + Math.min(end - at, BATCH_BYTES - filled));
      if ((await readAt(memory, some, at)) < some.length)
        throw unusable('its memory file ends early');
      at += some.length;
      filled += some.length;
      if (filled === BATCH_BYTES) await flush();
    }
  }
  await flush();
  return sums;
}

/**
 * Reads and verifies header and tables; the data's blocks are verified by whoever reads them
 * (`page-loader`, `page-server`), against `sums`.
 * @throws SparklerError SNAPSHOT_UNUSABLE when the file is missing, damaged, or of another memory.
 */
export async function readWorkingSet(path: string, memoryId: string): Promise<WorkingSet> {
  try {
    return await withFile(path, 'r', (file) => read(file, memoryId));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw unusable('its working-set file is missing', error);
    throw error;
  }
}

async function read(file: FileHandle, memoryId: string): Promise<WorkingSet> {
  const { size } = await file.stat();
  const header = Buffer.alloc(Math.min(HEADER_BYTES, size));
  await readAt(file, header, 0);
  const head = Buffer.alloc(dataOffset(header, size));
  await readAt(file, head, 0);
  const set = decodeWorkingSet(head, size);
  if (set.memoryId === memoryId) return set;
  throw unusable(`its working-set file is of memory ${set.memoryId}, not ${memoryId}`);
}
