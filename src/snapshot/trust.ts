/**
 * Which files were found whole, so that they need not be read again at every restore. A file is
 * trusted for as long as its inode, size and time of change of its contents are those that it had
 * when it was verified. What changes a file through the kernel changes that time; what a disk does
 * behind the kernel's back is found by `snapshot verify`, and by the strategies that read the pages
 * themselves.
 */
import { stat } from 'node:fs/promises';

export class TrustedFiles {
  readonly #known = new Map<string, string>();
  readonly #checking = new Map<string, Promise<void>>();

  /** Runs `check` unless the file is known to be as it was when a check succeeded. */
  async verify(path: string, check: () => Promise<void>): Promise<void> {
    const now = await fingerprint(path);
    if (now !== undefined && this.#known.get(path) === now) return;
    // Restores that come together wait for one check.
    const running = this.#checking.get(path) ?? this.#check(path, now, check);
    this.#checking.set(path, running);
    await running;
  }

  /** The file was just written by us and summed up: it is whole. */
  async trust(path: string): Promise<void> {
    const now = await fingerprint(path);
    if (now !== undefined) this.#known.set(path, now);
  }

  forget(path: string): void {
    this.#known.delete(path);
  }

  async #check(
    path: string,
    before: string | undefined,
    check: () => Promise<void>,
  ): Promise<void> {
    try {
      await check();
      // What changed while it was read is looked at again the next time.
      if (before !== undefined) this.#known.set(path, before);
    } finally {
      this.#checking.delete(path);
    }
  }
}

/** Undefined when the file is not there: the check will say so. */
async function fingerprint(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  } catch {
    // Whatever keeps it from being looked at keeps it from being trusted.
    return undefined;
  }
}
