/** QMP, QEMU's control protocol: one JSON document a line. Source: QEMU's docs/interop/qmp-spec. */
import type { Duplex } from 'node:stream';
import { SparklerError } from '../../errors.js';

interface QmpError {
  readonly class: string;
  readonly desc: string;
}

interface QmpMessage {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: QmpError;
  readonly event?: string;
  readonly data?: Record<string, unknown>;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: SparklerError) => void;
}

interface EventWait {
  readonly matches: (event: string, data: Record<string, unknown>) => boolean;
  readonly resolve: (data: Record<string, unknown>) => void;
  readonly reject: (error: SparklerError) => void;
}

type EventListener = (event: string, data: Record<string, unknown>) => void;

/** A longer line is not QMP: the VMM is broken. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/**
 * A connection to one QEMU. Answers come in the order of the commands, so that commands may be sent
 * without waiting for each other. Waits have no limit of their own: the machine above has one.
 */
export class Qmp {
  /** Resolves when QEMU has greeted and accepted its capabilities, or answers at all. */
  readonly ready: Promise<void>;
  readonly #stream: Duplex;
  readonly #pending: Pending[] = [];
  readonly #events = new Set<EventWait>();
  readonly #listeners = new Set<EventListener>();
  #buffer = '';
  #ended: SparklerError | undefined;

  /** @param isOpen the QEMU behind it was forked from one that had greeted and accepted before. */
  constructor(stream: Duplex, isOpen = false) {
    this.#stream = stream;
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => this.#onData(chunk));
    stream.on('close', () => this.#end('the connection closed'));
    stream.on('error', (error) => this.#end(error.message));
    // The command waits in QEMU's socket until QEMU reads it, after its greeting.
    this.ready = this.execute(isOpen ? 'query-status' : 'qmp_capabilities').then(() => undefined);
    this.ready.catch(() => undefined);
  }

  /** @throws SparklerError VMM_FAILED with QEMU's own words, or when QEMU is gone. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      this.#pending.push({ command, resolve, reject });
      // QEMU reads byte by byte, with several system calls for each: no word too many.
      const request = { execute: command, ...(args && { arguments: args }) };
      this.#stream.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** Resolves with the next matching event's data. @throws SparklerError VMM_FAILED: QEMU is gone. */
  waitEvent(
    matches: (event: string, data: Record<string, unknown>) => boolean,
  ): Promise<Record<string, unknown>> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      this.#events.add({ matches, resolve, reject });
    });
  }

  /** Tells `listener` of each event until what is returned is called. */
  listen(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #onData(chunk: string): void {
    this.#buffer += chunk;
    let end: number;
    while ((end = this.#buffer.indexOf('\n')) >= 0) {
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
      if (line.trim() !== '') this.#onLine(line);
    }
    if (this.#buffer.length > MAX_LINE_BYTES) this.#stream.destroy();
  }

  #onLine(line: string): void {
    let message: QmpMessage;
    try {
      message = JSON.parse(line) as QmpMessage;
    } catch {
      this.#stream.destroy();
      return;
    }
    if (message.event !== undefined) this.#onEvent(message.event, message.data ?? {});
    else if (message.QMP === undefined) this.#onAnswer(message);
  }

  #onEvent(event: string, data: Record<string, unknown>): void {
    for (const listener of this.#listeners) listener(event, data);
    for (const wait of this.#events) {
      if (!wait.matches(event, data)) continue;
      this.#events.delete(wait);
      wait.resolve(data);
    }
  }

  #onAnswer(message: QmpMessage): void {
    const pending = this.#pending.shift();
    if (pending === undefined) return;
    if (message.error === undefined) {
      pending.resolve(message.return);
      return;
    }
    const { desc } = message.error;
    pending.reject(new SparklerError('VMM_FAILED', `QEMU refused ${pending.command}: ${desc}`));
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#ended = new SparklerError('VMM_FAILED', `QEMU is gone: ${reason}.`);
    for (const { reject } of this.#pending.splice(0)) reject(this.#ended);
    for (const { reject } of this.#events) reject(this.#ended);
    this.#events.clear();
  }
}
