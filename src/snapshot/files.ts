/** A snapshot's folder: what its files are called, and its manifest on the disk. */
import { renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { StoredSnapshot } from '../registry/index.js';
import { encodeManifest, type SnapshotManifest } from './manifest.js';

export const MANIFEST = 'manifest.json';
export const MEMORY = 'memory';
export const STATE = 'state';
const SUMS = 'sums';
const NON_ZERO = 'nonzero';

/** A snapshot that was proved whole: what a restore is made of. */
export interface LoadedSnapshot {
  readonly manifest: SnapshotManifest;
  readonly memoryPath: string;
  readonly statePath: string;
  /** The memory's checksum table and the bitmap of its pages that are not zero. */
  readonly sumsPath: string;
  readonly nonZeroPath: string;
  /** Its folder, where what is recorded of it is kept. */
  readonly dir: string;
}

/** The record as the registry keeps it. */
export function recordOf(
  manifest: SnapshotManifest,
  dir: string,
  diskBytes: number,
): StoredSnapshot {
  const { ssId, vmId, functionName, vcpus, memMiB, image, kernel, codeId, createdAt } = manifest;
  const { settingsId } = manifest;
  return {
    ssId,
    vmId,
    functionName,
    statePath: resolve(dir, manifest.stateFile),
    memoryPath: resolve(dir, manifest.memoryFile),
    vcpus,
    memMiB,
    ...(manifest.memory && { memory: manifest.memory }),
    image,
    kernel,
    codeId,
    ...(settingsId !== undefined && { settingsId }),
    version: `${manifest.vmm.vmm} ${manifest.vmm.version}`,
    regions: manifest.regions,
    createdAt,
    diskBytes,
  };
}

/** Where the files of the snapshot in `dir` lie. */
export function loadedFrom(dir: string, manifest: SnapshotManifest): LoadedSnapshot {
  return {
    manifest,
    memoryPath: resolve(dir, manifest.memoryFile),
    statePath: resolve(dir, manifest.stateFile),
    sumsPath: join(dir, SUMS),
    nonZeroPath: join(dir, NON_ZERO),
    dir,
  };
}

/** Names of the files in a snapshot's folder that were made of its memory, or recorded of it. */
export async function derivedFiles(dir: string): Promise<string[]> {
  const names = await readdir(dir);
  return names.filter((name) => [SUMS, NON_ZERO].includes(name) || /\.(?:rec|wsf)$/.test(name));
}

/** A file's name as the manifest has it. */
export function relativeTo(dir: string, path: string): string {
  return path.startsWith(`${dir}/`) ? path.slice(dir.length + 1) : path;
}

/** In one turn of the event loop: nobody can delete the snapshot between the two calls. */
export function writeManifest(dir: string, manifest: SnapshotManifest): void {
  const temporary = join(dir, `${MANIFEST}.new`);
  writeFileSync(temporary, encodeManifest(manifest), { mode: 0o644 });
  try {
    renameSync(temporary, join(dir, MANIFEST));
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

/** Waits until what was written of a file or folder is on the disk. */
export async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
