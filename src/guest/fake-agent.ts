/** A guest end of the protocol without a guest: for the in-memory VMM driver and for tests. */
import type { Duplex } from 'node:stream';
import { encodeFrame, FrameDecoder, FrameType, type Frame } from './frames.js';
import type { GuestMemory, GuestNode } from './memory.js';
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
  /** Its NUMA nodes now; one of `memMiB`, all free, unless given. */
  readonly nodes?: () => readonly GuestNode[];
  /** What an event's invocation takes, MiB: more than the instance's limit ends it. */
  readonly takesMiB?: (event: unknown) => number;
  /** The instances of the snapshot that this guest is restored from: no HELLO is said then. */
  readonly instances?: FakeInstances;
  /** It was frozen when that snapshot was taken. */
  readonly frozen?: boolean;
  /** Asked at every FREEZE: why this guest cannot be frozen; undefined: it can. */
  readonly unfreezable?: () => string | undefined;
}

/** What a snapshot of a fake guest holds; number 0 is the zygote. */
export type FakeInstances = readonly (readonly [number, InstanceSpec])[];

const SIGKILL = 9;
const ZYGOTE = 0;
const KIB_PER_MIB = 1024;
const MIB = 1024 * 1024;

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
      case FrameType.ZYGOTE: {
        this.#startZygote(frame);
        return;
      }
      case FrameType.MEMORY:
        this.#send(FrameType.REPORT, 0, frame.request, encodeJson(this.#memory()));
        return;
      case FrameType.PROVE:
        this.#prove(frame);
        return;
      case FrameType.INVOKE:
        if (this.frozen) this.#waiting.push(frame);
        else void this.#invoke(frame);
        return;
      case FrameType.TIMEOUT:
      case FrameType.KILL:
        if (this.#instances.has(frame.instance) || frame.instance === ZYGOTE)
          this.#exit(frame.instance, null, SIGKILL);
        return;
      case FrameType.RESTORE:
        this.restores += 1;
        this.#thaw();
        {
          this.#send(
            FrameType.RESTORED,
            0,
            frame.request,
            encodeJson({ instances: [...this.#instances.keys()].filter((n) => n !== ZYGOTE) }),
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
    const zygote = this.#instances.get(ZYGOTE);
    const fromZygote = zygote !== undefined && sameHandler(zygote, spec);
    if (fromZygote || this.#loads(spec, frame)) this.#ready(spec, frame, fromZygote);
  }

  #startZygote(frame: Frame): void {
    const spec = decodeStart(frame.payload);
    const zygote = this.#instances.get(ZYGOTE);
    if (zygote === undefined) {
      if (this.#loads(spec, frame)) this.#ready(spec, frame, false);
      return;
    }
    if (sameHandler(zygote, spec)) {
      this.#ready(spec, frame, false);
      return;
    }
    const message = 'there is a zygote of something else';
    const failed = { errorType: 'Sparkler.OtherZygote', message, stack: '', kind: 'agent' };
    this.#send(FrameType.ERROR, ZYGOTE, frame.request, encodeJson(failed));
  }

  #ready(spec: InstanceSpec, frame: Frame, fromZygote: boolean): void {
    this.#instances.set(frame.instance, spec);
    const ready = { initMs: 1, fromZygote };
    this.#send(FrameType.READY, frame.instance, frame.request, encodeJson(ready));
  }

  #loads(spec: InstanceSpec, frame: Frame): boolean {
    try {
      this.#options.load?.(spec);
      return true;
    } catch (error) {
      const failed = { ...describe(error), kind: 'handler' };
      this.#send(FrameType.FAILED, frame.instance, frame.request, encodeJson(failed));
      this.#exit(frame.instance, 1, null);
      return false;
    }
  }

  #nodes(): readonly GuestNode[] {
    const KiB = (this.#options.memMiB ?? 128) * KIB_PER_MIB;
    return this.#options.nodes?.() ?? [{ node: 0, managedKiB: KiB, freeKiB: KiB }];
  }

  #memory(): GuestMemory {
    const nodes = this.#nodes();
    const sum = (key: 'managedKiB' | 'freeKiB'): number =>
      nodes.reduce((all, node) => all + node[key], 0);
    const instances = [...this.#instances].filter(([number]) => number !== ZYGOTE);
    return {
      totalKiB: sum('managedKiB'),
      freeKiB: sum('freeKiB'),
      availableKiB: sum('freeKiB'),
      nodes,
      instances: instances.map(([instance, { memMiB = 0, nodes: bound = [] }]) => ({
        instance,
        currentBytes: 0,
        peakBytes: 0,
        limitBytes: memMiB === 0 ? null : memMiB * MIB,
        nodes: bound,
      })),
      zygoteBytes: this.#instances.has(ZYGOTE) ? 0 : null,
    };
  }

  #prove(frame: Frame): void {
    const number = frame.payload.readUInt32LE(0);
    const node = this.#nodes().find((one) => one.node === number);
    const bound = [...this.#instances.values()].some((spec) => spec.nodes?.includes(number));
    const usedKiB = node === undefined ? 0 : node.managedKiB - node.freeKiB;
    const proof = { free: usedKiB === 0 && !bound, usedKiB };
    const answer = node === undefined ? { error: `it has no node ${number}` } : proof;
    this.#send(FrameType.PROVED, 0, frame.request, encodeJson(answer));
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
      const memMiB = spec.memMiB ?? 0;
      if (memMiB > 0 && (this.#options.takesMiB?.(event) ?? 0) > memMiB) {
        this.#exit(frame.instance, null, SIGKILL, memMiB);
        return;
      }
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

  /** `limitMiB`: it met this limit. */
  #exit(instance: number, code: number | null, signal: number | null, limitMiB?: number): void {
    this.#instances.delete(instance);
    const oom = limitMiB !== undefined;
    const exit = { code, signal, oom, limitBytes: oom ? limitMiB * MIB : null };
    this.#send(FrameType.EXITED, instance, 0, encodeJson(exit));
  }
}

function sameHandler(a: InstanceSpec, b: InstanceSpec): boolean {
  const key = ({ runtime, handler, cwd, env }: InstanceSpec): string =>
    JSON.stringify([runtime, handler, cwd, env]);
  return key(a) === key(b);
}

function describe(error: unknown): { errorType: string; message: string; stack: string } {
  if (!(error instanceof Error)) {
    return { errorType: typeof error, message: String(error), stack: '' };
  }
  return { errorType: error.name, message: error.message, stack: error.stack ?? '' };
}
