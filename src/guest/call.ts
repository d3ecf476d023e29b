/** One question to the guest that waits for its answer: settled once, by whoever comes first. */
export class Call<T> {
  readonly promise: Promise<T>;
  #resolve!: (value: T) => void;
  #reject!: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Nobody may be listening when the channel dies; whoever awaits it still gets the error.
    this.promise.catch(() => undefined);
  }

  /** Runs `expired` after `ms` unless the call is settled; replaces an earlier limit. */
  limit(ms: number, expired: () => void): this {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(expired, ms);
    return this;
  }

  resolve(value: T): void {
    clearTimeout(this.#timer);
    this.#resolve(value);
  }

  reject(error: Error): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }

  /** No answer is awaited any more, and no limit either: the promise never settles. */
  abandon(): void {
    clearTimeout(this.#timer);
  }
}
