/**
 * What was computed from files of a snapshot and is asked for at every restore: kept for as long as
 * the files are the very ones it was computed from.
 */
import type { TrustedFiles } from './trust.js';

/** Results that are kept; the one that was not used for the longest time goes first. */
const MAX_KEPT = 256;

interface Kept {
  readonly looks: string;
  readonly value: unknown;
}

export class Derived {
  readonly #trusted: Pick<TrustedFiles, 'look'>;
  readonly #kept = new Map<string, Kept>();

  constructor(trusted: Pick<TrustedFiles, 'look'>) {
    this.#trusted = trusted;
  }

  /**
   * What `make` answers, or answered before from the same files.
   * @param name says what it is: one name, one type.
   * @param paths the files that it is made of; one that does not exist counts as such.
   */
  async of<T>(name: string, paths: readonly string[], make: () => Promise<T>): Promise<T> {
    const key = [name, ...paths].join('\n');
    const looks = await this.#look(paths);
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    if (known?.looks === looks) {
      this.#kept.set(key, known);
      return known.value as T;
    }
    const value = await make();
    // Files that changed meanwhile may be in it, half old and half new: it is made again next time.
    if ((await this.#look(paths)) === looks) this.#keep(key, { looks, value });
    return value;
  }

  #keep(key: string, kept: Kept): void {
    this.#kept.set(key, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_KEPT) return;
      this.#kept.delete(oldest);
    }
  }

  async #look(paths: readonly string[]): Promise<string> {
    const looks = await Promise.all(paths.map((path) => this.#trusted.look(path)));
    return looks.map((look) => look ?? '').join('\n');
  }
}
