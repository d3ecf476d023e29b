/** The last bytes that a function wrote, in bounded memory. */
export class LogTail {
  readonly #limit: number;
  /** Twice the limit, so that moving the last bytes to its front is rare. */
  #buffer: Buffer | undefined;
  #used = 0;
  #dropped = 0;

  /** `limit`: how many of the last bytes are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(bytes: Buffer): void {
    this.#buffer ??= Buffer.alloc(2 * this.#limit);
    const chunk = bytes.subarray(Math.max(0, bytes.length - this.#limit));
    this.#dropped += bytes.length - chunk.length;
    if (this.#used + chunk.length > this.#buffer.length) {
      const kept = Math.min(this.#used, this.#limit);
      this.#dropped += this.#used - kept;
      this.#buffer.copyWithin(0, this.#used - kept, this.#used);
      this.#used = kept;
    }
    this.#used += chunk.copy(this.#buffer, this.#used);
  }

  /** The last bytes as UTF-8; when there were more, a first line that says how many. */
  toString(): string {
    if (this.#buffer === undefined) return '';
    const from = Math.max(0, this.#used - this.#limit);
    const dropped = this.#dropped + from;
    const kept = this.#buffer.toString('utf8', from, this.#used);
    return dropped === 0 ? kept : `[${dropped} earlier bytes left out]\n${kept}`;
  }
}
