/** What must survive a restart: functions, snapshots, and the journal, in one SQLite file. */
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database, { type Statement } from 'better-sqlite3';
import { isErrno, SparklerError } from '../errors.js';
import { Journal } from './journal.js';
import type { StoredFunction, StoredSnapshot } from './rows.js';
import { migrate } from './schema.js';

interface RecordRow {
  record: string;
}

interface FunctionRow extends RecordRow {
  placement: string | null;
}

/**
 * The open registry. It holds an exclusive lock on its file for as long as it is open: the kernel
 * drops the lock with the process, however that ends.
 *
 * Write-ahead log with `synchronous = NORMAL`: a commit costs a write into the page cache and no
 * fsync. What was committed survives the daemon's death by any signal; a power loss may take the
 * last commits but never the file's integrity. Functions are the user's word and are committed
 * with an fsync (`FULL`). Snapshots need none: their manifests are the truth after a power loss.
 */
export class Registry {
  readonly journal: Journal;
  readonly #db: Database.Database;
  readonly #putFunction: Statement;
  readonly #dropFunction: Statement;
  readonly #functions: Statement<[], FunctionRow>;
  readonly #putSnapshot: Statement;
  readonly #dropSnapshot: Statement;
  readonly #snapshots: Statement<[], RecordRow>;
  readonly #memoryPeaks: Statement<[string], RecordRow>;
  readonly #putMemoryPeaks: Statement;

  private constructor(db: Database.Database) {
    this.#db = db;
    this.journal = new Journal(db);
    this.#putFunction = db.prepare(
      `INSERT INTO functions (name, code_id, record, created_at, placement) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET code_id = excluded.code_id, record = excluded.record,
         placement = excluded.placement`,
    );
    this.#dropFunction = db.prepare('DELETE FROM functions WHERE name = ?');
    this.#functions = db.prepare('SELECT record, placement FROM functions ORDER BY name');
    this.#putSnapshot = db.prepare(
      `INSERT INTO snapshots (ss_id, function_name, code_id, record, created_at)
       VALUES (?, ?, ?, ?, ?) ON CONFLICT (ss_id) DO UPDATE SET record = excluded.record`,
    );
    this.#dropSnapshot = db.prepare('DELETE FROM snapshots WHERE ss_id = ?');
    this.#snapshots = db.prepare('SELECT record FROM snapshots ORDER BY created_at, ss_id');
    this.#memoryPeaks = db.prepare(
      'SELECT peaks AS record FROM memory_peaks WHERE function_name = ?',
    );
    // A VM may outlive its function by a moment: what it learns then is of no use.
    this.#putMemoryPeaks = db.prepare(
      `INSERT INTO memory_peaks (function_name, peaks)
       SELECT name, ? FROM functions WHERE name = ?
       ON CONFLICT (function_name) DO UPDATE SET peaks = excluded.peaks`,
    );
  }

  /**
   * Opens `dataDir/registry.sqlite`, making both when missing.
   * @throws SparklerError DATA_IN_USE when another daemon has it open, at once; INVALID_CONFIG
   * when the folder cannot be used or was written by a newer Sparkler.
   */
  static open(dataDir: string): Registry {
    const path = join(dataDir, 'registry.sqlite');
    let db: Database.Database | undefined;
    try {
      mkdirSync(dataDir, { recursive: true, mode: 0o700 });
      db = new Database(path, { timeout: 0 });
      // It holds the functions' environments; SQLite gives its other files the same mode.
      chmodSync(path, 0o600);
      lock(db);
      migrate(db, path);
      return new Registry(db);
    } catch (error) {
      db?.close();
      throw openError(error, dataDir, path);
    }
  }

  /** Everything that `work` writes is committed together, or not at all when it throws. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work)();
  }

  functions(): StoredFunction[] {
    return this.#functions.all().map(({ record, placement }) => ({
      ...(JSON.parse(record) as Omit<StoredFunction, 'placement'>),
      placement: JSON.parse(placement ?? '{}') as StoredFunction['placement'],
    }));
  }

  /** Creates or replaces; on disk when this returns. `alsoDone` are journal ids that end with it. */
  putFunction(record: StoredFunction, alsoDone: readonly number[] = []): void {
    this.#durably(() => {
      const { placement, ...rest } = record;
      const rules = Object.keys(placement).length > 0 ? JSON.stringify(placement) : null;
      const { name, codeId = null, createdAt } = record;
      this.#putFunction.run(name, codeId, JSON.stringify(rest), createdAt, rules);
      this.journal.doneAll(alsoDone);
    });
  }

  dropFunction(name: string): void {
    this.#durably(() => this.#dropFunction.run(name));
  }

  snapshots(): StoredSnapshot[] {
    return this.#snapshots.all().map((row) => JSON.parse(row.record) as StoredSnapshot);
  }

  /** Creates, or replaces the record of the same id. */
  putSnapshot(record: StoredSnapshot): void {
    const { ssId, functionName, codeId, createdAt } = record;
    this.#putSnapshot.run(ssId, functionName, codeId, JSON.stringify(record), createdAt);
  }

  dropSnapshot(ssId: string): void {
    this.#dropSnapshot.run(ssId);
  }

  /** What a function's instances have needed at most, bytes, oldest first. */
  memoryPeaks(functionName: string): readonly number[] {
    const row = this.#memoryPeaks.get(functionName);
    return row === undefined ? [] : (JSON.parse(row.record) as number[]);
  }

  /** Replaces them. They are lost with the function. */
  putMemoryPeaks(functionName: string, peaks: readonly number[]): void {
    this.#putMemoryPeaks.run(JSON.stringify(peaks), functionName);
  }

  /** Lets the lock go. */
  close(): void {
    this.#db.close();
  }

  #durably(work: () => void): void {
    this.#db.pragma('synchronous = FULL');
    try {
      this.#db.transaction(work)();
    } finally {
      this.#db.pragma('synchronous = NORMAL');
    }
  }
}

/** Takes the exclusive lock and keeps it: in this mode SQLite never releases what it once took. */
function lock(db: Database.Database): void {
  db.pragma('locking_mode = EXCLUSIVE');
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  db.exec('BEGIN IMMEDIATE; COMMIT');
}

function openError(error: unknown, dataDir: string, path: string): unknown {
  if (isErrno(error, 'SQLITE_BUSY') || isErrno(error, 'SQLITE_LOCKED')) {
    return new SparklerError(
      'DATA_IN_USE',
      `Another Sparkler daemon is using the data folder ${dataDir}. ` +
        'Stop it, or choose another folder with dataDir.',
      { field: 'dataDir' },
      error,
    );
  }
  for (const code of ['EACCES', 'EROFS', 'ENOTDIR', 'SQLITE_CANTOPEN', 'SQLITE_READONLY']) {
    if (isErrno(error, code))
      return unusable(`The data folder ${dataDir} cannot be written`, error);
  }
  for (const code of ['SQLITE_NOTADB', 'SQLITE_CORRUPT']) {
    if (isErrno(error, code)) return unusable(`${path} is not a Sparkler registry`, error);
  }
  return error;
}

function unusable(what: string, error: unknown): SparklerError {
  const reason = error instanceof Error ? error.message : String(error);
  return new SparklerError('INVALID_CONFIG', `${what}: ${reason}.`, { field: 'dataDir' }, error);
}
