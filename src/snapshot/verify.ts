/** Reading a snapshot in full, whatever is known of it. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { dropCache } from './patch.js';
import { derivedFiles, relativeTo } from './files.js';
import type { SnapshotStore } from './store.js';
import { WORKING_SET_USES, WorkingSets } from './working-sets.js';

/** What was read, and found whole. */
export interface Verified {
  readonly memoryId: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
  /** Recordings and files made of them that were damaged, and are gone now: what and why. */
  readonly dropped: readonly string[];
}

/**
 * Reads every byte of the snapshot from the disk and verifies it. What is only derived, and damaged,
 * is dropped.
 * @throws SparklerError SNAPSHOT_UNUSABLE with the reason when the snapshot itself is damaged.
 */
export async function verifyAll(store: SnapshotStore, ssId: string): Promise<Verified> {
  const loaded = await store.verify({ ssId });
  const { dir, manifest, memoryPath, statePath } = loaded;
  const dropped: string[] = [];
  const sets = new WorkingSets(loaded, store, (message) => {
    dropped.push(message);
  });
  await sets.recordings();
  await sets.written();
  for (const use of WORKING_SET_USES) {
    const path = sets.filePath(use);
    if ((await sets.file(use)) === undefined) continue;
    store.trusted.forget(path);
    store.cache.dropped(path);
    await dropCache(path, store.tools.limitMs);
    await sets.file(use);
  }
  const derived = (await derivedFiles(dir)).map((name) => join(dir, name));
  const files = [memoryPath, statePath, ...derived].map(async (path) => {
    return { name: relativeTo(dir, path), bytes: (await stat(path)).size };
  });
  return { memoryId: manifest.memoryId, files: await Promise.all(files), dropped };
}
