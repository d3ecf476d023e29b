/** What instances have needed at most, per function, over restarts of the daemon. */
import { withPeak } from './population.js';

/** Where peaks are kept; the registry is one. */
export interface PeakStore {
  /** Bytes, oldest first; none when nothing is known. */
  memoryPeaks(functionName: string): readonly number[];
  putMemoryPeaks(functionName: string, peaks: readonly number[]): void;
}

export class Peaks {
  readonly #store: PeakStore;
  /** What each living instance has added, and after which older peaks. */
  readonly #added = new WeakMap<object, number>();

  constructor(store: PeakStore) {
    this.#store = store;
  }

  /** Bytes, oldest first. */
  of(functionName: string): readonly number[] {
    return this.#store.memoryPeaks(functionName);
  }

  /** The peak of one instance so far. Called again for the same one, the higher peak stays. */
  learn(functionName: string, instance: object, bytes: number): void {
    const before = this.#added.get(instance);
    if (before !== undefined && before >= bytes) return;
    this.#added.set(instance, bytes);
    const peaks = [...this.of(functionName)];
    // Its lower peak, unless newer ones have pushed that out.
    const at = before === undefined ? -1 : peaks.lastIndexOf(before);
    if (at >= 0) peaks[at] = bytes;
    this.#store.putMemoryPeaks(functionName, at >= 0 ? peaks : withPeak(peaks, bytes));
  }
}
