/** The native page tools that run to their end, built with sanitizers. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dropCache } from '../../src/snapshot/index.js';
import { crc32c } from '../../src/snapshot/working-set/crc32c.js';
import { runsFromBitmap } from '../../src/snapshot/working-set/runs.js';
import { writeWorkingSet } from '../../src/snapshot/working-set/working-set-file.js';
import { canDropCache, NativeTools } from '../support/native-tools.js';
import { seededRandom } from '../support/random.js';

const PAGE = 4096;
const BLOCK = 64 * 1024;
const random = seededRandom();

let tools: NativeTools;
beforeAll(() => {
  tools = new NativeTools(['memory-sums', 'page-loader'], ['crc32c-vectors']);
});
afterAll(() => tools.close());

describe('crc32c.h', () => {
  it('gives the published checksums by table and by instruction', () => {
    const lines = execFileSync(tools.path('crc32c-vectors'), { encoding: 'utf8' });
    const thrice = (sum: string): string => [sum, sum, sum].join(' ');
    const published = ['e3069283', '8a9136aa', '62a8ab43', '46dd794e'].map(thrice);
    expect(lines.trim().split('\n')).toEqual([...published, 'divisible']);
  });
});

describe('memory-sums', () => {
  const BLOCKS = 41;

  /** Blocks of chance, of zeros, with one page in them, and holes. */
  function memory(): { path: string; bytes: Buffer } {
    const bytes = Buffer.alloc(BLOCKS * BLOCK);
    for (let page = 0; page < bytes.length / PAGE; page++) {
      const block = Math.floor(page / 16);
      if (block % 5 === 3 || (block % 5 === 4 && page % 16 !== 7)) continue;
      if (random(4) > 0) bytes[page * PAGE + random(PAGE)] = 1 + random(255);
      if (random(4) > 0) bytes[page * PAGE + random(PAGE)] = 1 + random(255);
    }
    // The first and the last byte of the file, and the last of a page alone.
    bytes[0] = bytes[bytes.length - 1] = 1;
    bytes.fill(0, 2 * BLOCK, 2 * BLOCK + PAGE);
    bytes[2 * BLOCK + PAGE - 1] = 1;
    const path = tools.path('memory');
    writeFileSync(path, bytes);
    execFileSync('fallocate', ['--dig-holes', path]);
    return { path, bytes };
  }

  const make = (path: string, ...flags: string[]) =>
    tools.run(
      'memory-sums',
      [...flags, 'make', '3', '4', '5'],
      [
        [path, 'r'],
        [tools.path('sums'), 'w+'],
        [tools.path('map'), 'w+'],
      ],
    );
  const check = (path: string, sums = tools.path('sums')) =>
    tools.run(
      'memory-sums',
      ['check', '3', '4'],
      [
        [path, 'r'],
        [sums, 'r'],
      ],
    );

  it('sums up each block, a hole as zeros, and maps the pages that are not zero', () => {
    const { path, bytes } = memory();
    expect(make(path)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const sums = readFileSync(tools.path('sums'));
    const expected = Array.from({ length: BLOCKS }, (_, i) =>
      crc32c(bytes.subarray(i * BLOCK, (i + 1) * BLOCK)),
    );
    expect(Array.from(expected, (_, i) => sums.readUInt32LE(4 * i))).toEqual(expected);
    expect(sums.length).toBe(4 * BLOCKS);
    const map = readFileSync(tools.path('map'));
    expect(map.length).toBe((BLOCKS * BLOCK) / PAGE / 8);
    const nonZero = Array.from({ length: bytes.length / PAGE }, (_, page) =>
      bytes.subarray(page * PAGE, (page + 1) * PAGE).some((byte) => byte !== 0),
    );
    const pages = new Set(
      runsFromBitmap(map, nonZero.length).flatMap(({ page, pages: count }) =>
        Array.from({ length: count }, (_, i) => page + i),
      ),
    );
    expect(nonZero.map((_, page) => pages.has(page))).toEqual(nonZero);
    expect(check(path)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  it('gives the same table with and without a map, with and without --drop', () => {
    const { path } = memory();
    make(path);
    const expected = readFileSync(tools.path('sums'));
    for (const flags of [[], ['--drop']]) {
      const alone = tools.run(
        'memory-sums',
        [...flags, 'make', '3', '4'],
        [
          [path, 'r'],
          [tools.path('alone'), 'w+'],
        ],
      );
      expect(alone).toMatchObject({ status: 0, stderr: '' });
      expect(readFileSync(tools.path('alone')).equals(expected)).toBe(true);
    }
  });

  it.skipIf(!canDropCache)('drops the file from the page cache when told so', async () => {
    const { path } = memory();
    await dropCache(path, 10_000); // Written to the disk, or nothing could be dropped.
    const cached = (): number =>
      Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', path]));
    make(path);
    expect(cached()).toBeGreaterThan(0);
    make(path, '--drop');
    expect(cached()).toBe(0);
  });

  it('finds a changed bit, a block that became zeros, and a hole that was written to', () => {
    const { path, bytes } = memory();
    make(path);
    bytes.writeUInt8(bytes.readUInt8(7 * BLOCK + 1234) ^ 0x20, 7 * BLOCK + 1234);
    bytes.fill(0, 10 * BLOCK, 11 * BLOCK);
    bytes[13 * BLOCK] = 1;
    writeFileSync(path, bytes);
    execFileSync('fallocate', ['--dig-holes', path]);
    const bad = [7, 10, 13].map((block) => `bad ${block * BLOCK}\n`).join('');
    expect(check(path)).toMatchObject({ status: 1, stdout: bad, stderr: '' });
  });

  it.each([
    [16, ''],
    [17, 'more\n'],
    [40, 'more\n'],
  ])('names at most 16 bad blocks: %i of them', (count, more) => {
    const { path } = memory();
    make(path);
    const sums = readFileSync(tools.path('sums'));
    for (let block = 0; block < count; block++) sums.writeUInt32LE(1, 4 * block);
    writeFileSync(tools.path('wrong'), sums);
    const bad = Array.from({ length: 16 }, (_, block) => `bad ${block * BLOCK}\n`).join('');
    expect(check(path, tools.path('wrong'))).toMatchObject({ status: 1, stdout: bad + more });
  });

  it('says with status 2 what it cannot do', () => {
    const { path, bytes } = memory();
    make(path);
    const short = tools.path('short');
    writeFileSync(short, bytes.subarray(0, -BLOCK));
    expect(check(short)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/another size/) as unknown,
    });
    writeFileSync(short, bytes.subarray(0, -1));
    expect(check(short)).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/whole number/) as unknown,
    });
    const cases: [string[], [string, string][]][] = [
      [[], []],
      [['sum', '3', '4'], []],
      [['check', '3'], [[path, 'r']]],
      [['check', '3', 'x'], [[path, 'r']]],
      [['check', '3', '99'], [[path, 'r']]],
      [
        ['make', '3', '4'],
        [
          [path, 'r'],
          [short, 'r'],
        ],
      ],
      [
        ['make', '3', '4'],
        [
          [tools.dir, 'r'],
          [short, 'r+'],
        ],
      ],
    ];
    for (const [args, files] of cases) {
      const done = tools.run('memory-sums', args, files);
      expect(done, args.join(' ')).toMatchObject({ status: 2, stdout: '' });
      expect(done.stderr).toMatch(/^memory-sums: .*\n$/);
    }
  });
});

