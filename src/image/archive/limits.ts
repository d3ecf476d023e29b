/** How large a function's code may be, and the errors for code that is not acceptable. */
import { SparklerError, asSparklerError } from '../../errors.js';

const MIB = 1024 * 1024;

/** Limits on a code archive. Every one is checked before the space is used. */
export interface CodeLimits {
  /** The archive itself, in bytes. */
  readonly maxArchiveBytes: number;
  /** All files together, unpacked, in bytes. */
  readonly maxUnpackedBytes: number;
  /** One file, unpacked, in bytes. */
  readonly maxFileBytes: number;
  /** Files, folders and links together, counting folders that are only implied. */
  readonly maxEntries: number;
  /** A whole path or a link's target, in bytes of UTF-8. */
  readonly maxPathBytes: number;
  /** Folders in a path, the file's own name included. */
  readonly maxDepth: number;
  /** Making the drive from the unpacked files, in milliseconds. */
  readonly makeTimeoutMs: number;
}

export const DEFAULT_CODE_LIMITS: CodeLimits = {
  maxArchiveBytes: 64 * MIB,
  maxUnpackedBytes: 256 * MIB,
  maxFileBytes: 128 * MIB,
  maxEntries: 20_000,
  maxPathBytes: 1024,
  maxDepth: 64,
  makeTimeoutMs: 120_000,
};

/** Names longer than this are cut in messages, in characters. */
const SHOWN_NAME_CHARS = 120;

/** A name as messages show it: quoted, control characters escaped, not too long. */
function quoteName(name: string): string {
  return JSON.stringify(
    name.length > SHOWN_NAME_CHARS ? `${name.slice(0, SHOWN_NAME_CHARS)}…` : name,
  );
}

/** INVALID_ARCHIVE about the archive as a whole. */
export function invalidArchive(reason: string, cause?: unknown): SparklerError {
  return new SparklerError(
    'INVALID_ARCHIVE',
    `The code archive is unusable: ${reason}.`,
    {},
    cause,
  );
}

/** INVALID_ARCHIVE about one entry. */
export function invalidEntry(name: string, reason: string, cause?: unknown): SparklerError {
  const message = `The code archive's entry ${quoteName(name)} is refused: ${reason}.`;
  return new SparklerError('INVALID_ARCHIVE', message, {}, cause);
}

/** ARCHIVE_TOO_LARGE. */
export function archiveTooLarge(what: string): SparklerError {
  return new SparklerError('ARCHIVE_TOO_LARGE', `The code archive is too large: ${what}.`);
}

/** Bytes in words: `512 MiB`. */
export function showBytes(bytes: number): string {
  if (bytes >= MIB && bytes % MIB === 0) return `${bytes / MIB} MiB`;
  return `${bytes} bytes`;
}

/**
 * What a failure while reading an archive means: ours stays as it is, the file system's is the
 * host's, and any other is what a parser says about the archive.
 */
export function archiveFailure(error: unknown, entry?: string): SparklerError {
  if (error instanceof SparklerError) return error;
  if (error instanceof Error && 'syscall' in error) return asSparklerError(error);
  const text = error instanceof Error ? error.message : String(error);
  const reason = text.replace(/\.$/, '');
  return entry === undefined ? invalidArchive(reason, error) : invalidEntry(entry, reason, error);
}
