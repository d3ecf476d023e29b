/** The registry's tables, as steps from one schema version to the next. Steps are never edited. */
import type { Database } from 'better-sqlite3';
import { SparklerError } from '../errors.js';

/** `MIGRATIONS[n]` leads from version n to n + 1; SQLite's `user_version` holds the version. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE functions (
    name       TEXT PRIMARY KEY,
    code_id    TEXT,
    record     TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE snapshots (
    ss_id         TEXT PRIMARY KEY,
    function_name TEXT NOT NULL,
    code_id       TEXT NOT NULL,
    record        TEXT NOT NULL,
    created_at    INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX snapshots_by_function ON snapshots (function_name);
  CREATE TABLE journal (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    vm_id      TEXT,
    boot_id    TEXT NOT NULL,
    pid        INTEGER,
    start_time TEXT,
    attributes TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE memory_peaks (
    function_name TEXT PRIMARY KEY,
    peaks         TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER memory_peaks_of_function AFTER DELETE ON functions BEGIN
    DELETE FROM memory_peaks WHERE function_name = OLD.name;
  END;
  `,
  // Where a function's invocations go, JSON; null: as the configuration says.
  'ALTER TABLE functions ADD COLUMN placement TEXT;',
];

/**
 * Brings the database to the newest version, all steps or none.
 * @throws SparklerError INVALID_CONFIG when it was written by a newer Sparkler.
 */
export function migrate(db: Database, path: string): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > MIGRATIONS.length) {
    throw new SparklerError(
      'INVALID_CONFIG',
      `${path} has schema version ${version}, this Sparkler knows up to ${MIGRATIONS.length}: ` +
        'use the newer Sparkler, or another data folder.',
      { field: 'dataDir' },
    );
  }
  db.transaction(() => {
    for (const step of MIGRATIONS.slice(version)) db.exec(step);
    db.pragma(`user_version = ${MIGRATIONS.length}`);
  })();
}
