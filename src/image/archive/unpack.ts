/** Unpacks a code archive of any kind that is accepted. */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { DETECT_BYTES, detectArchive } from './detect.js';
import { invalidArchive, type CodeLimits } from './limits.js';
import { unpackTar } from './tar.js';
import type { ArchiveWriter } from './writer.js';
import { unpackZip } from './zip.js';

/**
 * Unpacks the archive file `path` with `writer`: zip, tar or gzipped tar, told by its bytes.
 * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL.
 */
export async function unpackArchive(
  path: string,
  writer: ArchiveWriter,
  limits: CodeLimits,
): Promise<void> {
  const kind = detectArchive(await firstBytes(path));
  if (typeof kind === 'object') {
    throw invalidArchive(
      `it must be a zip, tar or gzipped tar file (it looks like ${kind.looksLike})`,
    );
  }
  if (kind === 'zip') await unpackZip(path, writer, limits);
  else if (kind === 'tar') await unpackTar([createReadStream(path)], writer, limits);
  else await unpackTar([createReadStream(path), createGunzip()], writer, limits);
  await writer.finish();
}

async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(DETECT_BYTES), 0, DETECT_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
