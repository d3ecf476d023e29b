/** The memory file that is replayed on: one made up, or a snapshot's. */
import { createHash, randomFillSync } from 'node:crypto';
import { readFile, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { makeSums, type PageTools } from '../../src/snapshot/native.js';
import { crc32c } from '../../src/snapshot/working-set/crc32c.js';
import { readAt, withFile, writeAt } from '../../src/snapshot/working-set/durable.js';
import { PAGE_BYTES } from '../../src/snapshot/working-set/runs.js';
import type { Ground } from './traces.js';

export interface MemoryFile extends Ground {
  readonly path: string;
  readonly sumsPath: string;
  readonly memoryId: string;
}

const MIB = 1024 * 1024;
/** One MiB in so many is a hole, as a part of every guest's memory is zero. */
const HOLE_EVERY_MIB = 8;
/** Bytes of a page that the replay reads. */
const READ_BYTES = 8;

/** Makes a memory of `mib` MiB; each page that is not in a hole begins with its number from 1. */
export async function makeMemory(
  path: string,
  mib: number,
  dir: string,
  tools: PageTools,
): Promise<MemoryFile> {
  await withFile(path, 'wx', async (file) => {
    await file.truncate(mib * MIB);
    const chunk = randomFillSync(Buffer.allocUnsafe(MIB));
    for (let at = 0; at < mib; at++) {
      if (at % HOLE_EVERY_MIB === HOLE_EVERY_MIB - 1) continue;
      for (let offset = 0; offset < MIB; offset += PAGE_BYTES) {
        chunk.writeBigUInt64LE(BigInt((at * MIB + offset) / PAGE_BYTES + 1), offset);
      }
      await writeAt(file, chunk, at * MIB);
    }
  });
  return openMemory(path, dir, tools);
}

/** Sums up a memory file that is there; the tables go to `dir`. */
export async function openMemory(path: string, dir: string, tools: PageTools): Promise<MemoryFile> {
  const [sumsPath, mapPath] = [join(dir, 'sums'), join(dir, 'nonzero')];
  await makeSums(path, sumsPath, mapPath, tools);
  return {
    path,
    sumsPath,
    memoryId: createHash('sha256')
      .update(await readFile(sumsPath))
      .digest('hex'),
    pages: (await stat(path)).size / PAGE_BYTES,
    nonZero: await readFile(mapPath),
  };
}

/** What a replay of these pages must have read: see page-replay.c. */
export async function expectedSum(memory: MemoryFile, pages: Uint32Array): Promise<number> {
  return withFile(memory.path, 'r', async (file) => {
    const heads = Buffer.alloc(pages.length * READ_BYTES);
    for (const [i, page] of pages.entries()) await readHead(file, page, heads, i);
    return crc32c(heads);
  });
}

async function readHead(file: FileHandle, page: number, to: Buffer, at: number): Promise<void> {
  await readAt(file, to.subarray(at * READ_BYTES, (at + 1) * READ_BYTES), page * PAGE_BYTES);
}
