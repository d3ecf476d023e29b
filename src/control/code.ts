/** Code drives on the disk: `functions/<name>/<codeId>/code.erofs` and its manifest. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, open, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { isErrno, SparklerError } from '../errors.js';
import type { Journal } from '../registry/index.js';
import type { BuiltCode, ImagePort } from './ports.js';

const DRIVE = 'code.erofs';
const MANIFEST = 'manifest.json';
const CODE_ID = /^[0-9a-f]{64}$/;

interface CodeManifest {
  readonly format: 1;
  readonly codeId: string;
  readonly bytes: number;
}

/** A drive in its place, not yet named by a function. */
export interface StoredCode extends BuiltCode {
  /** To be crossed out in the transaction that makes the function name the code. */
  readonly journalIds: readonly number[];
  /** Call when the function's record names the code, or the attempt was given up. */
  readonly settle: () => void;
}

export class CodeStore {
  readonly #dir: string;
  readonly #tmp: string;
  readonly #journal: Journal;
  /** Drives between their rename and their function's record: `sweep` leaves them. */
  readonly #incoming = new Map<string, number>();

  constructor(dataDir: string, journal: Journal) {
    this.#dir = join(dataDir, 'functions');
    this.#tmp = join(dataDir, 'tmp');
    this.#journal = journal;
  }

  /** Where the drive lies. @throws SparklerError FUNCTION_HAS_NO_CODE when it is not there whole. */
  drive(name: string, codeId: string): string {
    const dir = join(this.#dir, name, codeId);
    try {
      const manifest = readManifest(dir);
      const path = join(dir, DRIVE);
      if (statSync(path).size === manifest?.bytes) return path;
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
    throw new SparklerError(
      'FUNCTION_HAS_NO_CODE',
      `The code drive of ${name} is missing or damaged. Upload its code again.`,
      { field: 'func_name' },
    );
  }

  /** Builds a drive from the archive and puts it in its place. @throws what `buildCode` does. */
  async add(name: string, archive: Readable, images: ImagePort): Promise<StoredCode> {
    const work = join(this.#tmp, `code-${randomUUID()}`);
    const workId = this.#journal.intend({ kind: 'code-dir', name: work });
    try {
      await mkdir(work, { recursive: true, mode: 0o700 });
      const built = await images.buildCode(archive, join(work, DRIVE));
      await this.#finish(work, built);
      return await this.#place(name, built, work, workId);
    } catch (error) {
      await rm(work, { recursive: true, force: true });
      this.#journal.done(workId);
      throw error;
    }
  }

  /** Removes the drives of `name` that `inUse` does not want. */
  async sweep(name: string, inUse: (codeId: string) => boolean): Promise<void> {
    const folder = join(this.#dir, name);
    for (const codeId of list(folder)) {
      const dir = join(folder, codeId);
      if (inUse(codeId) || this.#incoming.has(dir) || !isOurs(dir, codeId)) continue;
      const id = this.#journal.intend({ kind: 'code-dir', name: dir });
      await rm(dir, { recursive: true, force: true });
      this.#journal.done(id);
    }
    // Only when nothing is left in it, of ours or anybody's.
    await rmdir(folder).catch(() => undefined);
  }

  /** Names of all functions that have a folder. */
  names(): string[] {
    return list(this.#dir);
  }

  async #finish(work: string, built: BuiltCode): Promise<void> {
    const manifest: CodeManifest = { format: 1, codeId: built.codeId, bytes: built.bytes };
    await writeFile(join(work, MANIFEST), `${JSON.stringify(manifest)}\n`);
    for (const path of [join(work, DRIVE), join(work, MANIFEST), work]) await sync(path);
  }

  async #place(name: string, built: BuiltCode, work: string, workId: number): Promise<StoredCode> {
    const target = join(this.#dir, name, built.codeId);
    this.#incoming.set(target, (this.#incoming.get(target) ?? 0) + 1);
    const settle = once(() => {
      const left = (this.#incoming.get(target) ?? 1) - 1;
      if (left > 0) this.#incoming.set(target, left);
      else this.#incoming.delete(target);
    });
    try {
      await mkdir(join(this.#dir, name), { recursive: true, mode: 0o700 });
      if (isOurs(target, built.codeId)) {
        // The same code again: the drive that is there serves.
        await rm(work, { recursive: true, force: true });
        return { ...built, journalIds: [workId], settle };
      }
      const targetId = await this.#move(work, target);
      return { ...built, journalIds: [workId, targetId], settle };
    } catch (error) {
      settle();
      throw error;
    }
  }

  /** Renames the finished folder into its place, journaled: the answer is the entry's id. */
  async #move(work: string, target: string): Promise<number> {
    const id = this.#journal.intend({ kind: 'code-dir', name: target });
    try {
      await rename(work, target);
      await sync(dirname(target));
      return id;
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      this.#journal.done(id);
      throw error;
    }
  }
}

/** The manifest, undefined when it is no manifest of ours. */
function readManifest(dir: string): CodeManifest | undefined {
  try {
    const parsed = JSON.parse(readFileSync(join(dir, MANIFEST), 'utf8')) as CodeManifest | null;
    return parsed?.format === 1 ? parsed : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Nothing is removed or reused that does not carry our manifest for its own name. */
function isOurs(dir: string, codeId: string): boolean {
  return CODE_ID.test(codeId) && readManifest(dir)?.codeId === codeId;
}

function list(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
