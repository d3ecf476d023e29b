/** Which pages of a process's private mapping are its own: /proc/PID/pagemap. */
import { open } from 'node:fs/promises';

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** Entries that are read at once. */
const CHUNK_ENTRIES = 64 * 1024;

/**
 * Bits of an entry's upper half (Documentation/admin-guide/mm/pagemap.rst): 63 present, 62 swapped,
 * 61 a page of a file, 56 mapped by this process only. A present page that is no file's and mapped
 * here only was written by the process, or populated for writing. The page of zeros, which stands for
 * anonymous memory that was only read, is everybody's.
 */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
const EXCLUSIVE = 1 << 24;

/** A bitmap over the mapping at `address`: bit n of byte n / 8 is set for a page of its own. */
export async function privatePages(
  pid: number,
  address: bigint,
  length: number,
): Promise<Uint8Array> {
  const pages = length / PAGE_BYTES;
  const bitmap = new Uint8Array(Math.ceil(pages / 8));
  const file = await open(`/proc/${pid}/pagemap`, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_ENTRIES * ENTRY_BYTES);
    for (let page = 0; page < pages; page += CHUNK_ENTRIES) {
      const wanted = Math.min(CHUNK_ENTRIES, pages - page) * ENTRY_BYTES;
      const at = Number(address / BigInt(PAGE_BYTES)) + page;
      const { bytesRead } = await file.read(chunk, 0, wanted, at * ENTRY_BYTES);
      markOwn(chunk.subarray(0, bytesRead), page, bitmap);
    }
  } finally {
    await file.close();
  }
  return bitmap;
}

function markOwn(entries: Buffer, first: number, bitmap: Uint8Array): void {
  for (let i = 0; i * ENTRY_BYTES < entries.length; i++) {
    const upper = entries.readInt32LE(i * ENTRY_BYTES + 4);
    const isAnonymous = (upper & PRESENT) !== 0 && (upper & OF_FILE) === 0;
    const isOwn = (upper & SWAPPED) !== 0 || (isAnonymous && (upper & EXCLUSIVE) !== 0);
    if (!isOwn) continue;
    const page = first + i;
    bitmap[page >> 3] = (bitmap[page >> 3] ?? 0) | (1 << (page & 7));
  }
}
