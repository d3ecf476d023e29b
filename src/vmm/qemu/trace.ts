/** QEMU's trace points, which it writes to stderr among what it says there otherwise. */
import type { Readable } from 'node:stream';
import type { Tail } from '../tail.js';

type TraceListener = (line: string) => void;

/** The trace points that are switched on while somebody listens; see devices.ts. */
export const TRACE_POINTS = {
  /** virtio-mem has answered the guest: what it asked for is done. */
  answered: 'virtio_mem_send_response',
  /** The guest has said how large its balloon is. */
  ballooned: 'virtio_balloon_set_config',
} as const;

const PREFIXES = Object.values(TRACE_POINTS).map((name) => `${name} `);

/** Longer lines are no trace points' and need not be held back until they end. */
const MAX_LINE_CHARS = 4096;

/** Parts stderr into trace points, for listeners, and all else, for the tail. */
export class Traces {
  readonly #tail: Tail;
  readonly #listeners = new Set<TraceListener>();
  #rest = '';

  constructor(stderr: Readable, tail: Tail) {
    this.#tail = tail;
    stderr.on('data', (chunk: Buffer) => this.#take(chunk.toString('latin1')));
    stderr.on('end', () => this.#flush());
    // A pipe that breaks is a VMM that ends: its `exited` says so.
    stderr.on('error', () => undefined);
  }

  /** Tells `listener` of each trace point until what is returned is called. */
  listen(listener: TraceListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (PREFIXES.some((prefix) => line.startsWith(prefix))) this.#tell(line);
      else this.#keep(`${line}\n`);
    }
    const mayBeTrace = PREFIXES.some(
      (prefix) => this.#rest.startsWith(prefix) || prefix.startsWith(this.#rest),
    );
    if (!mayBeTrace || this.#rest.length > MAX_LINE_CHARS) this.#flush();
  }

  #tell(line: string): void {
    for (const listener of this.#listeners) listener(line);
  }

  #flush(): void {
    this.#keep(this.#rest);
    this.#rest = '';
  }

  #keep(text: string): void {
    if (text !== '') this.#tail.append(Buffer.from(text, 'latin1'));
  }
}
