/**
 * What this daemon has brought into the page cache. The kernel may have dropped it since: then a
 * restore is slower and no less right.
 */
export class PageCache {
  readonly #loads = new Map<string, Promise<void>>();

  /**
   * Runs `load` for the file unless it ran before and the file was not dropped since: one loader a
   * file, however many restores want it. A load that fails is forgotten.
   */
  once(path: string, load: () => Promise<void>): Promise<void> {
    const known = this.#loads.get(path);
    if (known) return known;
    const loading = load();
    this.#loads.set(path, loading);
    loading.catch(() => {
      if (this.#loads.get(path) === loading) this.#loads.delete(path);
    });
    return loading;
  }

  /** The file was loaded, or is being loaded, and was not dropped since. */
  has(path: string): boolean {
    return this.#loads.has(path);
  }

  /** The file was dropped from the page cache, or replaced. */
  dropped(path: string): void {
    this.#loads.delete(path);
  }

  /** All files of a folder are gone. */
  droppedIn(dir: string): void {
    for (const path of this.#loads.keys()) if (path.startsWith(`${dir}/`)) this.#loads.delete(path);
  }
}
