/** Many readers or one writer at a time, first come first served. */
import { SparklerError } from '../errors.js';

/** Ends a turn; the next in line begins. Harmless when called again. */
export type Release = () => void;

interface Waiting {
  readonly alone: boolean;
  readonly begin: (release: Release) => void;
}

export class SharedTurns {
  #together = 0;
  #alone = false;
  #line: Waiting[] = [];

  /** Nobody has a turn or waits for one. */
  get idle(): boolean {
    return this.#together === 0 && !this.#alone && this.#line.length === 0;
  }

  /** Waits for a turn that others may share. */
  together(): Promise<Release> {
    return this.#take(false);
  }

  /** Waits for a turn that nobody shares. */
  alone(): Promise<Release> {
    return this.#take(true);
  }

  /** @throws SparklerError TOO_MANY_REQUESTS when more than `maxWaiting` wait already. */
  mustHaveRoom(maxWaiting: number): void {
    if (this.#line.length < maxWaiting) return;
    throw new SparklerError(
      'TOO_MANY_REQUESTS',
      `The snapshot is being worked on and ${maxWaiting} requests wait for it already. Try again later.`,
    );
  }

  #take(alone: boolean): Promise<Release> {
    return new Promise((begin) => {
      this.#line.push({ alone, begin });
      this.#next();
    });
  }

  #next(): void {
    for (;;) {
      const [first] = this.#line;
      if (first === undefined || this.#alone || (first.alone && this.#together > 0)) return;
      this.#line.shift();
      if (first.alone) this.#alone = true;
      else this.#together++;
      first.begin(this.#release(first.alone));
    }
  }

  #release(alone: boolean): Release {
    let over = false;
    return () => {
      if (over) return;
      over = true;
      if (alone) this.#alone = false;
      else this.#together--;
      this.#next();
    };
  }
}
