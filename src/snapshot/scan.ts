/** At the daemon's start: the registry's snapshots and the folders on the disk are made to agree. */
import { readdirSync } from 'node:fs';
import { SparklerError } from '../errors.js';
import type { Registry, StoredSnapshot } from '../registry/index.js';
import type { SnapshotStore } from './store.js';

export interface ScanResult {
  /** Usable, and in the registry. */
  readonly kept: StoredSnapshot[];
  /** Were in the registry, are not usable, and were removed. */
  readonly dropped: { readonly ssId: string; readonly reason: string }[];
  /** Folders without a usable manifest that nobody claims: left alone. */
  readonly strange: { readonly name: string; readonly reason: string }[];
}

/**
 * A manifest is the truth: what has a good one is a snapshot, also when its row is missing (a power
 * loss may take a row, never a durable manifest); a row without one is dropped with its files.
 * Call after `reclaim`, which has removed what was half made.
 */
export async function scanSnapshots(
  registry: Registry,
  store: SnapshotStore,
  functions: ReadonlySet<string>,
): Promise<ScanResult> {
  const rows = new Map(registry.snapshots().map((row) => [row.ssId, row]));
  const result: ScanResult = { kept: [], dropped: [], strange: [] };
  const names = readdirSync(store.dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  for (const ssId of new Set([...rows.keys(), ...names])) {
    const row = rows.get(ssId);
    const found = await inspect(store, ssId, functions);
    if (typeof found !== 'string') {
      registry.putSnapshot(found);
      result.kept.push(found);
    } else if (row === undefined) {
      result.strange.push({ name: ssId, reason: found });
    } else {
      const ids = registry.journal.intendAll(store.removalIntents(row));
      await store.remove(row);
      registry.transaction(() => {
        registry.dropSnapshot(ssId);
        registry.journal.doneAll(ids);
      });
      result.dropped.push({ ssId, reason: found });
    }
  }
  return result;
}

/** The record, or why it is none. */
async function inspect(
  store: SnapshotStore,
  ssId: string,
  functions: ReadonlySet<string>,
): Promise<StoredSnapshot | string> {
  try {
    const record = await store.inspect(ssId);
    if (functions.has(record.functionName)) return record;
    return `its function ${record.functionName} does not exist`;
  } catch (error) {
    if (error instanceof SparklerError && error.code === 'SNAPSHOT_UNUSABLE') return error.message;
    throw error;
  }
}