describe('page-loader', () => {
  const MEMORY_ID = 'ab'.repeat(32);

  async function workingSet() {
    const bytes = Buffer.alloc(1024 * PAGE);
    for (let at = 0; at < bytes.length; at += 256) bytes.writeUInt32LE(random(2 ** 32), at);
    const memoryPath = tools.path('loaded-memory');
    writeFileSync(memoryPath, bytes);
    const path = tools.path('file.wsf');
    const regions = [
      { page: 700, pages: 300, group: 1 },
      { page: 0, pages: 3, group: 2 },
      { page: 1023, pages: 1, group: 7 },
    ];
    const set = await writeWorkingSet(path, { memoryPath, memoryId: MEMORY_ID }, regions);
    return { path, set, good: readFileSync(path) };
  }
  const load = (path: string) => tools.run('page-loader', ['3'], [[path, 'r']]);

  it.skipIf(!canDropCache)('reads the whole file into the page cache', async () => {
    const { path, good } = await workingSet();
    await dropCache(path, 10_000);
    const done = load(path);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(done.stdout)).toEqual({
      bytes: good.length,
      ns: expect.any(Number) as unknown,
    });
    const cached = execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', path]);
    expect(Number(cached)).toBe(good.length);
  });

  it('takes one without regions', async () => {
    const { path } = await workingSet();
    const memoryPath = tools.path('loaded-memory');
    await writeWorkingSet(path, { memoryPath, memoryId: MEMORY_ID }, []);
    expect(load(path).status).toBe(0);
  });

  it('finds a changed byte wherever it is', async () => {
    const { path, good, set } = await workingSet();
    const last = good.length - 1;
    const some = [0, 7, 8, 12, 16, 24, 32, 40, 48, 56, 64, 68, 72, 103, 104, 4095];
    const tables = [4096, 4104, 4108, 4096 + 48, 4096 + 48 + 4 * set.sums.length - 1, 8191];
    const data = [set.dataAt, set.dataAt + BLOCK, last - PAGE, last];
    for (const at of [...some, ...tables, ...data]) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ 4, at);
      writeFileSync(path, bad);
      const done = load(path);
      expect(done, `byte ${at}`).toMatchObject({ status: 1, stdout: '' });
      expect(done.stderr).toMatch(/^damaged .*\n$/);
    }
  });

  it('names the block that is damaged', async () => {
    const { path, good, set } = await workingSet();
    const at = set.dataAt + 3 * BLOCK;
    good.writeUInt8(good.readUInt8(at + 99) ^ 1, at + 99);
    writeFileSync(path, good);
    expect(load(path).stderr).toBe(`damaged data: block at ${at}\n`);
  });

  /** Numbers in header and tables changed, and both checksums made good again. */
  function forged(good: Buffer, sums: number, change: (bytes: Buffer) => void): Buffer {
    const bytes = Buffer.from(good);
    change(bytes);
    bytes.writeUInt32LE(crc32c(bytes.subarray(4096, 4096 + 48 + 4 * sums)), 64);
    bytes.writeUInt32LE(0, 8);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 4096)), 8);
    return bytes;
  }

  it.each<[string, (bytes: Buffer) => void]>([
    ['a region outside of the memory', (bytes) => bytes.writeUInt32LE(900, 4096)],
    ['a region at the end of all numbers', (bytes) => bytes.fill(0xff, 4096, 4104)],
    ['regions that overlap', (bytes) => bytes.writeUInt32LE(701, 4096 + 16)],
    ['fewer pages than data', (bytes) => bytes.writeUInt32LE(2, 4096 + 16 + 8)],
    ['an empty region', (bytes) => bytes.writeUInt32LE(0, 4096 + 16 + 8)],
    ['a huge number of regions', (bytes) => bytes.fill(0xff, 24, 32)],
    ['a huge memory', (bytes) => bytes.fill(0xff, 18, 24)],
    ['tables elsewhere', (bytes) => bytes.writeUInt32LE(8192, 32)],
    ['data that begins later', (bytes) => bytes.writeUInt32LE(3 * PAGE, 48)],
    ['pages of another size', (bytes) => bytes.writeUInt32LE(8192, 12)],
  ])('does not believe %s', async (_, change) => {
    const { path, good, set } = await workingSet();
    writeFileSync(
      path,
      forged(good, set.sums.length, () => undefined),
    );
    expect(load(path).status).toBe(0);
    writeFileSync(path, forged(good, set.sums.length, change));
    expect(load(path)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^damaged /) as unknown,
    });
  });

  it('calls a file damaged that is too short or too long', async () => {
    const { path, good } = await workingSet();
    for (const bytes of [good.subarray(0, -1), good.subarray(0, 99), Buffer.alloc(0)]) {
      writeFileSync(path, bytes);
      expect(load(path).status).toBe(1);
    }
    writeFileSync(path, Buffer.concat([good, Buffer.alloc(PAGE)]));
    expect(load(path).stderr).toBe('damaged file: its size\n');
  });

  it('answers with status 2 when it cannot read', () => {
    for (const args of [['99'], ['x'], [], ['3', '3']]) {
      const done = tools.run('page-loader', args);
      expect(done).toMatchObject({ status: 2, stdout: '' });
      expect(done.stderr).toMatch(/^page-loader: .*\n$/);
    }
  });
});
