/**
 * The journal: every resource outside the daemon's memory is named here before it is made and
 * crossed out after it is gone, so that whoever finds the data folder later knows what to end.
 */
import type { Database, Statement } from 'better-sqlite3';
import { hostBootId } from './host.js';
import type { Intent, JournalEntry, ProcessIdentity, ResourceKind } from './rows.js';

interface Row {
  id: number;
  kind: string;
  name: string;
  vm_id: string | null;
  boot_id: string;
  pid: number | null;
  start_time: string | null;
  attributes: string;
}

export class Journal {
  readonly #insert: Statement;
  readonly #attach: Statement;
  readonly #delete: Statement;
  readonly #list: Statement<[], Row>;
  readonly #intendAll: (intents: readonly Intent[]) => number[];
  readonly #doneAll: (ids: readonly number[]) => void;

  constructor(db: Database) {
    this.#insert = db.prepare(
      `INSERT INTO journal (kind, name, vm_id, boot_id, attributes, created_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
    );
    this.#attach = db.prepare('UPDATE journal SET pid = ?, start_time = ? WHERE id = ?');
    this.#delete = db.prepare('DELETE FROM journal WHERE id = ?');
    this.#list = db.prepare('SELECT * FROM journal ORDER BY id');
    this.#intendAll = db.transaction((intents: readonly Intent[]) =>
      intents.map((intent) => this.#write(intent)),
    );
    this.#doneAll = db.transaction((ids: readonly number[]) => {
      for (const id of ids) this.#delete.run(id);
    });
  }

  /** Names a resource about to be made; the answer is its id in the journal. */
  intend(intent: Intent): number {
    return this.#write(intent);
  }

  /** Names all that one VM will need, in one transaction: all are written or none. */
  intendAll(intents: readonly Intent[]): number[] {
    return this.#intendAll(intents);
  }

  /** Tells which process the intent became. */
  attach(id: number, process: ProcessIdentity): void {
    this.#attach.run(process.pid, process.startTime, id);
  }

  /** Crosses out what is gone. Harmless when called again. */
  done(id: number): void {
    this.#delete.run(id);
  }

  doneAll(ids: readonly number[]): void {
    this.#doneAll(ids);
  }

  /** All that is not crossed out, oldest first. */
  entries(): JournalEntry[] {
    return this.#list.all().map(fromRow);
  }

  #write(intent: Intent): number {
    const attributes = JSON.stringify(intent.attributes ?? {});
    const { lastInsertRowid } = this.#insert.run(
      intent.kind,
      intent.name,
      intent.vmId ?? null,
      hostBootId(),
      attributes,
      Date.now(),
    );
    return Number(lastInsertRowid);
  }
}

function fromRow(row: Row): JournalEntry {
  return {
    id: row.id,
    kind: row.kind as ResourceKind,
    name: row.name,
    bootId: row.boot_id,
    attributes: JSON.parse(row.attributes) as Record<string, string | number>,
    ...(row.vm_id !== null && { vmId: row.vm_id }),
    ...(row.pid !== null &&
      row.start_time !== null && { process: { pid: row.pid, startTime: row.start_time } }),
  };
}
