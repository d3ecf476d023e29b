import { SparklerError } from '../errors.js';

/** Ends a turn; the next in line begins. Harmless when called again. */
export type Release = () => void;

interface Waiting {
  readonly begin: (release: Release) => void;
  readonly fail: (error: SparklerError) => void;
}

/** One at a time, first come first served, with a bounded line. */
export class Turns {
  #taken = false;
  #line: Waiting[] = [];
  #closed: SparklerError | undefined;

  /** Somebody has the turn. */
  get taken(): boolean {
    return this.#taken;
  }

  /**
   * Waits for a turn.
   * @param maxWaiting how many may wait at once.
   * @throws SparklerError TOO_MANY_REQUESTS when the line is full, at once; what `close` was given.
   */
  take(maxWaiting: number): Promise<Release> {
    if (this.#closed) return Promise.reject(this.#closed);
    if (!this.#taken) {
      this.#taken = true;
      return Promise.resolve(this.#release());
    }
    if (this.#line.length >= maxWaiting) {
      return Promise.reject(
        new SparklerError(
          'TOO_MANY_REQUESTS',
          `The VM is busy and ${maxWaiting} more wait for it already. Try again later.`,
        ),
      );
    }
    return new Promise((begin, fail) => this.#line.push({ begin, fail }));
  }

  /** Fails all who wait and all who come later. Whoever has the turn keeps it. */
  close(error: SparklerError): void {
    this.#closed ??= error;
    const line = this.#line;
    this.#line = [];
    for (const waiting of line) waiting.fail(error);
  }

  #release(): Release {
    let over = false;
    return () => {
      if (over) return;
      over = true;
      const next = this.#line.shift();
      if (next) next.begin(this.#release());
      else this.#taken = false;
    };
  }
}
