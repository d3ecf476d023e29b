/** The host's end of the channel to a guest agent: calls with promises over frames. */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { SparklerError } from '../errors.js';
import { Call } from './call.js';
import { encodeFrame, FrameDecoder, FrameType, type Frame } from './frames.js';
import { Instance, type InvokeResult, type StartResult } from './instance.js';
import {
  decodeMemory,
  decodeProof,
  encodeProve,
  type FreeProof,
  type GuestMemory,
} from './memory.js';
import {
  decodeExited,
  decodeFatal,
  decodeFrozen,
  decodeHello,
  decodeReady,
  decodeRestored,
  decodeResult,
  decodeRuntimeError,
  encodeFreeze,
  encodeInvoke,
  encodeRestore,
  encodeStart,
  UNKNOWN_EXIT,
  type ExitInfo,
  type HandlerSpec,
  type HelloInfo,
  type InstanceSpec,
  type InvokeContext,
} from './messages.js';
import { died, notReady, protocol, wrongResult } from './failures.js';
import type { GuestOptions } from './options.js';
import { Questions } from './questions.js';

const MAX_INSTANCE = 0xffff;
/** The zygote's number in frames: its process is the agent's own affair. */
const ZYGOTE = 0;
/** How much later than its own limit the guest may answer FREEZE, milliseconds. */
const FREEZE_GRACE_MS = 2_000;

export class GuestSession {
  /** Resolves when the agent is up; rejects GUEST_NOT_READY. Never settles after `adopt()`. */
  readonly hello: Promise<HelloInfo>;
  /** Resolves with the reason when the channel is gone. Never rejects. */
  readonly closed: Promise<SparklerError>;

  readonly #channel: Duplex;
  readonly #options: GuestOptions;
  readonly #decoder = new FrameDecoder('agent');
  readonly #hello = new Call<HelloInfo>();
  readonly #closed = new Call<SparklerError>();
  readonly #instances = new Map<number, Instance>();
  readonly #questions = new Questions();
  #zygote: Instance;
  #restore: { request: number; call: Call<undefined> } | undefined;
  #end: SparklerError | undefined;
  #lastInstance = 0;
  #lastRequest = 0;

