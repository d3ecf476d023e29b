import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseMirrors, sourcesFor } from './apt.js';
import { findPayload, isKernelElf } from './boot-header.js';
import { cpio } from './cpio.js';
import { loadOrder, moduleDependencies, moduleName, orderLine } from './modules.js';

/** A bzImage with `payload` after `sectors` setup sectors. */
function bzImage(payload: Buffer, change: (image: Buffer) => void = () => undefined, sectors = 3) {
  const gap = 16;
  const start = (sectors === 0 ? 5 : sectors + 1) * 512;
  const image = Buffer.alloc(start + gap + payload.length + 4);
  image.writeUInt8(sectors, 0x1f1);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x020f, 0x206);
  image.writeUInt32LE(gap, 0x248);
  image.writeUInt32LE(payload.length + 4, 0x24c);
  payload.copy(image, start + gap);
  image.writeUInt32LE(123_456, start + gap + payload.length);
  change(image);
  return image;
}

const ZSTD = Buffer.from('28b52ffd0102030405', 'hex');

describe('findPayload', () => {
  it.each([
    ['zstd', ZSTD],
    ['xz', Buffer.from('fd377a585a0000', 'hex')],
    ['gzip', Buffer.from('1f8b08', 'hex')],
  ])('finds a %s kernel and its size', (compression, data) => {
    const expected = { compression, data, uncompressedBytes: 123_456 };
    expect(findPayload(bzImage(data))).toEqual(expected);
    expect(findPayload(bzImage(data, undefined, 0))).toEqual(expected);
  });

  it.each<[string, (image: Buffer) => void, RegExp]>([
    ['no header', (i) => void i.write('XXXX', 0x202), /no Linux boot header/],
    [
      'an old protocol',
      (i) => void i.writeUInt16LE(0x0204, 0x206),
      /boot protocol 2\.4 is too old/,
    ],
    ['a payload outside', (i) => void i.writeUInt32LE(1 << 30, 0x24c), /outside of the file/],
    ['an empty payload', (i) => void i.writeUInt32LE(4, 0x24c), /outside of the file/],
    ['another compression', (i) => void i.write('LZO!', 4 * 512 + 16), /none of zstd, xz and gzip/],
  ])('refuses %s', (_, change, reason) => {
    expect(() => findPayload(bzImage(ZSTD, change))).toThrow(reason);
  });

  it('refuses a file that is too short', () => {
    expect(() => findPayload(Buffer.alloc(100))).toThrow(/no Linux boot header/);
  });
});

describe('isKernelElf', () => {
  const elf = Buffer.from('7f454c460201010000000000000000000200 3e00'.replace(' ', ''), 'hex');
  it('knows a 64-bit x86 file from others', () => {
    expect(isKernelElf(elf)).toBe(true);
    expect(isKernelElf(Buffer.concat([Buffer.from('MZ'), elf.subarray(2)]))).toBe(false);
    expect(isKernelElf(Buffer.from(elf.map((byte, at) => (at === 4 ? 1 : byte))))).toBe(false);
    expect(isKernelElf(elf.subarray(0, 10))).toBe(false);
  });
});

describe('cpio', () => {
  const entries = [
    { path: 'dev', mode: 0o755 },
    { path: 'init', mode: 0o755, data: Buffer.from('#!agent') },
    { path: 'mods', mode: 0o755 },
    { path: 'mods/order', mode: 0o644, data: Buffer.from('a.ko\n') },
  ];

  it('writes records as the kernel reads them', () => {
    const bytes = cpio(entries);
    expect(bytes.length % 4).toBe(0);
    expect(bytes.toString('latin1', 0, 6)).toBe('070701');
    expect(records(bytes)).toEqual([
      { name: 'dev', mode: 0o040755, data: '' },
      { name: 'init', mode: 0o100755, data: '#!agent' },
      { name: 'mods', mode: 0o040755, data: '' },
      { name: 'mods/order', mode: 0o100644, data: 'a.ko\n' },
      { name: 'TRAILER!!!', mode: 0, data: '' },
    ]);
  });

  it('gives equal bytes for equal entries', () => {
    expect(cpio(entries).equals(cpio(structuredClone(entries)))).toBe(true);
  });
});

/** Reads an archive as Documentation/driver-api/early-userspace/buffer-format.rst has it. */
function records(bytes: Buffer) {
  const found: { name: string; mode: number; data: string }[] = [];
  for (let at = 0; at < bytes.length;) {
    const field = (index: number) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const align = (offset: number) => Math.ceil(offset / 4) * 4;
    const name = bytes.toString('latin1', at + 110, at + 110 + field(11) - 1);
    const start = align(at + 110 + field(11));
    found.push({ name, mode: field(1), data: bytes.toString('latin1', start, start + field(6)) });
    at = align(start + field(6));
  }
  return found;
}

