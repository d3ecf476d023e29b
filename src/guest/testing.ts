/** Helpers of this room's tests. */
import { Duplex } from 'node:stream';
import type { GuestOptions } from './options.js';

/** Random numbers that repeat with SPARKLER_TEST_SEED; `seed` goes into what a failure says. */
export interface SeededRandom {
  readonly seed: number;
  below(limit: number): number;
  bytes(length: number): Buffer;
}

export function seededRandom(purpose: string): SeededRandom {
  const seed = Number(process.env['SPARKLER_TEST_SEED'] ?? Date.now() % 1_000_000_007);
  console.log(`${purpose}: SPARKLER_TEST_SEED=${seed}`);
  let state = (seed ^ 0x9e3779b9) >>> 0;
  // mulberry32: good enough to cut and to garble.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    seed,
    below,
    bytes: (length) => Buffer.from(Uint8Array.from({ length }, () => below(256))),
  };
}

/** Two connected streams: what is written to one is read from the other. */
export function channelPair(): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        setImmediate(() => {
          if (!other().destroyed) other().push(chunk);
          done();
        });
      },
      final(done) {
        other().push(null);
        done();
      },
      destroy(error, done) {
        if (!other().destroyed) other().push(null);
        done(error);
      },
    });
  const pair: [Duplex, Duplex] = [make(() => pair[1]), make(() => pair[0])];
  return pair;
}

/** Limits generous enough for a loaded machine; a test overrides the one it is about. */
export const TEST_OPTIONS: GuestOptions = {
  helloTimeoutMs: 20_000,
  startTimeoutMs: 20_000,
  restoreTimeoutMs: 20_000,
  exitTimeoutMs: 20_000,
  pingTimeoutMs: 20_000,
  freezeTimeoutMs: 20_000,
  logBytes: 16 * 1024,
  resultBytes: 6 * 1024 * 1024,
};

export const TEST_CONTEXT = { requestId: 'r-1', functionName: 'f', memoryMiB: 128 };