  constructor(channel: Duplex, options: GuestOptions) {
    this.#channel = channel;
    this.#options = options;
    this.hello = this.#hello.promise;
    this.closed = this.#closed.promise;
    this.#zygote = this.#make(ZYGOTE);
    this.#hello.limit(options.helloTimeoutMs, () =>
      this.#fail(notReady(`did not come up within ${options.helloTimeoutMs} ms`, 'boot')),
    );
    channel.on('data', (chunk: Buffer) => this.#receive(chunk));
    channel.on('error', (error) => this.#fail(died(error)));
    channel.on('end', () => this.#fail(died()));
    channel.on('close', () => this.#fail(died()));
  }

  /** The instances that can be invoked or are busy, in the order of their numbers. */
  get instances(): number[] {
    return [...this.#instances.keys()].sort((a, b) => a - b);
  }

  /**
   * For a session over a restored VM: these instances exist in the snapshot, and no HELLO comes.
   * Call it at once, then `restore()`.
   */
  adopt(instances: readonly number[]): void {
    this.#hello.abandon();
    for (const number of instances) this.#add(number);
    // A number that is in use is not given again, even when the guest ends its instance at once.
    this.#lastInstance = Math.max(0, ...instances);
  }

  /**
   * Starts an instance: from the zygote when there is one of the same runtime, handler, working
   * directory and environment, else a runtime process that loads the handler.
   * @throws SparklerError HANDLER_NOT_FOUND, HANDLER_FAILED, HANDLER_EXITED, HANDLER_OUT_OF_MEMORY,
   * HANDLER_TIMEOUT (the instance is gone then), GUEST_NOT_READY (the image lacks the runtime, or
   * the kernel what the limit or the nodes take), VM_DIED, GUEST_PROTOCOL, INVALID_REQUEST.
   */
  async startInstance(spec: InstanceSpec): Promise<StartResult> {
    if (this.#end !== undefined) throw this.#end;
    const payload = encodeStart(spec);
    return this.#start(FrameType.START, this.#add(this.#freeNumber()), payload);
  }

  /**
   * Keeps a process that has loaded the handler and serves no invocation: instances are made from
   * it. It is no instance, and it is in no snapshot's list of them, but a snapshot holds it. When it
   * dies the agent starts it again. There is one at most: for another, `endZygote()` first; for the
   * same again this resolves when it is there.
   * @throws SparklerError as `startInstance`, and there is no zygote then; VM_WRONG_STATE: there is
   * one of something else.
   */
  async startZygote(spec: HandlerSpec): Promise<{ readonly initMs: number }> {
    if (this.#end !== undefined) throw this.#end;
    if (this.#zygote.pending !== undefined) {
      throw new SparklerError('VM_WRONG_STATE', 'The zygote is starting already.');
    }
    const zygote = this.#zygote;
    try {
      const { initMs } = await this.#start(FrameType.ZYGOTE, zygote, encodeStart(spec));
      return { initMs };
    } catch (error) {
      // Another one goes on; one that failed must be gone before the next is asked for.
      const refused = error instanceof SparklerError && error.code === 'VM_WRONG_STATE';
      if (!refused) await this.#whenGone(zygote).catch(() => undefined);
      throw error;
    }
  }

  /** Ends the zygote, if there is one; the instances that came from it go on. */
  async endZygote(): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    const zygote = this.#zygote;
    this.#send(encodeFrame(FrameType.KILL, ZYGOTE, this.#nextRequest()));
    await this.#whenGone(zygote);
  }

  async #start(type: FrameType, instance: Instance, payload: Buffer): Promise<StartResult> {
    const request = this.#nextRequest();
    const call = new Call<StartResult>();
    instance.begin({ kind: 'start', request, call });
    call.limit(this.#options.startTimeoutMs, () =>
      this.#timeOut(instance, this.#options.startTimeoutMs),
    );
    this.#send(encodeFrame(type, instance.number, request, payload));
    return call.promise;
  }

  /**
   * Runs the handler once. `event` is JSON and passed on as it is; `timeoutMs` counts from now,
   * and the handler sees it as its deadline. An instance serves one invocation at a time. May be
   * called before the promise of `restore()` settles: the guest obeys it after.
   * @throws SparklerError HANDLER_FAILED, HANDLER_EXITED, HANDLER_OUT_OF_MEMORY, HANDLER_TIMEOUT,
   * RESULT_NOT_JSON, RESULT_TOO_LARGE, VM_WRONG_STATE, VM_DIED, GUEST_PROTOCOL. After
   * HANDLER_EXITED, HANDLER_OUT_OF_MEMORY and HANDLER_TIMEOUT the instance is gone.
   */
  async invoke(
    number: number,
    event: Buffer | string,
    context: InvokeContext,
    timeoutMs: number,
  ): Promise<InvokeResult> {
    const instance = this.#idle(number);
    const request = this.#nextRequest();
    const call = new Call<InvokeResult>();
    const deadline = { ...context, deadlineMs: Date.now() + timeoutMs };
    const body = typeof event === 'string' ? Buffer.from(event) : event;
    const frame = encodeFrame(FrameType.INVOKE, number, request, ...encodeInvoke(deadline, body));
    instance.begin({ kind: 'invoke', request, call });
    call.limit(timeoutMs, () => this.#timeOut(instance, timeoutMs));
    this.#send(frame);
    return call.promise;
  }

  /**
   * Tells a guest that was restored, or has just said hello, its randomness and time. The frame is
   * written before this returns, so it may be called while the guest's CPUs are stopped; the
   * promise resolves when all instances have reseeded. Whatever the guest said before is discarded.
   * One that did not is gone: see `instances`. A guest that was saved frozen thaws.
   * @throws SparklerError GUEST_NOT_READY, VM_DIED, GUEST_PROTOCOL.
   */
  restore(seed: Buffer, nowNs: bigint): Promise<void> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const call = new Call<undefined>();
    // Random, so that no bytes of an earlier life can be mistaken for the answer.
    const request = randomBytes(4).readUInt32LE();
    const limit = this.#options.restoreTimeoutMs;
    call.limit(limit, () =>
      this.#fail(notReady(`did not take up its work within ${limit} ms`, 'restore')),
    );
    this.#restore?.call.reject(notReady('was told to restore again', 'restore'));
    this.#restore = { request, call };
    this.#decoder.skipTo(FrameType.RESTORED, request);
    this.#send(encodeFrame(FrameType.RESTORE, 0, request, ...encodeRestore(seed, nowNs)));
    return call.promise;
  }

  /** Ends an instance at once. Resolves when it is gone; what it was doing is rejected. */
  async kill(number: number): Promise<ExitInfo> {
    const instance = this.#instances.get(number);
    if (this.#end !== undefined) throw this.#end;
    if (instance === undefined) return UNKNOWN_EXIT;
    this.#send(encodeFrame(FrameType.KILL, number, this.#nextRequest()));
    return this.#whenGone(instance);
  }

  #whenGone(instance: Instance): Promise<ExitInfo> {
    this.#awaitExit(instance);
    return instance.gone.promise;
  }

  /** Resolves when the agent answers. @throws SparklerError GUEST_NOT_READY, VM_DIED. */
  async ping(): Promise<void> {
    await this.#question('ping', FrameType.PING, FrameType.PONG);
  }

  /** The guest's memory by node and by instance. @throws SparklerError GUEST_NOT_READY, VM_DIED. */
  async memory(): Promise<GuestMemory> {
    return decodeMemory(await this.#question('memory', FrameType.MEMORY, FrameType.REPORT));
  }

  /**
   * Has the agent prove that nothing in the guest uses the memory of a node, so that the host may
   * discard it. The proof holds as long as no instance is started there.
   * @throws SparklerError VM_WRONG_STATE (no such node), INVALID_REQUEST, GUEST_NOT_READY, VM_DIED.
   */
  async proveFree(node: number): Promise<FreeProof> {
    const payload = encodeProve(node);
    return decodeProof(await this.#question('memory', FrameType.PROVE, FrameType.PROVED, payload));
  }

  /** One that may be left unanswered: the session goes on. */
  async #question(
    step: string,
    type: FrameType,
    answer: FrameType,
    ...payload: Buffer[]
  ): Promise<Buffer> {
    if (this.#end !== undefined) throw this.#end;
    const limit = this.#options.pingTimeoutMs;
    const { request, call } = this.#ask(type, answer, ...payload);
    call.limit(limit, () => {
      this.#questions.forget(request);
      call.reject(notReady(`did not answer within ${limit} ms`, step));
    });
    return call.promise;
  }

  /**
   * Freezes all that functions have running, for a snapshot: until `thaw()`, or in a clone until
   * `restore()`, no user code runs. Every instance must be idle.
   * @throws SparklerError FUNCTION_NOT_FROZEN: everything goes on as before; GUEST_NOT_READY (the
   * session is over: the guest may stand half frozen), VM_DIED, GUEST_PROTOCOL.
   */
  async freeze(): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    const ownMs = this.#options.freezeTimeoutMs;
    const { call } = this.#ask(FrameType.FREEZE, FrameType.FROZEN, encodeFreeze(ownMs));
    const limit = ownMs + FREEZE_GRACE_MS;
    call.limit(limit, () =>
      this.#fail(notReady(`did not say within ${limit} ms whether it is frozen`, 'freeze')),
    );
    const error = decodeFrozen(await call.promise);
    if (error === null) return;
    const message = `The function could not be frozen for a snapshot: ${error}.`;
    throw new SparklerError('FUNCTION_NOT_FROZEN', message, { step: 'freeze' });
  }

  /**
   * Ends what `freeze()` began.
   * @throws SparklerError GUEST_NOT_READY (the session is over), VM_DIED, GUEST_PROTOCOL.
   */
  async thaw(): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    const limit = this.#options.freezeTimeoutMs;
    const { call } = this.#ask(FrameType.THAW, FrameType.THAWED);
    call.limit(limit, () => this.#fail(notReady(`did not thaw within ${limit} ms`, 'thaw')));
    await call.promise;
  }

  /** Asks the guest to end; the channel closes when it did. */
  powerOff(): void {
    if (this.#end === undefined) this.#send(encodeFrame(FrameType.POWEROFF, 0, 0));
  }

  /** Gives the channel up: every pending call rejects VM_DIED. */
  close(): void {
    this.#fail(new SparklerError('VM_DIED', 'The VM was closed.'));
  }

  #send(frame: Buffer): void {
    this.#channel.write(frame);
  }

  #ask(
    type: FrameType,
    answer: FrameType,
    ...payload: Buffer[]
  ): { request: number; call: Call<Buffer> } {
    const request = this.#nextRequest();
    const call = this.#questions.open(request, answer);
    this.#send(encodeFrame(type, 0, request, ...payload));
    return { request, call };
  }

  #nextRequest(): number {
    this.#lastRequest = (this.#lastRequest % 0xffffffff) + 1;
    return this.#lastRequest;
  }

  #freeNumber(): number {
    for (let i = 0; i < MAX_INSTANCE; i++) {
      this.#lastInstance = (this.#lastInstance % MAX_INSTANCE) + 1;
      if (!this.#instances.has(this.#lastInstance)) return this.#lastInstance;
    }
    throw new SparklerError('LIMIT_EXCEEDED', 'The VM holds too many instances.');
  }

  #make(number: number): Instance {
    return new Instance(number, this.#options.logBytes, new Call<ExitInfo>());
  }

  #add(number: number): Instance {
    const instance = this.#make(number);
    this.#instances.set(number, instance);
    return instance;
  }

  #idle(number: number): Instance {
    if (this.#end !== undefined) throw this.#end;
    const instance = this.#instances.get(number);
    if (instance === undefined) {
      throw new SparklerError('VM_WRONG_STATE', `The VM has no instance ${number}.`);
    }
    if (instance.pending !== undefined) {
      throw new SparklerError('VM_WRONG_STATE', `Instance ${number} is busy.`);
    }
    return instance;
  }

  /** The call stays open until EXITED: its stack and its last logs come before that. */
  #timeOut(instance: Instance, ms: number): void {
    instance.timedOutAfterMs = ms;
    this.#send(encodeFrame(FrameType.TIMEOUT, instance.number, this.#nextRequest()));
    this.#awaitExit(instance);
  }

  #awaitExit(instance: Instance): void {
    const limit = this.#options.exitTimeoutMs;
    instance.gone.limit(limit, () => {
      const ms = instance.timedOutAfterMs;
      if (ms !== undefined) instance.pending?.call.reject(instance.timeoutError(ms));
      this.#fail(notReady(`did not end an instance within ${limit} ms`, 'kill'));
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    try {
      for (const frame of this.#decoder.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#fail(
        error instanceof SparklerError
          ? error
          : new SparklerError('INTERNAL', 'A frame of the guest could not be handled.', {}, error),
      );
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case FrameType.HELLO: {
        this.#hello.resolve(decodeHello(frame.payload));
        return;
      }
      case FrameType.RESTORED: {
        this.#restored(frame);
        return;
      }
      case FrameType.PONG:
      case FrameType.FROZEN:
      case FrameType.THAWED:
      case FrameType.REPORT:
      case FrameType.PROVED: {
        this.#questions.answer(frame);
        return;
      }
      case FrameType.FATAL:
        throw new SparklerError(
          'GUEST_PANICKED',
          `The guest failed: ${decodeFatal(frame.payload)}`,
        );
      default: {
        const instance =
          frame.instance === ZYGOTE ? this.#zygote : this.#instances.get(frame.instance);
        if (instance === undefined) throw protocol(`a frame of no instance (${frame.instance})`);
        this.#handleInstance(instance, frame);
      }
    }
  }

  #handleInstance(instance: Instance, frame: Frame): void {
    switch (frame.type) {
      case FrameType.LOG:
        instance.log(frame.payload);
        return this.#options.onLog?.(instance.number, frame.payload);
      case FrameType.STACK: {
        instance.stack(frame.payload);
        return;
      }
      case FrameType.EXITED: {
        this.#exited(instance, decodeExited(frame.payload));
        return;
      }
      case FrameType.READY:
      case FrameType.FAILED:
      case FrameType.RESULT:
      case FrameType.ERROR: {
        this.#answered(instance, frame);
        return;
      }
    }
  }

  #answered(instance: Instance, frame: Frame): void {
    const pending = instance.pending;
    if (pending?.request !== frame.request) throw protocol('an answer that nobody waits for');
    // Too late: TIMEOUT was sent, and the instance ends whatever it answers.
    if (instance.timedOutAfterMs !== undefined) return;
    if (frame.type === FrameType.READY && pending.kind === 'start') {
      pending.call.resolve({ instance: instance.number, ...decodeReady(frame.payload) });
    } else if (frame.type === FrameType.FAILED && pending.kind === 'start') {
      pending.call.reject(instance.runtimeError(decodeRuntimeError('FAILED', frame.payload)));
    } else if (frame.type === FrameType.RESULT && pending.kind === 'invoke') {
      const result = { ...decodeResult(frame.payload), logs: instance.logs };
      // The runtime checked this already; a function that took it over need not have.
      const wrong = wrongResult(result.json, this.#options.resultBytes);
      if (wrong) pending.call.reject(wrong);
      else pending.call.resolve(result);
    } else if (frame.type === FrameType.ERROR) {
      pending.call.reject(instance.runtimeError(decodeRuntimeError('ERROR', frame.payload)));
    } else {
      throw protocol('an answer of the wrong type');
    }
    instance.pending = undefined;
  }

  #exited(instance: Instance, exit: ExitInfo): void {
    if (instance === this.#zygote) this.#zygote = this.#make(ZYGOTE);
    this.#instances.delete(instance.number);
    instance.pending?.call.reject(instance.exitError(exit));
    instance.gone.resolve(exit);
    this.#options.onExit?.(instance.number, exit);
  }

  #restored(frame: Frame): void {
    const restore = this.#restore;
    if (restore?.request !== frame.request) throw protocol('a RESTORED that nobody waits for');
    const alive = new Set(decodeRestored(frame.payload));
    for (const number of alive) {
      if (!this.#instances.has(number)) throw protocol(`an unknown instance (${number})`);
    }
    for (const instance of [...this.#instances.values()]) {
      if (!alive.has(instance.number)) {
        this.#exited(instance, { ...UNKNOWN_EXIT, signal: 9 });
      }
    }
    this.#restore = undefined;
    restore.call.resolve(undefined);
  }

  #fail(error: SparklerError): void {
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#hello.reject(error);
    this.#restore?.call.reject(error);
    this.#questions.fail(error);
    for (const instance of [this.#zygote, ...this.#instances.values()]) {
      instance.pending?.call.reject(error);
      instance.gone.reject(error);
    }
    this.#instances.clear();
    this.#channel.destroy();
    this.#closed.resolve(error);
  }
}
