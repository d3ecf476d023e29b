import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, FrameType, MAX_PAYLOAD_BYTES, type Frame } from './frames.js';
import { seededRandom } from './testing.js';

const plain = (frame: Frame) => ({ ...frame, payload: frame.payload.toString('latin1') });

function header(length: number, type: number, reserved = 0): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(length, 0);
  bytes.writeUInt8(type, 4);
  bytes.writeUInt8(reserved, 5);
  return bytes;
}

describe('FrameDecoder', () => {
  it('finds the same frames however the stream is cut', () => {
    const random = seededRandom('frames');
    for (let round = 0; round < 200; round++) {
      const sent = Array.from({ length: 1 + random.below(6) }, () => ({
        type: [FrameType.LOG, FrameType.RESULT, FrameType.PONG][random.below(3)]!,
        instance: random.below(0x10000),
        request: random.below(0x100000000),
        payload: random.bytes(random.below(4) === 0 ? random.below(70_000) : random.below(40)),
      }));
      const stream = Buffer.concat(
        sent.map((f) => encodeFrame(f.type, f.instance, f.request, f.payload)),
      );
      const decoder = new FrameDecoder('agent');
      const got: Frame[] = [];
      for (let at = 0; at < stream.length;) {
        const size = 1 + random.below(random.below(3) === 0 ? 20_000 : 30);
        got.push(...decoder.push(Buffer.from(stream.subarray(at, at + size))));
        at += size;
      }
      expect(got.map(plain), `SPARKLER_TEST_SEED=${random.seed}`).toEqual(sent.map(plain));
    }
  });

  it('ends in frames or GUEST_PROTOCOL on garbage, never in another error', () => {
    const random = seededRandom('garbage');
    for (let round = 0; round < 2000; round++) {
      const decoder = new FrameDecoder('agent');
      try {
        for (let i = 0; i < 5; i++) decoder.push(random.bytes(random.below(40)));
      } catch (error) {
        expect(error, `SPARKLER_TEST_SEED=${random.seed}`).toMatchObject({
          code: 'GUEST_PROTOCOL',
        });
      }
    }
  });

  it.each([
    ['a payload over the limit', header(MAX_PAYLOAD_BYTES + 1, FrameType.LOG)],
    ['an unknown type', header(0, 0x99)],
    ['a type that only the host sends', header(0, FrameType.KILL)],
    ['a reserved byte', header(0, FrameType.LOG, 1)],
  ])('refuses %s', (_what, bytes) => {
    expect(() => new FrameDecoder('agent').push(bytes)).toThrow(/broke the protocol/);
  });

  it('does not copy a payload that lies in one chunk', () => {
    const chunk = encodeFrame(FrameType.LOG, 1, 0, Buffer.from('hello'));
    const [frame] = new FrameDecoder('agent').push(chunk);
    expect(frame!.payload.buffer).toBe(chunk.buffer);
  });

  it('skips the rest of an earlier life, cut anywhere, to the awaited frame', () => {
    const old = encodeFrame(FrameType.LOG, 1, 0, Buffer.alloc(300, 7)).subarray(100);
    const other = encodeFrame(FrameType.RESTORED, 0, 1234, Buffer.from('{}'));
    const awaited = encodeFrame(FrameType.RESTORED, 0, 0xdeadbeef, Buffer.from('{"instances":[]}'));
    const next = encodeFrame(FrameType.LOG, 2, 0, Buffer.from('x'));
    const stream = Buffer.concat([old, other, awaited, next]);
    for (let size = 1; size < 40; size++) {
      const decoder = new FrameDecoder('agent');
      decoder.push(encodeFrame(FrameType.LOG, 1, 0, Buffer.alloc(50)).subarray(0, 30));
      decoder.skipTo(FrameType.RESTORED, 0xdeadbeef);
      const got: Frame[] = [];
      for (let at = 0; at < stream.length; at += size) {
        got.push(...decoder.push(stream.subarray(at, at + size)));
      }
      expect(got.map((f) => [f.type, f.request])).toEqual([
        [FrameType.RESTORED, 0xdeadbeef],
        [FrameType.LOG, 0],
      ]);
    }
  });
});
