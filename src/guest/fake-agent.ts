/** A guest end of the protocol without a guest: for the in-memory VMM driver and for tests. */
import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, FrameType, type Frame } from './frames.js';
import {
  decodeInvoke,
  decodeStart,
  encodeJson,
  type InstanceSpec,
  type InvokeContext,
} from './messages.js';

/** What runs instead of a function's handler. `log` writes as the function's stdout would. */
export type FakeHandler = (
  handlerName: string,
  event: unknown,
  context: InvokeContext,
  log: (text: string) => void,
) => unknown;

export interface FakeAgentOptions {
  /** Runs for every INVOKE; may be async. What it throws becomes an ERROR. */
  readonly handler: FakeHandler;
  /** Runs for every START; what it throws becomes a FAILED. */
  readonly load?: (spec: InstanceSpec) => void;
  readonly memMiB?: number;
  /** The instances of the snapshot that this guest is restored from: no HELLO is said then. */
  readonly instances?: FakeInstances;
  /** It was frozen when that snapshot was taken. */
  readonly frozen?: boolean;
  /** Asked at every FREEZE: why this guest cannot be frozen; undefined: it can. */
  readonly unfreezable?: () => string | undefined;
}

/** What a snapshot of a fake guest holds. */
export type FakeInstances = readonly (readonly [number, InstanceSpec])[];

const SIGKILL = 9;

export class FakeAgent {
  /** RESTORE frames obeyed so far. */
  restores = 0;
  /** Between FREEZE and THAW or RESTORE: invocations wait. */
  frozen: boolean;

  readonly #channel: Duplex;
  readonly #options: FakeAgentOptions;
  readonly #decoder = new FrameDecoder('host');
  readonly #instances: Map<number, InstanceSpec>;
  readonly #waiting: Frame[] = [];

  constructor(channel: Duplex, options: FakeAgentOptions) {
    this.#channel = channel;
    this.#options = options;
    this.#instances = new Map(options.instances ?? []);
    this.frozen = options.frozen ?? false;
    channel.on('data', (chunk: Buffer) => {
      for (const frame of this.#decoder.push(chunk)) this.#obey(frame);
    });
    channel.on('error', () => undefined); // the host's end is gone: nobody to tell
    if (options.instances === undefined) this.#hello();
  }

  /** What a snapshot taken now would hold. */
  get instances(): FakeInstances {
    return [...this.#instances];
  }

  #hello(): void {
    const memMiB = this.#options.memMiB ?? 128;
    const hello = { protocol: 1, agent: 'fake', kernel: 'fake', memMiB, bootMs: 1 };
    this.#send(FrameType.HELLO, 0, 0, encodeJson(hello));
  }

  #send(type: FrameType, instance: number, request: number, ...payload: Buffer[]): void {
    if (this.#channel.writable) {
      this.#channel.write(encodeFrame(type, instance, request, ...payload));
    }
  }

  #obey(frame: Frame): void {
    switch (frame.type) {
      case FrameType.START: {
        this.#start(frame);
        return;
      }
      case FrameType.INVOKE:
        if (this.frozen) this.#waiting.push(frame);
        else void this.#invoke(frame);
        return;
      case FrameType.TIMEOUT:
      case FrameType.KILL:
        if (this.#instances.has(frame.instance)) this.#exit(frame.instance, null, SIGKILL);
        return;
      case FrameType.RESTORE:
        this.restores += 1;
        this.#thaw();
        {
          this.#send(
            FrameType.RESTORED,
            0,
            frame.request,
            encodeJson({ instances: [...this.#instances.keys()] }),
          );
          return;
        }
      case FrameType.FREEZE: {
        const error = this.#options.unfreezable?.() ?? null;
        this.frozen = error === null;
        this.#send(FrameType.FROZEN, 0, frame.request, encodeJson({ error }));
        return;
      }
      case FrameType.THAW:
        this.#thaw();
        this.#send(FrameType.THAWED, 0, frame.request);
        return;
      case FrameType.PING: {
        this.#send(FrameType.PONG, 0, frame.request, frame.payload);
        return;
      }
      case FrameType.POWEROFF:
        this.#channel.end();
        return;
    }
  }

  #thaw(): void {
    this.frozen = false;
    for (const frame of this.#waiting.splice(0)) void this.#invoke(frame);
  }

  #start(frame: Frame): void {
    const spec = decodeStart(frame.payload);
    try {
      this.#options.load?.(spec);
    } catch (error) {
      const failed = { ...describe(error), kind: 'handler' };
      this.#send(FrameType.FAILED, frame.instance, frame.request, encodeJson(failed));
      this.#exit(frame.instance, 1, null);
      return;
    }
    this.#instances.set(frame.instance, spec);
    this.#send(FrameType.READY, frame.instance, frame.request, encodeJson({ initMs: 1 }));
  }

  async #invoke(frame: Frame): Promise<void> {
    const spec = this.#instances.get(frame.instance);
    if (spec === undefined) return;
    const started = process.hrtime.bigint();
    const log = (text: string): void =>
      this.#send(FrameType.LOG, frame.instance, 0, Buffer.from(text));
    let answer: () => void;
    try {
      const { event, context } = decodeInvoke(frame.payload);
      const value = (await this.#options.handler(spec.handler, event, context, log)) ?? null;
      const time = Buffer.alloc(8);
      time.writeBigUInt64LE(process.hrtime.bigint() - started);
      const json = encodeJson(value);
      answer = () => this.#send(FrameType.RESULT, frame.instance, frame.request, time, json);
    } catch (error) {
      const shown = { ...describe(error), kind: 'handler', handlerNs: 0 };
      answer = () => this.#send(FrameType.ERROR, frame.instance, frame.request, encodeJson(shown));
    }
    // Ended while it ran: the answer comes too late, as from a process that was killed.
    if (this.#instances.get(frame.instance) === spec) answer();
  }

  #exit(instance: number, code: number | null, signal: number | null): void {
    this.#instances.delete(instance);
    this.#send(FrameType.EXITED, instance, 0, encodeJson({ code, signal, oom: false }));
  }
}

function describe(error: unknown): { errorType: string; message: string; stack: string } {
  if (!(error instanceof Error)) {
    return { errorType: typeof error, message: String(error), stack: '' };
  }
  return { errorType: error.name, message: error.message, stack: error.stack ?? '' };
}
