import { ByteRing } from './ring.js';

/** What functions printed lately: a ring per function, and a bound on all of them together. */
export class FunctionLogs {
  readonly #perFunction: number;
  readonly #total: number;
  /** Least recently written first. */
  readonly #rings = new Map<string, ByteRing>();
  #bytes = 0;

  /**
   * @param perFunction bytes kept of one function.
   * @param total bytes kept of all: beyond them the function silent for longest is forgotten.
   */
  constructor(perFunction: number, total: number) {
    this.#perFunction = perFunction;
    this.#total = total;
  }

  append(name: string, bytes: Buffer): void {
    const ring = this.#rings.get(name) ?? new ByteRing(this.#perFunction);
    this.#bytes -= this.#rings.delete(name) ? ring.bytes : 0;
    ring.push(bytes);
    this.#rings.set(name, ring);
    this.#bytes += ring.bytes;
    for (const [oldest] of this.#rings) {
      if (this.#bytes <= this.#total || oldest === name) break;
      this.forget(oldest);
    }
  }

  text(name: string): string {
    return this.#rings.get(name)?.text() ?? '';
  }

  forget(name: string): void {
    this.#bytes -= this.#rings.get(name)?.bytes ?? 0;
    this.#rings.delete(name);
  }
}
