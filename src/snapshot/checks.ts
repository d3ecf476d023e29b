/** The proofs that a snapshot is whole and fits. All throw SNAPSHOT_UNUSABLE with the reason. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isErrno } from '../errors.js';
import { unusable, type SnapshotManifest, type VmmIdentity } from './manifest.js';
import { crc32c } from './working-set/crc32c.js';

/** Bytes of device state under one checksum. */
const BLOCK_BYTES = 64 * 1024;

/** What a snapshot must match to be restored here and now. */
export interface Fitness {
  readonly vmm: VmmIdentity;
  readonly imageId: string;
  readonly kernelId: string;
}

/** CRC32C of each block of a device state, the last one shorter. */
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

/** The state file has the size and the checksums that the manifest names. */
export async function checkState(path: string, manifest: SnapshotManifest): Promise<void> {
  const state = await read(path, 'its state file');
  if (state.length !== manifest.stateBytes) throw unusable('its state file has another size');
  const sums = blockSums(state);
  const bad = sums.findIndex((sum, block) => sum !== manifest.stateSums[block]);
  if (bad >= 0) throw unusable(`its state file is damaged at byte ${bad * BLOCK_BYTES}`);
}

/** A memory id: SHA-256, hexadecimal. */
export const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The table of checksums is the one that the memory id is of. */
export async function checkDigest(path: string, digest: string): Promise<void> {
  if (digestOf(await read(path, 'its table of checksums')) === digest) return;
  throw unusable('its table of checksums is damaged');
}

/** The map of pages has its checksum. */
export async function checkSum(path: string, sum: number): Promise<void> {
  if (crc32c(await read(path, 'its map of pages')) === sum) return;
  throw unusable('its map of pages is damaged');
}

/** For `catch` after looking at the memory file. */
export function missingMemory(error: unknown): never {
  throw unusable('its memory file is missing', error);
}

/** Why the snapshot cannot run here; undefined when it can. */
export function findMisfit(manifest: SnapshotManifest, fitness: Fitness): string | undefined {
  const pairs: [string, string, string][] = [
    ['VMM', manifest.vmm.vmm, fitness.vmm.vmm],
    ['VMM version', manifest.vmm.version, fitness.vmm.version],
    ['machine type', manifest.vmm.machine, fitness.vmm.machine],
    ['CPU model', manifest.vmm.cpuModel, fitness.vmm.cpuModel],
    ['accelerator', manifest.vmm.accelerator, fitness.vmm.accelerator],
    ['image', manifest.imageId, fitness.imageId],
    ['kernel', manifest.kernelId, fitness.kernelId],
  ];
  const wrong = pairs.find(([, made, here]) => made !== here);
  if (wrong === undefined) return undefined;
  const [what, made, here] = wrong;
  return `it was made with ${what} ${made}, here it is ${here}`;
}

/** A whole file. @param what it is, for the reason when it is not there. */
export async function read(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw unusable(`${what} is missing`, error);
    throw error;
  }
}
