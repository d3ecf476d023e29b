/** Reading files only so that they are in the page cache, in the daemon's own worker threads. */
import { open } from 'node:fs/promises';
import { PAGE_BYTES, type Run } from './working-set/runs.js';

/** One read at a time, bytes. */
const READ_BYTES = 1024 * 1024;

/** Reads runs of pages, so that they are in the page cache. */
export async function readRuns(path: string, runs: readonly Run[]): Promise<void> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const file = await open(path, 'r');
  try {
    for (const { page, pages } of runs) {
      for (let done = 0; done < pages * PAGE_BYTES; done += READ_BYTES) {
        const length = Math.min(READ_BYTES, pages * PAGE_BYTES - done);
        await file.read(buffer, 0, length, page * PAGE_BYTES + done);
      }
    }
  } finally {
    await file.close();
  }
}

/** Reads all of a file, so that it is in the page cache. */
export async function readAhead(path: string): Promise<void> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const file = await open(path, 'r');
  try {
    let got: number;
    do ({ bytesRead: got } = await file.read(buffer, 0, READ_BYTES));
    while (got > 0);
  } finally {
    await file.close();
  }
}
