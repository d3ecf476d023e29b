import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { combineRecordings, jaccard } from './combine.js';
import { crc32c } from './crc32c.js';
import {
  decodeRecording,
  decodeTrace,
  encodeRecording,
  firstTouches,
  readRecording,
  recordingCounts,
  writeRecording,
  type LayerRecording,
  type Recording,
  type RecordingFacts,
  type TraceRecording,
} from './recording.js';

const PAGES = 16;
const FACTS: RecordingFacts = {
  snapshotId: 'ss-1',
  memoryId: 'ab'.repeat(32),
  memoryBytes: PAGES * 4096,
  eventSha256: 'cd'.repeat(32),
  eventBytes: 17,
  recordedAt: 1_795_446_937_000,
};
const UNUSABLE = { code: 'SNAPSHOT_UNUSABLE' };
const traced = (...pages: number[]): TraceRecording => ({
  ...FACTS,
  strategy: 'userfault',
  trace: Uint32Array.from(pages),
});
function layered(groups: Record<number, number>): LayerRecording {
  const layers = new Uint16Array(PAGES);
  for (const [page, group] of Object.entries(groups)) layers[Number(page)] = group;
  return { ...FACTS, strategy: 'mincore', layers };
}

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-recording-'));
  path = join(dir, 'recording');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('a recording', () => {
  it.each<[string, Recording, number[], { pages: number; groups: number }]>([
    ['a trace', traced(7, 0, 7, 3), [7, 0, 3], { pages: 3, groups: 0 }],
    ['layers', layered({ 0: 2, 3: 1, 9: 2, 4: 1 }), [3, 4, 0, 9], { pages: 4, groups: 2 }],
    ['an empty trace', traced(), [], { pages: 0, groups: 0 }],
  ])('of %s comes back as it was', async (_, recording, touches, counts) => {
    await writeRecording(path, recording);
    expect(await readRecording(path, FACTS.memoryId)).toEqual(recording);
    expect([...firstTouches(recording)]).toEqual(touches);
    expect(recordingCounts(recording)).toEqual(counts);
    expect(readdirSync(dir)).toEqual(['recording']);
  });

  it.each([traced(7, 0), layered({ 0: 2 })])(
    'is refused when any byte of it is another',
    (made) => {
      const good = encodeRecording(made);
      for (let at = 0; at < good.length; at++) {
        const bad = Buffer.from(good);
        bad.writeUInt8(bad.readUInt8(at) ^ 1, at);
        expect(() => decodeRecording(bad, FACTS.memoryId), `byte ${at}`).toThrow(/cannot be used/);
      }
    },
  );

  it('is refused when it is cut anywhere', () => {
    const good = encodeRecording(traced(7, 0));
    for (let length = 0; length < good.length; length++) {
      const cut = good.subarray(0, length);
      expect(() => decodeRecording(cut, FACTS.memoryId)).toThrow(/cannot be used/);
    }
  });

  it('is refused when it is of another memory, or missing', async () => {
    await writeRecording(path, traced(1));
    await expect(readRecording(path, 'ef'.repeat(32))).rejects.toThrow(/of memory abab.* not efef/);
    const nowhere = readRecording(join(dir, 'none'), FACTS.memoryId);
    await expect(nowhere).rejects.toMatchObject(UNUSABLE);
  });

  /** Its header changed, and the checksum made good again. */
  function forged(recording: Recording, change: (header: Record<string, unknown>) => void): Buffer {
    const bytes = encodeRecording(recording);
    const length = bytes.readUInt32LE(8);
    const header = JSON.parse(bytes.toString('utf8', 16, 16 + length)) as Record<string, unknown>;
    change(header);
    const text = Buffer.from(JSON.stringify(header));
    const made = Buffer.concat([bytes.subarray(0, 16), text, bytes.subarray(16 + length)]);
    made.writeUInt32LE(text.length, 8);
    made.writeUInt32LE(crc32c(made.subarray(16)), 12);
    return made;
  }

  it.each<[string, Recording, (header: Record<string, unknown>) => void]>([
    ['a field less', traced(1), (header) => delete header['recordedAt']],
    ['a field more', traced(1), (header) => (header['more'] = 1)],
    ['a field of another type', traced(1), (header) => (header['pages'] = '1')],
    ['another count', traced(1), (header) => (header['pages'] = 2)],
    ['another format', traced(1), (header) => (header['format'] = 2)],
    ['another strategy', traced(1), (header) => (header['strategy'] = 'guess')],
    ['a smaller memory', traced(9), (header) => (header['memoryBytes'] = 8 * 4096)],
    ['a larger memory', layered({ 1: 1 }), (header) => (header['memoryBytes'] = 32 * 4096)],
  ])('is refused when its header has %s', (_, recording, change) => {
    expect(() =>
      decodeRecording(
        forged(recording, () => undefined),
        FACTS.memoryId,
      ),
    ).not.toThrow();
    const bytes = forged(recording, change);
    expect(() => decodeRecording(bytes, FACTS.memoryId)).toThrow(/cannot be used/);
  });

  it('keeps the old one when the new one cannot be written', async () => {
    await writeRecording(path, traced(1));
    const before = readFileSync(path);
    writeFileSync(join(dir, 'file'), '');
    const nowhere = join(dir, 'file', 'recording');
    await expect(writeRecording(nowhere, traced(2))).rejects.toMatchObject({ code: 'ENOTDIR' });
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(dir).sort()).toEqual(['file', 'recording']);
  });

  it('takes a trace as the page server writes it', () => {
    expect([...decodeTrace(Buffer.from('0700000001000100', 'hex'))]).toEqual([7, 65537]);
    expect(() => decodeTrace(Buffer.alloc(5))).toThrow(/part of a number/);
  });
});

describe('several recordings', () => {
  const three = [traced(5, 1, 9), traced(1, 9, 2), layered({ 9: 1, 0: 2 })];
  it.each<[string, number, number[]]>([
    // Places: 5:0 1:0 9:0 of the layers, then 0 and 2.
    ['the union', 1, [1, 5, 9, 0, 2]],
    ['what two have seen', 2, [1, 9]],
    ['what all have seen', 3, [9]],
  ])('give %s, earliest first touch first', (_, atLeast, expected) => {
    expect([...combineRecordings(three, atLeast)]).toEqual(expected);
  });

  it('are refused when they are of different memories', () => {
    const other = { ...traced(1), memoryId: 'ef'.repeat(32) };
    expect(() => combineRecordings([traced(1), other])).toThrow(/different memories/);
  });

  it.each([0, 4, 1.5])('cannot be asked for pages seen %s times', (atLeast) => {
    expect(() => combineRecordings(three, atLeast)).toThrow(/at_least must be 1 to 3/);
  });

  it.each<[number[], number[], number]>([
    [[1, 2, 3], [2, 3, 4], 0.5],
    [[1], [1, 1], 1],
    [[1], [2], 0],
    [[], [], 1],
    [[0], [], 0],
  ])('%j and %j are alike by %d', (a, b, expected) => {
    expect(jaccard(a, b)).toBe(expected);
  });
});
