/** What the payloads of frames mean: see the tables of docs/protocol/guest-channel.md. */
import { SparklerError } from '../errors.js';
import { decodePlace, placeOf } from './memory.js';
import { count, fieldsOf, malformed, text } from './payload.js';

/** What a handler is loaded from. */
export interface HandlerSpec {
  /** A runtime of the image: `python3`, `nodejs`. */
  readonly runtime: string;
  /** `file.function`, as on AWS Lambda. */
  readonly handler: string;
  readonly env: Readonly<Record<string, string>>;
  /** The working directory inside the guest; `/var/task` unless given. */
  readonly cwd?: string;
}

/** What an instance is made of. */
export interface InstanceSpec extends HandlerSpec {
  /** Limit of the instance's memory inside the VM; 0: the VM's own memory is the limit. */
  readonly memMiB?: number;
  /**
   * The guest's NUMA nodes (blocks) that what it touches lies in. Absent or empty: the VM's own
   * memory, node 0.
   */
  readonly nodes?: readonly number[];
}

/** What the guest says of itself when it is up. */
export interface HelloInfo {
  readonly protocol: number;
  readonly agent: string;
  readonly kernel: string;
  readonly memMiB: number;
  /** From the kernel's start to the agent's first frame. */
  readonly bootMs: number;
}

/** What a handler is told about its invocation. */
export interface InvokeContext {
  readonly requestId: string;
  readonly functionName: string;
  readonly memoryMiB: number;
}

/** How an instance ended. */
export interface ExitInfo {
  readonly code: number | null;
  readonly signal: number | null;
  /** The kernel ended it because memory had run out. */
  readonly oom: boolean;
  /** With `oom`: the limit that it had, bytes; null: the VM's own memory was the limit. */
  readonly limitBytes: number | null;
}

/** An instance that is not there, or whose end nobody in the guest could tell. */
export const UNKNOWN_EXIT: ExitInfo = { code: null, signal: null, oom: false, limitBytes: null };

/** An error that a runtime reports, of a handler or of its own. */
export interface RuntimeError {
  readonly errorType: string;
  readonly message: string;
  readonly stack: string;
  readonly kind: string;
}

/** Bytes of randomness that a RESTORE carries. */
export const SEED_BYTES = 64;

/** @throws SparklerError INVALID_REQUEST when a string holds a NUL or a variable's name is empty. */
export function encodeStart(spec: InstanceSpec): Buffer {
  const variables = Object.entries(spec.env).map(([name, value]) => {
    if (name === '' || name.includes('=')) throw unusable('env', `the name "${name}"`);
    return `${name}=${value}`;
  });
  const strings = [
    spec.runtime,
    spec.handler,
    spec.cwd ?? '/var/task',
    placeOf(spec.memMiB ?? 0, spec.nodes ?? []),
    ...variables,
  ];
  if (strings.some((text) => text.includes('\0'))) throw unusable('env', 'a NUL character');
  return Buffer.from(strings.map((text) => `${text}\0`).join(''));
}

function unusable(field: string, what: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `The guest cannot be given ${what}.`, { field });
}

export function decodeStart(payload: Buffer): InstanceSpec {
  const [runtime, handler, cwd, place, ...variables] = payload.toString().split('\0').slice(0, -1);
  if (!runtime || handler === undefined || cwd === undefined || place === undefined) {
    throw malformed('START');
  }
  const env = Object.fromEntries(
    variables.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  return { runtime, handler, cwd, ...decodePlace(place), env };
}

/** The parts of an INVOKE's payload; the event is not copied. */
export function encodeInvoke(
  context: InvokeContext & { readonly deadlineMs: number },
  event: Buffer,
): Buffer[] {
  const text = Buffer.from(JSON.stringify(context));
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(text.length);
  return [length, text, event];
}

export function decodeInvoke(payload: Buffer): { context: InvokeContext; event: unknown } {
  const split = 4 + payload.readUInt32LE(0);
  return {
    context: JSON.parse(payload.toString('utf8', 4, split)) as InvokeContext,
    event: JSON.parse(payload.toString('utf8', split)) as unknown,
  };
}

/** `nowNs`: the host's time since the epoch. */
export function encodeRestore(seed: Buffer, nowNs: bigint): Buffer[] {
  if (seed.length !== SEED_BYTES) {
    throw new SparklerError('INTERNAL', `A restore takes ${SEED_BYTES} bytes of randomness.`);
  }
  const time = Buffer.allocUnsafe(8);
  time.writeBigUInt64LE(nowNs);
  return [time, seed];
}

export function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

export function decodeHello(payload: Buffer): HelloInfo {
  const fields = fieldsOf('HELLO', payload);
  return {
    protocol: count('HELLO', fields['protocol']),
    agent: text(fields['agent']),
    kernel: text(fields['kernel']),
    memMiB: count('HELLO', fields['memMiB']),
    bootMs: count('HELLO', fields['bootMs']),
  };
}

export function decodeReady(payload: Buffer): { initMs: number; fromZygote: boolean } {
  const fields = fieldsOf('READY', payload);
  return { initMs: count('READY', fields['initMs']), fromZygote: fields['fromZygote'] === true };
}

export function decodeRuntimeError(name: 'FAILED' | 'ERROR', payload: Buffer): RuntimeError {
  const fields = fieldsOf(name, payload);
  return {
    errorType: text(fields['errorType']),
    message: text(fields['message']),
    stack: text(fields['stack']),
    kind: text(fields['kind']),
  };
}

export function decodeResult(payload: Buffer): { json: Buffer; handlerMs: number } {
  if (payload.length < 8) throw malformed('RESULT');
  return { json: payload.subarray(8), handlerMs: Number(payload.readBigUInt64LE(0)) / 1e6 };
}

export function decodeExited(payload: Buffer): ExitInfo {
  const fields = fieldsOf('EXITED', payload);
  const number = (value: unknown): number | null =>
    value === null || value === undefined ? null : count('EXITED', value);
  return {
    code: number(fields['code']),
    signal: number(fields['signal']),
    oom: fields['oom'] === true,
    limitBytes: number(fields['limitBytes']),
  };
}

export function decodeRestored(payload: Buffer): number[] {
  const list = fieldsOf('RESTORED', payload)['instances'];
  if (!Array.isArray(list)) throw malformed('RESTORED');
  return list.map((number) => count('RESTORED', number));
}

/** `limitMs`: how long the guest may try. */
export function encodeFreeze(limitMs: number): Buffer {
  const limit = Buffer.allocUnsafe(4);
  limit.writeUInt32LE(limitMs);
  return limit;
}

/** Why the guest could not be frozen; null: it is. */
export function decodeFrozen(payload: Buffer): string | null {
  const { error } = fieldsOf('FROZEN', payload);
  if (error === null || typeof error === 'string') return error && text(error);
  throw malformed('FROZEN');
}

export function decodeFatal(payload: Buffer): string {
  return text(fieldsOf('FATAL', payload)['message']);
}
