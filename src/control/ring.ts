/** Keeps the last bytes of a stream of text. */
export class ByteRing {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** @param limit bytes to keep. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes <= this.#limit) return;
    // Whole old chunks go first; what is too much of the oldest one left is cut off.
    let first = this.#chunks[0];
    while (first && this.#bytes - first.length >= this.#limit) {
      this.#chunks.shift();
      this.#bytes -= first.length;
      first = this.#chunks[0];
    }
    const excess = this.#bytes - this.#limit;
    if (first && excess > 0) {
      // A copy, so that the big chunk it came from can be freed.
      this.#chunks[0] = Buffer.from(first.subarray(excess));
      this.#bytes -= excess;
    }
  }

  /** The kept bytes as UTF-8, from the first whole character on. */
  text(): string {
    const all = Buffer.concat(this.#chunks);
    let start = 0;
    while (start < all.length && start < 4 && ((all[start] ?? 0) & 0xc0) === 0x80) start++;
    return all.toString('utf8', start);
  }
}

/** The last `limit` bytes of `text`, from a whole character on. */
export function lastBytes(text: string, limit: number): string {
  if (text.length * 3 <= limit) return text;
  const ring = new ByteRing(limit);
  ring.push(Buffer.from(text));
  return ring.text();
}
