/**
 * Ends what the journal names and nothing else: what a daemon that was killed left behind. In
 * order: processes, the cgroups that held them, then files and folders.
 */
import {
  existsSync,
  lstatSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, normalize, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../errors.js';
import { hostBootId, startTimeOf } from './host.js';
import type { Journal } from './journal.js';
import type { JournalEntry } from './rows.js';

export interface ReclaimOptions {
  /** Folders in which files and folders may be removed: the data folder, the snapshot folders. */
  readonly roots: readonly string[];
  /** How long killed processes may take to go, and cgroups to be removable, milliseconds. */
  readonly waitMs: number;
  /** Where cgroups are mounted. */
  readonly cgroupMount?: string;
  /**
   * Whether a file or folder turned out to be worth keeping, although its entry is open: the commit
   * that crossed it out may be lost with a power loss.
   */
  readonly keep?: (entry: JournalEntry) => Promise<boolean>;
  /** Told what could not be ended: it stays in the journal for the next time. */
  readonly warn: (entry: JournalEntry, reason: string) => void;
}

/** What was ended, by kind. */
export type Reclaimed = Record<'processes' | 'cgroups' | 'files' | 'folders', number>;

/** Pause between two looks at something that is about to go, milliseconds. */
const LOOK_AGAIN_MS = 5;

/** Reads the journal, ends what it names, and crosses that out. Counts only what existed. */
export async function reclaim(journal: Journal, options: ReclaimOptions): Promise<Reclaimed> {
  const found: Reclaimed = { processes: 0, cgroups: 0, files: 0, folders: 0 };
  const entries = journal.entries();
  const run = new Reclaim(options, found);
  const groups = entries.filter((entry) => entry.kind === 'cgroup');
  const processes = entries.filter((entry) => entry.kind === 'process');
  const paths = entries.filter((entry) => entry.kind !== 'cgroup' && entry.kind !== 'process');
  for (const entry of groups) run.killGroup(entry);
  for (const entry of processes) if (await run.endProcess(entry)) journal.done(entry.id);
  for (const entry of groups) if (await run.removeGroup(entry)) journal.done(entry.id);
  // All are looked at before any is removed: a snapshot has several.
  const kept = await Promise.all(paths.map(async (entry) => options.keep?.(entry)));
  paths.forEach((entry, i) => {
    if (kept[i] === true || run.removePath(entry)) journal.done(entry.id);
  });
  return found;
}

class Reclaim {
  readonly #options: ReclaimOptions;
  readonly #found: Reclaimed;
  readonly #mount: string;

  constructor(options: ReclaimOptions, found: Reclaimed) {
    this.#options = options;
    this.#found = found;
    this.#mount = options.cgroupMount ?? '/sys/fs/cgroup';
  }

  /** Kills all that is in the cgroup, whatever its pid: the kernel knows who is inside. */
  killGroup(entry: JournalEntry): void {
    if (this.#groupRefusal(entry) !== undefined || !existsSync(entry.name)) return;
    const members = this.#members(entry.name);
    this.#found.processes += members.length;
    if (members.length === 0) return;
    try {
      writeFileSync(`${entry.name}/cgroup.kill`, '1');
    } catch (error) {
      // Before Linux 5.14 there is no cgroup.kill.
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'EACCES')) throw error;
      for (const pid of members) kill(pid);
    }
  }

  /** True when the journaled process is gone. A process that only has its pid is left alone. */
  async endProcess(entry: JournalEntry): Promise<boolean> {
    const was = entry.process;
    // No pid: it was never spawned, or is in the cgroup that was just killed.
    if (was === undefined || entry.bootId !== hostBootId()) return true;
    const alive = (): boolean => startTimeOf(was.pid) === was.startTime;
    if (!alive()) return true;
    this.#found.processes += kill(was.pid) ? 1 : 0;
    return this.#until(() => !alive(), entry, `process ${was.pid} did not end after SIGKILL`);
  }

  async removeGroup(entry: JournalEntry): Promise<boolean> {
    const refusal = this.#groupRefusal(entry);
    if (refusal !== undefined) {
      this.#options.warn(entry, refusal);
      return false;
    }
    if (!existsSync(entry.name)) return true;
    const gone = await this.#until(
      () => removeEmpty(entry.name),
      entry,
      'the cgroup could not be removed',
    );
    if (gone) this.#found.cgroups++;
    return gone;
  }

  removePath(entry: JournalEntry): boolean {
    const refusal = this.#pathRefusal(entry.name);
    if (refusal === 'gone') return true;
    if (refusal !== undefined) {
      this.#options.warn(entry, refusal);
      return false;
    }
    if (lstatSync(entry.name, { throwIfNoEntry: false }) === undefined) return true;
    try {
      // A link is removed, never followed: rmSync does not leave the folder.
      rmSync(entry.name, { recursive: entry.kind !== 'file', force: true });
    } catch (error) {
      this.#options.warn(entry, error instanceof Error ? error.message : String(error));
      return false;
    }
    if (entry.kind === 'file') this.#found.files++;
    else this.#found.folders++;
    return true;
  }

  /** Why this cgroup is not ours to touch; undefined when it is. */
  #groupRefusal(entry: JournalEntry): string | undefined {
    if (!isInside(entry.name, this.#mount)) return `it is not inside ${this.#mount}`;
    const named = entry.vmId !== undefined && basename(entry.name).includes(entry.vmId);
    return named ? undefined : 'its name does not carry the id of its VM';
  }

  /** Why this path is not ours to remove, `gone` when not even its folder exists. */
  #pathRefusal(path: string): string | undefined {
    let parent: string;
    try {
      parent = realpathSync(dirname(path));
    } catch (error) {
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return 'gone';
      throw error;
    }
    const real = `${parent}/${basename(path)}`;
    const inside = this.#options.roots.some(
      (root) => existsSync(root) && isInside(real, realpathSync(root)),
    );
    return inside ? undefined : 'it is not inside the data folder or a snapshot folder';
  }

  #members(group: string): number[] {
    try {
      return readFileSync(`${group}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async #until(done: () => boolean, entry: JournalEntry, otherwise: string): Promise<boolean> {
    const deadline = performance.now() + this.#options.waitMs;
    while (!done()) {
      if (performance.now() > deadline) {
        this.#options.warn(entry, otherwise);
        return false;
      }
      await sleep(LOOK_AGAIN_MS);
    }
    return true;
  }
}

/** True when a process was there to be killed. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
}

/** True when the cgroup is gone; it stays busy until its last process was collected. */
function removeEmpty(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return true;
    if (isErrno(error, 'EBUSY')) return false;
    throw error;
  }
}

/** True when `path` is below `folder` (not the folder itself), judged by their names alone. */
function isInside(path: string, folder: string): boolean {
  if (!isAbsolute(path) || normalize(path) !== path) return false;
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}
