/** Makes read-only erofs file systems. */
import { createHash } from 'node:crypto';
import { stat, truncate } from 'node:fs/promises';
import { run } from './command.js';

/** A file system starts and ends at multiples of this, in bytes. */
const BLOCK_BYTES = 4096;
/** Every file's time: 2025-01-01T00:00:00Z. Equal files make equal images whenever they are made. */
const FILE_TIME_S = 1_735_689_600;

/** How to make a file system. */
export interface ErofsOptions {
  /** All files belong to root, whatever they do in `source`. */
  readonly allRoot: boolean;
  /** In milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Writes the folder `source` as an erofs image to `destination`: uncompressed, so that the guest
 * reads pages and nothing else, and the same bytes whenever `source` is the same.
 * @throws SparklerError DEPENDENCY_MISSING, STORAGE_FULL, IMAGE_BUILD_FAILED.
 */
export async function makeErofs(
  source: string,
  destination: string,
  options: ErofsOptions,
): Promise<void> {
  const owner = options.allRoot ? ['--all-root'] : [];
  const uuid = fixedUuid('sparkler');
  const settings = ['--quiet', '-d1', '-x-1', `-T${FILE_TIME_S}`, '-U', uuid, ...owner];
  await run('mkfs.erofs', [...settings, destination, source], { timeoutMs: options.timeoutMs });
  const { size } = await stat(destination);
  await truncate(destination, Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES);
}

function fixedUuid(seed: string): string {
  const hex = createHash('sha256').update(seed).digest('hex');
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `5${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
  ];
  return [...parts, hex.slice(20, 32)].join('-');
}
