import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import * as tar from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SparklerError } from '../errors.js';
import type { CodeLimits } from './archive/limits.js';
import { makeZip, type ZipEntry } from './archive/make-zip.js';
import { buildCodeDrive } from './code-drive.js';

const LINK = 0o120777;
const MIB = 1024 * 1024;
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-drive-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

type TarEntry = Parameters<tar.Pack['entry']>[0] & { data?: string | Buffer };

/** A tar file; `change` may spoil its bytes. */
async function makeTar(entries: TarEntry[], change = (bytes: Buffer) => bytes): Promise<Buffer> {
  const pack = tar.pack();
  for (const { data, ...header } of entries) pack.entry(header, data ?? '');
  pack.finalize();
  return change(await buffer(pack));
}

/** Writes a header's field anew and corrects its checksum. */
function patchHeader(bytes: Buffer, at: number, field: number, text: string): Buffer {
  const block = bytes.subarray(at, at + 512);
  block.write(text, field, 'latin1');
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

async function failure(archive: Buffer, limits: Partial<CodeLimits> = {}): Promise<SparklerError> {
  const destination = join(dir, 'code.erofs');
  const build = buildCodeDrive(Readable.from([archive]), destination, { limits });
  const error: unknown = await build.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SparklerError);
  expect(readdirSync(dir), 'nothing is left behind').toEqual([]);
  return error as SparklerError;
}

const zipOf = (...entries: ZipEntry[]) => makeZip(entries);
const file = (name: string, data = 'x'): ZipEntry => ({ name, data });

/** Names that no archive may hold, whatever its format. */
const NASTY_NAMES: readonly (readonly [string, RegExp])[] = [
  ['../escape.py', /leads out of its folder/],
  ['a/../../escape.py', /leads out of its folder/],
  ['a/..', /leads out of its folder/],
  ['/etc/passwd', /absolute path/],
  ['C:/boot.ini', /absolute path/],
  ['a\\..\\b.py', /backslash/],
  ['a\nb.py', /control character/],
  ['a\x7fb.py', /control character/],
  ['a//b.py', /empty part/],
  ['a/./b.py', /"\." inside/],
  [`${'n'.repeat(256)}.py`, /longer than 255 bytes/],
  [`${'deep/'.repeat(70)}x.py`, /more than 64 folders deep/],
  [`${'long-folder-name/'.repeat(70)}x.py`, /longer than 1024 bytes/],
];

/** Pairs of names that cannot stand in one folder. */
const COLLISIONS: readonly (readonly [string, string, RegExp])[] = [
  ['app.py', 'app.py', /twice/],
  ['app.py', 'App.py', /differ only by case/],
  ['lib/a.py', 'LIB/b.py', /differ only by case/],
  ['stra\u00dfe.py', 'STRASSE.py', /differ only by case/],
  ['caf\u00e9.py', 'cafe\u0301.py', /Unicode form/],
  ['a', 'a/b.py', /is a file in the archive, not a folder/],
  ['a/b.py', 'a', /a folder has the same name/],
];

