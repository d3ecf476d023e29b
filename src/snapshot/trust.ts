/**
 * Which files were found whole, so that they need not be read again at every restore. A file is
 * trusted for as long as it is the very file that was verified, with the size and the times of change
 * that it had then, and for what it was verified against. What changes a file through the kernel
 * changes its inode's time, which nobody can set; what a disk does behind the kernel's back is found
 * by `snapshot verify`, and by the strategies that read the pages themselves.
 */
import { stat } from 'node:fs/promises';
import { unusable } from './manifest.js';

/** A file that changes while it is read is read again, so often. */
const MAX_CHECKS = 3;

/** How a file looked at one moment; undefined when it could not be looked at. */
export type Look = string | undefined;

export class TrustedFiles {
  readonly #known = new Map<string, string>();
  readonly #checking = new Map<string, Promise<void>>();

  /**
   * Runs `check` unless the file is known to be as it was when a check against the same `proof`
   * succeeded. Afterwards the file is as the check found it.
   * @param proof what it is compared with: a checksum, or an id; empty when it carries its own.
   * @throws SparklerError SNAPSHOT_UNUSABLE when it goes on changing, and what `check` throws.
   */
  async verify(path: string, proof: string, check: () => Promise<void>): Promise<void> {
    for (let times = 0; times <= MAX_CHECKS; times++) {
      const now = await this.look(path);
      if (now !== undefined && this.#known.get(path) === known(now, proof)) return;
      // Restores that come together wait for one check, and then look whether it was of this file.
      const key = `${path}\n${proof}`;
      const running = this.#checking.get(key) ?? this.#check(path, proof, now, check, key);
      this.#checking.set(key, running);
      await running;
    }
    throw unusable(`${path} changes while it is read`);
  }

  /** For `trust`: to be called before the file is read. */
  async look(path: string): Promise<Look> {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return [dev, ino, size, mtimeNs, ctimeNs].join(':');
    } catch {
      // Whatever keeps it from being looked at keeps it from being trusted.
      return undefined;
    }
  }

  /** The file that looked so was written by us, and then summed up: `proof` came of it. */
  trust(path: string, proof: string, look: Look): void {
    if (look !== undefined) this.#known.set(path, known(look, proof));
  }

  forget(path: string): void {
    this.#known.delete(path);
  }

  /** Forgets all files in a folder. */
  forgetIn(dir: string): void {
    for (const path of this.#known.keys()) if (path.startsWith(`${dir}/`)) this.#known.delete(path);
  }

  async #check(
    path: string,
    proof: string,
    look: Look,
    check: () => Promise<void>,
    key: string,
  ): Promise<void> {
    try {
      await check();
      this.trust(path, proof, look);
    } finally {
      this.#checking.delete(key);
    }
  }
}

function known(look: string, proof: string): string {
  return `${look} ${proof}`;
}
