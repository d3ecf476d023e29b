/** Files that are there whole or not at all, also after a power loss. */
import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes the file `path` of what `write` writes: under a temporary name beside it, put on the disk,
 * then given its name. What was at `path` is replaced; failing, it stays and nothing else is left.
 */
export async function writeDurably<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const result = await withFile(temporary, 'wx+', async (file) => {
      const written = await write(file);
      await file.sync();
      return written;
    });
    await rename(temporary, path);
    await withFile(dirname(path), 'r', (folder) => folder.sync());
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Opens a file for as long as `use` takes. */
export async function withFile<T>(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Writes all of `data` at `offset`. */
export async function writeAt(file: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < data.length;) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Fills `data` from `offset` on; answers how many bytes there were before the file's end. */
export async function readAt(file: FileHandle, data: Uint8Array, offset: number): Promise<number> {
  for (let done = 0; ;) {
    const left = data.length - done;
    if (left === 0) return done;
    const { bytesRead } = await file.read(data, done, left, offset + done);
    if (bytesRead === 0) return done;
    done += bytesRead;
  }
}
