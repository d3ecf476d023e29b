/**
 * Who may touch a snapshot's files when: restores and those who only read share it; whoever replaces
 * or removes files has it alone, so that no VMM maps a file by the table of another one.
 */
import { SharedTurns, type Release } from './shared-turns.js';

/** Requests that may wait for one snapshot. */
const MAX_WAITING = 64;

export type Access = 'together' | 'alone';

export class SnapshotLocks {
  readonly #turns = new Map<string, SharedTurns>();

  /** A restore begins; whoever started it calls what this answers when the VMM has its files. */
  restoring(ssId: string): Promise<Release> {
    return this.#take(ssId, 'together');
  }

  /**
   * Runs `work` with access to the named snapshots.
   * @throws SparklerError TOO_MANY_REQUESTS, and what `work` throws.
   */
  async with<T>(wanted: Readonly<Record<string, Access>>, work: () => Promise<T>): Promise<T> {
    // In one order, so that no two wait for each other.
    const names = Object.keys(wanted).sort();
    for (const ssId of names) this.#turns.get(ssId)?.mustHaveRoom(MAX_WAITING);
    const releases: Release[] = [];
    try {
      for (const ssId of names) releases.push(await this.#take(ssId, wanted[ssId] ?? 'alone'));
      return await work();
    } finally {
      for (const release of releases) release();
    }
  }

  async #take(ssId: string, access: Access): Promise<Release> {
    const turns = this.#turns.get(ssId) ?? new SharedTurns();
    this.#turns.set(ssId, turns);
    const release = await turns[access]();
    return () => {
      release();
      if (turns.idle && this.#turns.get(ssId) === turns) this.#turns.delete(ssId);
    };
  }
}
