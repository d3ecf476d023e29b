/** Makes a function's code drive: a read-only file system from an archive that is trusted in nothing. */
import { createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { asSparklerError } from '../errors.js';
import {
  DEFAULT_CODE_LIMITS,
  archiveTooLarge,
  showBytes,
  type CodeLimits,
} from './archive/limits.js';
import { unpackArchive } from './archive/unpack.js';
import { ArchiveWriter } from './archive/writer.js';
import { makeErofs } from './erofs.js';
import { digestFile, sync } from './manifest.js';

/** How to make a code drive. */
export interface CodeDriveOptions {
  /** Missing ones have the defaults of DEFAULT_CODE_LIMITS. */
  readonly limits?: Partial<CodeLimits>;
  /**
   * Where to unpack, in a folder of its own that is removed afterwards; the folder of the
   * destination when missing. Must be on the destination's file system.
   */
  readonly tmpDir?: string;
}

/** A finished code drive. */
export interface CodeDrive {
  readonly path: string;
  /** Size of the drive in bytes. */
  readonly bytes: number;
  /** SHA-256 (hex) of the drive: equal for equal files, whatever archive they came in. */
  readonly sha256: string;
  /** Number of files in it. */
  readonly files: number;
  /** Their sizes together, in bytes. */
  readonly unpackedBytes: number;
}

/**
 * Makes the drive `destination` from `archive`: a file's path, or a stream of its bytes. The drive
 * appears whole and durable, or not at all; whatever happens nothing else is left behind.
 * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL, DEPENDENCY_MISSING.
 */
export async function buildCodeDrive(
  archive: string | Readable,
  destination: string,
  options: CodeDriveOptions = {},
): Promise<CodeDrive> {
  const limits = { ...DEFAULT_CODE_LIMITS, ...options.limits };
  const work = await mkdtemp(join(options.tmpDir ?? dirname(destination), 'code-'));
  const tree = join(work, 'tree');
  try {
    await mkdir(tree);
    const writer = new ArchiveWriter(tree, limits);
    try {
      await unpackArchive(await spool(archive, work, limits), writer, limits);
      const drive = join(work, 'drive.erofs');
      await makeErofs(tree, drive, { allRoot: true, timeoutMs: limits.makeTimeoutMs });
      await chmod(drive, 0o444);
      await sync(drive);
      const digest = await digestFile(drive);
      await rename(drive, destination);
      await sync(dirname(destination));
      const { files, bytes: unpackedBytes } = writer.tree;
      return { path: destination, ...digest, files, unpackedBytes };
    } finally {
      await writer.makeRemovable();
    }
  } catch (error) {
    throw asSparklerError(error);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The archive as a file: a zip cannot be read from a stream. */
async function spool(
  archive: string | Readable,
  work: string,
  limits: CodeLimits,
): Promise<string> {
  if (typeof archive === 'string') return archive;
  const path = join(work, 'archive');
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      if (bytes <= limits.maxArchiveBytes) done(null, chunk);
      else done(archiveTooLarge(`it has more than ${showBytes(limits.maxArchiveBytes)}`));
    },
  });
  await pipeline(archive, counted, createWriteStream(path, { mode: 0o600 }));
  return path;
}
