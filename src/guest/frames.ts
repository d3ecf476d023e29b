/**
 * Frames of the guest channel: see docs/protocol/guest-channel.md. Bytes in, frames out, and the
 * other way round; what a payload means is in messages.ts.
 */
import { SparklerError } from '../errors.js';

export const FrameType = {
  START: 0x01,
  INVOKE: 0x02,
  TIMEOUT: 0x03,
  KILL: 0x04,
  RESTORE: 0x05,
  PING: 0x06,
  POWEROFF: 0x07,
  FREEZE: 0x08,
  THAW: 0x09,
  ZYGOTE: 0x0a,
  MEMORY: 0x0b,
  PROVE: 0x0c,
  HELLO: 0x81,
  READY: 0x82,
  FAILED: 0x83,
  RESULT: 0x84,
  ERROR: 0x85,
  EXITED: 0x86,
  LOG: 0x87,
  STACK: 0x88,
  RESTORED: 0x89,
  PONG: 0x8a,
  FROZEN: 0x8b,
  THAWED: 0x8c,
  REPORT: 0x8d,
  PROVED: 0x8e,
  FATAL: 0x8f,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Bytes of a frame before its payload. */
export const HEADER_BYTES = 12;
/** The longest payload a frame may have, in bytes. */
export const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType));
const AGENT_BIT = 0x80;

export interface Frame {
  readonly type: FrameType;
  /** Which instance; 0: the agent itself. */
  readonly instance: number;
  readonly request: number;
  readonly payload: Buffer;
}

/** A frame as one buffer, copied once. */
export function encodeFrame(
  type: FrameType,
  instance: number,
  request: number,
  ...payload: readonly Buffer[]
): Buffer {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  if (length > MAX_PAYLOAD_BYTES) {
    throw new SparklerError('LIMIT_EXCEEDED', `A frame of ${length} bytes is too long.`);
  }
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame.writeUInt32LE(length, 0);
  frame.writeUInt8(type, 4);
  frame.writeUInt8(0, 5);
  frame.writeUInt16LE(instance, 6);
  frame.writeUInt32LE(request, 8);
  let at = HEADER_BYTES;
  for (const part of payload) at += part.copy(frame, at);
  return frame;
}

function protocolError(what: string): SparklerError {
  return new SparklerError('GUEST_PROTOCOL', `The guest agent broke the protocol: ${what}.`);
}

interface Header {
  readonly length: number;
  readonly type: FrameType;
  readonly instance: number;
  readonly request: number;
}

function frameOf({ type, instance, request }: Header, payload: Buffer): Frame {
  return { type, instance, request, payload };
}

/**
 * Turns a byte stream, cut anywhere, into frames. A payload that lies inside one chunk is a view
 * of that chunk; one that spans several is copied once.
 */
export class FrameDecoder {
  readonly #fromAgent: boolean;
  /** The first bytes of a header that is not whole yet; while skipping, the last bytes seen. */
  #partial: Buffer = Buffer.alloc(0);
  /** The frame whose payload is being collected. */
  #open: { header: Header; payload: Buffer; have: number } | undefined;
  #skipTo: Buffer | undefined;

  /** `from`: whose frames these are; a type that the other side sends is an error. */
  constructor(from: 'agent' | 'host') {
    this.#fromAgent = from === 'agent';
  }

  /**
   * Forgets what is half read, then discards bytes until the frame of this type, instance 0, and
   * request begins. A restored guest may go on in the middle of what it said before its snapshot.
   */
  skipTo(type: FrameType, request: number): void {
    this.#skipTo = encodeFrame(type, 0, request).subarray(4);
    this.#partial = Buffer.alloc(0);
    this.#open = undefined;
  }

  /**
   * The frames that `chunk` completes.
   * @throws SparklerError GUEST_PROTOCOL; the stream is of no more use then.
   */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let rest = this.#skipTo === undefined ? chunk : this.#skip(chunk, this.#skipTo);
    while (rest.length > 0) {
      rest =
        this.#open === undefined ? this.#readHeader(rest, frames) : this.#readPayload(rest, frames);
    }
    return frames;
  }

  /** What is left of `chunk` from the awaited frame on: nothing while it has not come. */
  #skip(chunk: Buffer, awaited: Buffer): Buffer {
    const seen = Buffer.concat([this.#partial, chunk]);
    const lengthBytes = HEADER_BYTES - awaited.length;
    const at = seen.indexOf(awaited, lengthBytes);
    if (at < 0) {
      // A copy: a view would keep the whole chunk alive.
      this.#partial = Buffer.from(seen.subarray(Math.max(0, seen.length - HEADER_BYTES + 1)));
      return seen.subarray(seen.length);
    }
    this.#skipTo = undefined;
    this.#partial = Buffer.alloc(0);
    return seen.subarray(at - lengthBytes);
  }

  #readHeader(rest: Buffer, frames: Frame[]): Buffer {
    let bytes = rest;
    let taken = HEADER_BYTES;
    if (this.#partial.length > 0 || rest.length < HEADER_BYTES) {
      taken = Math.min(HEADER_BYTES - this.#partial.length, rest.length);
      bytes = Buffer.concat([this.#partial, rest.subarray(0, taken)]);
      if (bytes.length < HEADER_BYTES) {
        this.#partial = bytes;
        return rest.subarray(taken);
      }
      this.#partial = Buffer.alloc(0);
    }
    const header = this.#parseHeader(bytes);
    const after = rest.subarray(taken);
    if (after.length >= header.length) {
      frames.push(frameOf(header, after.subarray(0, header.length)));
      return after.subarray(header.length);
    }
    this.#open = { header, payload: Buffer.allocUnsafe(header.length), have: 0 };
    return after;
  }

  #readPayload(rest: Buffer, frames: Frame[]): Buffer {
    const open = this.#open;
    if (open === undefined) return rest;
    const taken = rest.copy(open.payload, open.have);
    open.have += taken;
    if (open.have === open.header.length) {
      frames.push(frameOf(open.header, open.payload));
      this.#open = undefined;
    }
    return rest.subarray(taken);
  }

  #parseHeader(bytes: Buffer): Header {
    const length = bytes.readUInt32LE(0);
    const type = bytes.readUInt8(4);
    if (length > MAX_PAYLOAD_BYTES) throw protocolError(`a frame of ${length} bytes`);
    if (!KNOWN_TYPES.has(type) || (type & AGENT_BIT) !== (this.#fromAgent ? AGENT_BIT : 0)) {
      throw protocolError(`a frame of type 0x${type.toString(16)}`);
    }
    if (bytes.readUInt8(5) !== 0) throw protocolError('a reserved byte that is not zero');
    return {
      length,
      type: type as FrameType,
      instance: bytes.readUInt16LE(6),
      request: bytes.readUInt32LE(8),
    };
  }
}
