/** The last bytes of a stream, at most `limitBytes` of them. */
export class Tail {
  readonly #limitBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  append(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // Compacted at twice the limit, so that small chunks do not cost a copy each.
    if (this.#bytes > 2 * this.#limitBytes) this.#compact();
  }

  /** As text; a character cut in two at the front becomes U+FFFD. */
  toString(): string {
    this.#compact();
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  #compact(): void {
    const all = Buffer.concat(this.#chunks);
    const kept = all.subarray(Math.max(0, all.length - this.#limitBytes));
    this.#chunks = [kept];
    this.#bytes = kept.length;
  }
}