describe('names in archives', () => {
  it.each(NASTY_NAMES)('refuses %j in a zip', async (name, reason) => {
    const error = await failure(zipOf(file('good.py'), file(name)));
    expect(error.code).toBe('INVALID_ARCHIVE');
    expect(error.message).toMatch(reason);
    expect(error.message).toContain(JSON.stringify(name).slice(0, 60).replace(/"$/, ''));
  });

  it.each(NASTY_NAMES)('refuses %j in a tar', async (name, reason) => {
    const error = await failure(await makeTar([{ name: 'good.py' }, { name, data: 'x' }]));
    expect(error.code).toBe('INVALID_ARCHIVE');
    expect(error.message).toMatch(reason);
  });

  it.each(COLLISIONS)('refuses %j beside %j', async (first, second, reason) => {
    const zip = await failure(zipOf(file(first), file(second)));
    const tarError = await failure(
      await makeTar([
        { name: first, data: 'x' },
        { name: second, data: 'x' },
      ]),
    );
    expect(zip.code).toBe('INVALID_ARCHIVE');
    expect(zip.message).toMatch(reason);
    expect(tarError.message).toBe(zip.message);
  });

  it('refuses a NUL and an empty name', async () => {
    expect((await failure(zipOf(file('a\0.py')))).message).toMatch(/control character/);
    expect((await failure(zipOf(file('')))).message).toMatch(/name is empty/);
  });

  it('refuses names that are not UTF-8', async () => {
    const name = Buffer.from([0x61, 0xff, 0x62]);
    expect((await failure(makeZip([{ name, data: 'x' }]))).message).toMatch(/not valid UTF-8/);
  });
});

describe('links in archives', () => {
  const outside: readonly (readonly [string, string, RegExp])[] = [
    ['link', '../outside', /leaves the archive/],
    ['a/b/link', '../../../outside', /leaves the archive/],
    ['link', '/etc/passwd', /absolute path/],
    ['link', 'a\\b', /backslash/],
    ['link', 'link', /round in circles/],
    ['link', '', /target is unacceptable: the name is empty/],
  ];
  it.each(outside)('refuses %j → %j', async (name, target, reason) => {
    const zip = zipOf(file('app.py'), { name, data: target, mode: LINK });
    const error = await failure(zip);
    expect(error.code).toBe('INVALID_ARCHIVE');
    expect(error.message).toMatch(reason);
    const link = { name, type: 'symlink', linkname: target } as const;
    if (target === '') return; // tar-stream cannot write one
    expect((await failure(await makeTar([{ name: 'app.py' }, link]))).message).toBe(error.message);
  });

  it('refuses a chain whose last link leaves the archive', async () => {
    const links: ZipEntry[] = [
      { name: 'up', data: 'a/up', mode: LINK },
      { name: 'a/up', data: '..', mode: LINK },
      { name: 'out', data: 'up/../x', mode: LINK },
    ];
    const error = await failure(zipOf(file('app.py'), ...links));
    expect(error.message).toMatch(/"out" is refused: its link to "up\/..\/x" leaves the archive/);
  });

  it('refuses a file below a link', async () => {
    const error = await failure(zipOf({ name: 'l', data: '.', mode: LINK }, file('l/app.py')));
    expect(error.message).toMatch(/"l" is a link in the archive, not a folder/);
  });

  it('refuses hard links to what is not an earlier file', async () => {
    for (const linkname of ['later.py', '../out', '/etc/passwd', 'folder']) {
      const entries: TarEntry[] = [
        { name: 'folder/', type: 'directory' },
        { name: 'hard.py', type: 'link', linkname },
        { name: 'later.py', data: 'x' },
      ];
      expect((await failure(await makeTar(entries))).code).toBe('INVALID_ARCHIVE');
    }
  });
});

describe('special files', () => {
  it.each(['character-device', 'block-device', 'fifo', 'contiguous-file'] as const)(
    'refuses a %s in a tar',
    async (type) => {
      const error = await failure(await makeTar([{ name: 'app.py' }, { name: 'special', type }]));
      expect(error.message).toMatch(/entry "special" is refused/);
    },
  );

  it.each([
    ['character device', 0o020666],
    ['block device', 0o060666],
    ['pipe', 0o010666],
    ['socket', 0o140666],
  ])('refuses a %s in a zip', async (_, mode) => {
    const error = await failure(zipOf(file('app.py'), { name: 'special', mode }));
    expect(error.message).toMatch(/device, a pipe or a socket/);
  });

  it('refuses a folder that says it is a file, and the reverse', async () => {
    const folder = await failure(zipOf(file('app.py'), { name: 'a/', mode: 0o100644 }));
    expect(folder.message).toMatch(/disagree/);
    const plain = await failure(zipOf(file('app.py'), { name: 'a', mode: 0o040755 }));
    expect(plain.message).toMatch(/disagree/);
  });
});

describe('archives that lie', () => {
  const content = 'x'.repeat(1000);
  const lies: readonly (readonly [string, ZipEntry | Buffer, RegExp])[] = [
    [
      'fewer bytes than there are',
      { name: 'a.py', data: content, claim: { bytes: 10 } },
      /too many bytes/,
    ],
    [
      'more bytes than there are',
      { name: 'a.py', data: content, claim: { bytes: 2000 } },
      /not enough bytes/,
    ],
    [
      'another size of a stored file',
      { name: 'a.py', data: 'abc', method: 0, claim: { bytes: 2 } },
      /mismatch/,
    ],
    ['another checksum', { name: 'a.py', data: content, claim: { crc32: 1 } }, /checksum/],
    [
      'content beyond its end',
      { name: 'a.py', data: content, claim: { compressedBytes: 9999 } },
      /./,
    ],
    ['encryption', { name: 'a.py', data: content, flags: 0x801 }, /encrypted/],
    ['strong encryption', { name: 'a.py', data: content, flags: 0x841 }, /encryption/],
    ['an unknown compression', { name: 'a.py', data: content, method: 14 }, /method 14/],
    ['a folder with content', { name: 'a/', data: content }, /folder with content/],
    [
      'fewer entries than there are',
      makeZip([file('a.py'), file('b.py')], { entries: 1 }),
      /number of entries/,
    ],
    ['more entries than there are', makeZip([file('a.py')], { entries: 2 }), /unexpected EOF/],
    ['another disk', makeZip([file('a.py')], { disk: 1 }), /multi-disk/],
    [
      'bytes after its end',
      Buffer.concat([zipOf(file('a.py')), Buffer.from('tail')]),
      /comment length/,
    ],
    ['a cut end', zipOf(file('a.py')).subarray(0, -10), /end of central directory/i],
  ];
  it.each(lies)('refuses a zip with %s', async (_, lie, reason) => {
    const error = await failure(Buffer.isBuffer(lie) ? lie : zipOf(lie));
    expect(error.code).toBe('INVALID_ARCHIVE');
    expect(error.message).toMatch(reason);
  });

  it('refuses a zip64 entry that claims more than any limit', async () => {
    const extra = Buffer.alloc(20);
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(16, 2);
    extra.writeBigUInt64LE(1n << 45n, 4);
    extra.writeBigUInt64LE(100n, 12);
    const claim = { bytes: 0xffffffff, compressedBytes: 0xffffffff };
    const error = await failure(zipOf({ name: 'huge', data: 'x', extra, claim }));
    expect(error.code).toBe('ARCHIVE_TOO_LARGE');
    expect(error.message).toContain('"huge"');
  });

  it('refuses a tar that was cut off, anywhere', async () => {
    const whole = await makeTar([
      { name: 'a.py', data: content },
      { name: 'b.py', data: content },
    ]);
    for (const bytes of [512, 700, 1536, 2048, whole.length - 1024]) {
      const error = await failure(whole.subarray(0, bytes));
      expect(error.code, `${bytes} bytes`).toBe('INVALID_ARCHIVE');
    }
  });

  it('refuses a cut or continued gzip', async () => {
    const gzip = gzipSync(await makeTar([{ name: 'a.py', data: content }]));
    expect((await failure(gzip.subarray(0, -20))).code).toBe('INVALID_ARCHIVE');
    expect((await failure(Buffer.concat([gzip, Buffer.from('tail')]))).code).toBe(
      'INVALID_ARCHIVE',
    );
  });

  it('refuses what follows the end of a tar', async () => {
    const first = await makeTar([{ name: 'a.py', data: 'x' }]);
    const error = await failure(Buffer.concat([first, first]));
    expect(error.message).toMatch(/follows the end of the tar/);
  });

  it('refuses a damaged tar header', async () => {
    const error = await failure(
      await makeTar([{ name: 'a.py', data: 'x' }, { name: 'b.py' }], (bytes) => {
        bytes[1024] = 0x21;
        return bytes;
      }),
    );
    expect(error.message).toMatch(/Invalid tar header/);
  });

  it('refuses sizes in a tar that programs read differently', async () => {
    const folder = await makeTar([{ name: 'a.py' }, { name: 'd/', type: 'directory' }], (bytes) =>
      patchHeader(bytes, 512, 124, '00000001000\0'),
    );
    expect((await failure(folder)).message).toMatch(/folder, link or special file has content/);
    const binary = await makeTar([{ name: 'a.py', data: 'x' }], (bytes) =>
      patchHeader(bytes, 0, 124, '\x80\0\0\0\0\0\0\0\0\0\0\x01'),
    );
    expect((await failure(binary)).message).toMatch(/not an octal number/);
    const pax = await makeTar([{ name: 'a.py', data: 'x', pax: { size: '1' } }]);
    expect((await failure(pax)).message).toMatch(/changes a size/);
    const sparse = await makeTar([{ name: 'a.py', pax: { 'GNU.sparse.major': '1' } }]);
    expect((await failure(sparse)).message).toMatch(/sparse/);
    const bulky = await makeTar([{ name: 'a.py', pax: { comment: 'x'.repeat(100_000) } }]);
    expect((await failure(bulky)).message).toMatch(/extended header is too large/);
  });
});

describe('archives that are too large', () => {
  it('refuses the archive itself, one file, all files, and too many', async () => {
    const zip = zipOf(file('a.py', 'x'.repeat(600)), file('b.py', 'y'.repeat(600)));
    const cases: [Partial<CodeLimits>, RegExp][] = [
      [{ maxArchiveBytes: 100 }, /more than 100 bytes/],
      [{ maxFileBytes: 500 }, /"a\.py" has 600 bytes/],
      [{ maxUnpackedBytes: 1000 }, /unpacks to more than 1000 bytes/],
      [{ maxEntries: 1 }, /2 entries; 1 are allowed/],
    ];
    for (const [limits, reason] of cases) {
      const error = await failure(zip, limits);
      expect(error.code).toBe('ARCHIVE_TOO_LARGE');
      expect(error.message).toMatch(reason);
    }
  });

  it('counts folders that are only implied', async () => {
    const error = await failure(zipOf(file('a/b/c/d/e/f.py')), { maxEntries: 5 });
    expect(error.code).toBe('ARCHIVE_TOO_LARGE');
  });

  it('refuses a bomb before it is unpacked', async () => {
    const zeros = Buffer.alloc(64 * MIB);
    const limits = { maxFileBytes: 128 * MIB, maxUnpackedBytes: 32 * MIB };
    const zip = await failure(zipOf({ name: 'bomb', data: zeros }), limits);
    expect(zip.code).toBe('ARCHIVE_TOO_LARGE');
    const gzip = gzipSync(await makeTar([{ name: 'bomb', data: zeros }]));
    expect((await failure(gzip, limits)).code).toBe('ARCHIVE_TOO_LARGE');
  });

  it('stops at a bomb of zeros after the end of a tar', async () => {
    const end = await makeTar([{ name: 'a.py', data: 'x' }]);
    const error = await failure(gzipSync(Buffer.concat([end, Buffer.alloc(8 * MIB)])));
    expect(error.message).toMatch(/too many zeros/);
  });
});

describe('what is no archive', () => {
  it.each<[string, Buffer, RegExp]>([
    ['nothing', Buffer.alloc(0), /looks like empty/],
    ['text', Buffer.from('def handler(): pass\n'), /looks like something else/],
    ['xz', Buffer.from('fd377a585a000004', 'hex'), /looks like xz/],
    ['an empty zip', zipOf(), /holds no files/],
    ['an empty tar', Buffer.alloc(1024), /holds no files/],
    ['a zip of folders', zipOf({ name: 'a/' }), /holds no files/],
  ])('refuses %s', async (_, bytes, reason) => {
    const error = await failure(bytes);
    expect(error.code).toBe('INVALID_ARCHIVE');
    expect(error.message).toMatch(reason);
  });
});

describe('a good archive', () => {
  const entries: TarEntry[] = [
    { name: './', type: 'directory' },
    { name: './app.py', data: 'def handler(event, context): return event\n', mode: 0o600 },
    { name: './empty/', type: 'directory', mode: 0o700 },
    { name: './lib/tool.sh', data: '#!/bin/sh\n', mode: 0o755, uid: 1000, gid: 1000 },
    { name: './lib/now', type: 'symlink', linkname: '../app.py' },
    { name: './\u540d\u524d.txt', data: 'unicode' },
  ];
  const zipped: ZipEntry[] = [
    { name: '\u540d\u524d.txt', data: 'unicode', method: 0 },
    { name: 'lib/now', data: '../app.py', mode: LINK },
    { name: 'app.py', data: 'def handler(event, context): return event\n' },
    { name: 'lib/tool.sh', data: '#!/bin/sh\n', mode: 0o100644 },
    { name: 'empty/' },
  ];

  async function build(archive: Buffer, name: string) {
    return buildCodeDrive(Readable.from([archive]), join(dir, name));
  }

  it('becomes the same drive from a tar, a gzipped tar and a zip', async () => {
    const bytes = await makeTar(entries);
    const plain = await build(bytes, 'a');
    const gzipped = await build(gzipSync(bytes), 'b');
    const zip = await build(makeZip(zipped), 'c');
    expect(plain).toMatchObject({ files: 3, unpackedBytes: 59 });
    expect(plain.bytes % 4096).toBe(0);
    expect(readFileSync(plain.path).readUInt32LE(1024)).toBe(0xe0f5e1e2);
    expect([gzipped.sha256, zip.sha256]).toEqual([plain.sha256, plain.sha256]);
    expect(statSync(plain.path).mode & 0o777).toBe(0o444);
    expect(readdirSync(dir).sort()).toEqual(['a', 'b', 'c']);
  });

  it('holds what was packed', async () => {
    const { path } = await build(await makeTar(entries), 'a');
    const dump = execFileSync('dump.erofs', ['--path=/lib/tool.sh', path], { encoding: 'utf8' });
    expect(dump).toMatch(/Uid: 0\s+Gid: 0\s+Access: 0555/);
    expect(dump).toMatch(/Size: 10\b/);
  });

  it('may come as a file and hold hard links', async () => {
    const archive = join(dir, 'code.tar');
    const links: TarEntry[] = [...entries, { name: 'same.py', type: 'link', linkname: 'app.py' }];
    writeFileSync(archive, await makeTar(links));
    mkdirSync(join(dir, 'tmp'));
    const options = { tmpDir: join(dir, 'tmp') };
    const drive = await buildCodeDrive(archive, join(dir, 'drive'), options);
    expect(drive.files).toBe(4);
    expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
  });
});