describe('kernel modules', () => {
  it.each([
    ['erofs', undefined, 'erofs.ko\n'],
    ['virtio_balloon', 5, 'virtio_balloon.ko 0x0005\n'],
    ['virtio_mem', 24, 'virtio_mem.ko 0x0018\n'],
  ])('%s for device %s is listed as %j', (name, device, line) => {
    expect(orderLine(name, device)).toBe(line);
  });

  const file = (depends: string) => Buffer.from(`ELF…\0license=GPL\0depends=${depends}\0name=x\0`);

  it('reads names and dependencies', () => {
    expect(moduleName('virtio-rng.ko.xz')).toBe('virtio_rng');
    expect(moduleName('erofs.ko')).toBe('erofs');
    expect(moduleDependencies(file('netfs,crc32-generic'))).toEqual(['netfs', 'crc32_generic']);
    expect(moduleDependencies(file(''))).toEqual([]);
    expect(moduleDependencies(Buffer.from('no such record'))).toEqual([]);
  });

  const graph: Record<string, string[]> = {
    virtio_blk: [],
    erofs: ['netfs', 'libcrc32c', 'built_in'],
    netfs: ['libcrc32c'],
    libcrc32c: [],
    a: ['b'],
    b: ['a'],
  };
  const lookUp = (name: string) => Promise.resolve(graph[name]);

  it('loads each after what it needs, once, in the wanted order', async () => {
    const order = await loadOrder(['virtio-blk', 'erofs', 'netfs'], lookUp);
    expect(order).toEqual(['virtio_blk', 'libcrc32c', 'netfs', 'erofs']);
  });

  it('ends on a circle, and refuses a wanted module that does not exist', async () => {
    expect(await loadOrder(['a'], lookUp)).toEqual(['b', 'a']);
    await expect(loadOrder(['nosuch'], lookUp)).rejects.toThrow(/has no module nosuch/);
  });
});

describe('mirrors', () => {
  const uris = [
    "'https://packages.example.org/tools/dists/stable/InRelease' tools_InRelease 0 ",
    "'http://mirror.example.org/debian/dists/bookworm/InRelease' a_InRelease 0 ",
    "'http://mirror.example.org/security/dists/bookworm-security/InRelease' b_InRelease 0 ",
    "'http://mirror.example.org/debian/dists/bookworm/main/binary-amd64/Packages.xz' c 0 ",
  ].join('\n');

  it('are those of the machine, whatever else is configured', () => {
    const mirrors = parseMirrors(uris, 'bookworm');
    expect(mirrors).toEqual({
      main: 'http://mirror.example.org/debian',
      security: 'http://mirror.example.org/security',
    });
    expect(sourcesFor('trixie', mirrors!)).toEqual([
      expect.stringMatching(
        /^deb \[signed-by=\S+\] http:\/\/mirror\.example\.org\/debian trixie main$/,
      ),
      expect.stringMatching(/ http:\/\/mirror\.example\.org\/security trixie-security main$/),
    ]);
  });

  it('may lack security updates, or not be there at all', () => {
    const only = "'http://mirror.example.org/debian/dists/stable/InRelease' a 0";
    expect(parseMirrors(only, 'bookworm')).toEqual({ main: 'http://mirror.example.org/debian' });
    expect(parseMirrors('', 'bookworm')).toBeUndefined();
  });

  it("are not others' repositories with the same release name", () => {
    const line = (uri: string, suite: string) => `'${uri}/dists/${suite}/InRelease' x 0\n`;
    const other = line('https://download.example.com/linux/debian', 'bookworm');
    const updates = line('http://mirror.example.org/d', 'bookworm-updates');
    const own = line('http://mirror.example.org/d', 'bookworm') + updates;
    expect(parseMirrors(other + own, 'bookworm')?.main).toBe('http://mirror.example.org/d');
    const plain = line('https://apt.example.com', 'bookworm');
    const debian = line('http://mirror.example.org/debian', 'bookworm');
    expect(parseMirrors(plain + debian, 'bookworm')?.main).toBe('http://mirror.example.org/debian');
  });
});

describe('this machine', () => {
  it('prints its sources in the form that is read', () => {
    const printed = execFileSync('apt-get', ['update', '--print-uris'], { encoding: 'utf8' });
    expect(printed).toMatch(/^'\S+\/dists\/[^/]+\/InRelease' /m);
  });
});
