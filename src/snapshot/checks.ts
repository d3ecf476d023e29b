/** Whether each file of a snapshot is what the manifest says. All throw SNAPSHOT_UNUSABLE. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isErrno } from '../errors.js';
import { unusable, type SnapshotManifest } from './manifest.js';
import { crc32c } from './working-set/crc32c.js';

/** Bytes of device state under one checksum. */
const BLOCK_BYTES = 64 * 1024;

/** CRC32C of each block. */
export function blockSums(bytes: Buffer): number[] {
  const sums: number[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    sums.push(crc32c(bytes.subarray(at, at + BLOCK_BYTES)));
  }
  return sums;
}

/** What a state file is verified against. */
export const stateProof = ({ stateBytes, stateSums }: SnapshotManifest): string =>
  [stateBytes, ...stateSums].join();

/** The device state. */
export async function checkState(path: string, manifest: SnapshotManifest): Promise<void> {
  const state = await read(path, 'its state file');
  if (state.length !== manifest.stateBytes) throw unusable('its state file has another size');
  const sums = blockSums(state);
  const bad = sums.findIndex((sum, block) => sum !== manifest.stateSums[block]);
  if (bad >= 0) throw unusable(`its state file is damaged at byte ${bad * BLOCK_BYTES}`);
}

/** SHA-256, hexadecimal. */
export const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The table of checksums. */
export async function checkDigest(path: string, digest: string): Promise<void> {
  if (digestOf(await read(path, 'its table of checksums')) === digest) return;
  throw unusable('its table of checksums is damaged');
}

/** The map of pages that are not zero. */
export async function checkSum(path: string, sum: number): Promise<void> {
  if (crc32c(await read(path, 'its map of pages')) === sum) return;
  throw unusable('its map of pages is damaged');
}

/** For what could not be looked at. */
export function missingMemory(error: unknown): never {
  throw unusable('its memory file is missing', error);
}

/** A file whole; `what` names it when it is missing. */
export async function read(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw unusable(`${what} is missing`, error);
    throw error;
  }
}
