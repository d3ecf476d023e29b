import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.js';
import { PAGE_BYTES, type GroupedRun } from './runs.js';
import { readWorkingSet, writeWorkingSet } from './working-set-file.js';

const MEMORY_ID = 'ab'.repeat(32);
const PAGES = 1024;
const UNUSABLE = { code: 'SNAPSHOT_UNUSABLE' };

let dir: string;
let memory: Buffer;
let source: { memoryPath: string; memoryId: string };
let path: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-ws-'));
  memory = Buffer.alloc(PAGES * PAGE_BYTES);
  for (let page = 0; page < PAGES; page++) memory.writeUInt32LE(page + 1, page * PAGE_BYTES);
  source = { memoryPath: join(dir, 'memory'), memoryId: MEMORY_ID };
  writeFileSync(source.memoryPath, memory);
  path = join(dir, 'file.wsf');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const REGIONS: GroupedRun[] = [
  { page: 700, pages: 300, group: 1 },
  { page: 0, pages: 3, group: 2 },
  { page: 1023, pages: 1, group: 7 },
  { page: 20, pages: 1, group: 0 },
];
/** The regions' pages, one after the other. */
const dataOf = (regions: readonly GroupedRun[]): Buffer =>
  Buffer.concat(
    regions.map(({ page, pages }) =>
      memory.subarray(page * PAGE_BYTES, (page + pages) * PAGE_BYTES),
    ),
  );

describe('a working-set file', () => {
  it('holds header, tables and the regions’ pages as the format says', async () => {
    const written = await writeWorkingSet(path, source, REGIONS);
    const bytes = readFileSync(path);
    const data = dataOf(REGIONS);
    expect(bytes.toString('latin1', 0, 8)).toBe('SPKLWSF1');
    expect(bytes.readUInt32LE(12)).toBe(4096);
    const numbers = [16, 24, 32, 40, 48, 56].map((at) => Number(bytes.readBigUInt64LE(at)));
    expect(numbers).toEqual([memory.length, 4, 4096, 4096 + 64, 8192, data.length]);
    expect(bytes.toString('hex', 72, 104)).toBe(MEMORY_ID);
    expect(bytes.subarray(104, 4096).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(8192).equals(data)).toBe(true);
    const sums = Array.from({ length: Math.ceil(data.length / 65536) }, (_, i) =>
      crc32c(data.subarray(i * 65536, (i + 1) * 65536)),
    );
    expect(sums.length).toBeGreaterThan(16);
    expect(sums.map((_, i) => bytes.readUInt32LE(4096 + 64 + 4 * i))).toEqual(sums);
    expect(await readWorkingSet(path, MEMORY_ID)).toEqual(written);
    expect(written).toMatchObject({ regions: REGIONS, sums, dataAt: 8192 });
    // No temporary file is left.
    expect(readdirSync(dir).sort()).toEqual(['file.wsf', 'memory']);
  });

  it('may hold nothing', async () => {
    await writeWorkingSet(path, source, []);
    expect(await readWorkingSet(path, MEMORY_ID)).toMatchObject({ regions: [], dataBytes: 0 });
  });

  it('puts the data at a whole page also when the tables fill one', async () => {
    const regions = Array.from({ length: 255 }, (_, i) => ({ page: 2 * i, pages: 1, group: 1 }));
    const { dataAt } = await writeWorkingSet(path, source, regions);
    // 255 * 16 + 16 * 4 bytes of tables are more than a page.
    expect(dataAt).toBe(4096 + 8192);
    expect(readFileSync(path).subarray(dataAt).equals(dataOf(regions))).toBe(true);
  });

  it.each<[string, GroupedRun[]]>([
    [
      'overlap',
      [
        { page: 5, pages: 3, group: 1 },
        { page: 4, pages: 2, group: 2 },
      ],
    ],
    ['leave the memory', [{ page: 1023, pages: 2, group: 1 }]],
    ['are empty', [{ page: 5, pages: 0, group: 1 }]],
  ])('is not made of regions that %s', async (_, regions) => {
    await expect(writeWorkingSet(path, source, regions)).rejects.toMatchObject(UNUSABLE);
    expect(readdirSync(dir)).toEqual(['memory']);
  });

  it('keeps what was there when writing fails', async () => {
    await writeWorkingSet(path, source, REGIONS);
    const before = readFileSync(path);
    const gone = { ...source, memoryPath: join(dir, 'none') };
    await expect(writeWorkingSet(path, gone, REGIONS)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('is refused when one byte of its header or tables is another', async () => {
    const { dataAt } = await writeWorkingSet(path, source, REGIONS);
    const good = readFileSync(path);
    for (let at = 0; at < dataAt; at += at < 128 ? 1 : 61) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ 0x10, at);
      writeFileSync(path, bad);
      await expect(readWorkingSet(path, MEMORY_ID), `byte ${at}`).rejects.toMatchObject(UNUSABLE);
    }
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['is cut', (bytes) => bytes.subarray(0, -1)],
    ['is longer', (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ['is cut in its header', (bytes) => bytes.subarray(0, 100)],
    ['is empty', () => Buffer.alloc(0)],
  ])('is refused when it %s', async (_, change) => {
    await writeWorkingSet(path, source, REGIONS);
    writeFileSync(path, change(readFileSync(path)));
    await expect(readWorkingSet(path, MEMORY_ID)).rejects.toMatchObject(UNUSABLE);
  });

  it('is refused when it is missing or of another memory', async () => {
    expect(existsSync(path)).toBe(false);
    await expect(readWorkingSet(path, MEMORY_ID)).rejects.toThrow(/missing/);
    await writeWorkingSet(path, source, REGIONS);
    await expect(readWorkingSet(path, 'cd'.repeat(32))).rejects.toThrow(/of memory abab/);
  });
});
