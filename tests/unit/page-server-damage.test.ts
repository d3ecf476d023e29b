/** The page server when its files are not what they should be: never zeros or old data instead. */
import { closeSync, constants, openSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BLOCK, hashOf, memoryBytes, PAGE, PageServers, PAGES } from '../support/page-server.js';
import { resealed, sumsOf, workingSet, type Plan } from '../support/page-server.js';

/** Limit on building the programs, in milliseconds. */
const BUILD_MS = 120_000;

let pages: PageServers;
const memory = memoryBytes();
const failed = { status: 1, stderr: '' };
const opened: number[] = [];

beforeAll(() => {
  pages = new PageServers();
}, BUILD_MS);
afterEach(async () => {
  await pages.end();
  opened.splice(0).forEach((fd) => closeSync(fd));
});
afterAll(() => pages.remove());

/** An open descriptor, closed after the test. */
function open(path: string, flags: string | number = 'r'): number {
  const fd = openSync(path, flags);
  opened.push(fd);
  return fd;
}

/** A copy with one bit of a byte turned. */
function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 4;
  return copy;
}

/** A guest that reads a page: the server fails with the code, and the guest still waits. */
async function failsAt(page: number, plan: Plan, code: string, message: RegExp): Promise<void> {
  const { vmm, server } = await pages.pair(plan);
  await vmm.ask(`read ${page}`);
  const told = await server.told();
  expect(told).toMatchObject({ event: 'error', code });
  expect(told?.message).toMatch(message);
  expect(await server.ended()).toEqual(failed);
  // Nobody woke it: it sleeps, though the server is gone.
  await vmm.blocked(1);
}

/** A server that fails before its VMM has said anything. */
async function failsAtOnce(plan: Plan, code: string, message: RegExp): Promise<void> {
  const server = pages.server(await pages.vmm(), plan);
  const told = await server.told();
  expect(told).toMatchObject({ event: 'error', code });
  expect(told?.message).toMatch(message);
  expect(await server.ended()).toEqual(failed);
}

describe('a memory file', () => {
  it.each([
    ['in the page that is needed', 17 * PAGE + 5],
    ['elsewhere in its block', 31 * PAGE + 4095],
    ['in a page of zeros', 16 * PAGE],
  ])('that is damaged %s', async (_, at) => {
    const plan = { memory: flipped(memory, at), sums: sumsOf(memory) };
    await failsAt(17, plan, 'source-damaged', /block 1 is damaged/);
  });

  it('that is damaged in another block serves until that is needed', async () => {
    const plan = { memory: flipped(memory, 5 * BLOCK), sums: sumsOf(memory) };
    const { vmm, server } = await pages.pair(plan);
    const right = memory.subarray(0, 5 * BLOCK);
    expect(await vmm.ask('hash 0 80')).toBe(hashOf(right));
    await vmm.ask('read 95');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'source-damaged' });
  });

  it('where a hole is instead of data', async () => {
    const hole = Buffer.from(memory).fill(0, BLOCK, 2 * BLOCK);
    await failsAt(20, { memory: hole, sums: sumsOf(memory) }, 'source-damaged', /block 1/);
  });

  it('that became shorter', async () => {
    const path = pages.file(memory);
    const { vmm, server } = await pages.pair({ memory: open(path) });
    expect(await vmm.ask('hash 0 8')).toBe(hashOf(memory.subarray(0, 8 * PAGE)));
    truncateSync(path, 100 * PAGE + 50);
    await vmm.ask('read 101');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'source-short' });
    expect(await server.ended()).toEqual(failed);
    await vmm.blocked(1);
  });

  it('that became shorter within the page that is needed', async () => {
    const path = pages.file(memory);
    const { vmm, server } = await pages.pair({ memory: open(path) });
    truncateSync(path, 101 * PAGE + 50);
    await vmm.ask('read 101');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'source-short' });
    await vmm.blocked(1);
  });

  const eio = 5;
  it.each([
    ['without checksums', 1, {}],
    ['with checksums', 1, { sums: sumsOf(memory) }],
  ])('that cannot be read, %s', async (_, nth, plan) => {
    const lies = { LIAR_PREAD: `4:${nth}:${eio}` };
    await failsAt(9, { ...plan, lies }, 'source-io', /Input\/output error/);
  });

  it('that is open for writing only', async () => {
    const fd = open(pages.file(memory), 'r+');
    closeSync(opened.pop() ?? fd);
    const writable = open(pages.file(memory), constants.O_WRONLY);
    await failsAt(9, { memory: writable }, 'source-io', /Bad file descriptor/);
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['cut off', memory.subarray(0, memory.length - PAGE)],
  ])('that is %s', async (_, bytes) => {
    await failsAtOnce({ memory: bytes }, 'source-short', /length/);
  });

  it('that is a folder', async () => {
    await failsAtOnce({ memory: open(pages.dir) }, 'source-io', /not a regular file/);
  });
});

describe('checksums', () => {
  const sums = sumsOf(memory);
  it.each([
    ['too few', sums.subarray(4), 'source-short'],
    ['too many', Buffer.concat([sums, sums]), 'source-damaged'],
  ])('that are %s', async (_, wrong, code) => {
    await failsAtOnce({ sums: wrong }, code, /checksums/);
  });

  it('that cannot be read', async () => {
    await failsAtOnce({ sums, lies: { LIAR_PREAD: '5:1:5' } }, 'source-io', /checksums/);
  });

  it('of one block being wrong', async () => {
    await failsAt(17, { sums: flipped(sums, 4) }, 'source-damaged', /block 1/);
  });
});

describe('a working-set file', () => {
  // 1.2 MiB of data: two reads.
  const runs = [
    [0, 300],
    [310, 10],
  ] as const;
  const good = workingSet(memory, runs);
  const dataAt = Number(good.readBigUInt64LE(48));

  it.each([
    ['the magic', 0, /no working-set file/],
    ['the header', 40, /header is damaged/],
    ['the end of the header', 4000, /header is damaged/],
    ['the table of regions', 4096 + 3, /tables are damaged/],
    ['the checksums', 4096 + 2 * 16 + 5, /tables are damaged/],
  ])('that is damaged in %s', async (_, at, message) => {
    await failsAtOnce({ workingSet: flipped(good, at) }, 'source-damaged', message);
  });

  it.each([
    ['another page size', (h: Buffer) => h.writeUInt32LE(8192, 12), /page size/],
    ['another memory', (h: Buffer) => h.writeBigUInt64LE(4096n, 16), /another size/],
    ['too many regions', (h: Buffer) => h.writeBigUInt64LE(2n ** 60n, 24), /more than/],
    ['its table elsewhere', (h: Buffer) => h.writeBigUInt64LE(8192n, 32), /do not fit/],
    ['its checksums in the table', (h: Buffer) => h.writeBigUInt64LE(4100n, 40), /do not fit/],
    ['its checksums behind', (h: Buffer) => h.writeBigUInt64LE(2n ** 63n, 40), /do not fit/],
    ['unaligned data', (h: Buffer) => h.writeBigUInt64LE(8000n, 48), /do not fit/],
    ['half a page of data', (h: Buffer) => h.writeBigUInt64LE(2048n, 56), /do not fit/],
    ['less data than regions', (h: Buffer) => h.writeBigUInt64LE(4096n, 56), /tables are damaged/],
    ['a field that is not known', (h: Buffer) => h.writeUInt8(1, 200), /unknown field/],
  ])('whose header is whole but says %s', async (_, change, message) => {
    const file = Buffer.from(good);
    change(file);
    await failsAtOnce({ workingSet: resealed(file) }, 'source-damaged', message);
  });

  it.each([
    [
      'overlap',
      [
        [0, 10],
        [9, 2],
      ],
      /overlap/,
    ],
    ['lie outside', [[PAGES - 1, 2]], /outside/],
    [
      'are empty',
      [
        [5, 1],
        [9, 0],
      ],
      /outside/,
    ],
  ] as const)('whose regions %s', async (_, wrong, message) => {
    const twice = Buffer.concat([memory, memory]);
    const file = workingSet(twice, wrong);
    file.writeBigUInt64LE(BigInt(memory.length), 16);
    await failsAtOnce({ workingSet: resealed(file) }, 'source-damaged', message);
  });

  it.each([
    ['empty', 0],
    ['cut off in the header', 4000],
    ['cut off in the data', good.length - 1],
  ])('that is %s', async (_, length) => {
    await failsAtOnce({ workingSet: good.subarray(0, length) }, 'source-short', /working set/);
  });

  it.each([
    ['damaged in its first read', 3 * BLOCK + 9, /block 3 is damaged/],
    ['damaged in its last block', good.length - dataAt - 1, /block 19 is damaged/],
  ])('that is %s', async (_, at, message) => {
    const { vmm, server } = await pages.pair({ workingSet: flipped(good, dataAt + at) });
    const told = await server.told();
    expect(told).toMatchObject({ event: 'error', code: 'source-damaged' });
    expect(told?.message).toMatch(message);
    expect(await server.ended()).toEqual(failed);
    await vmm.ask('read 319');
    await vmm.blocked(1);
  });

  it.each([
    ['cannot be read', 5, 'source-io'],
    ['ends', 0, 'source-short'],
  ])('that %s in the middle', async (_, errno, code) => {
    // The header, the tables, the first read of the data, the second.
    const plan = { workingSet: good, lies: { LIAR_PREAD: `5:4:${errno}` } };
    const { vmm, server } = await pages.pair(plan);
    expect(await server.told()).toMatchObject({ event: 'error', code });
    expect(await server.ended()).toEqual(failed);
    // What is installed is right; what is not, is waited for.
    expect(await vmm.ask('hash 0 256')).toBe(hashOf(memory.subarray(0, 256 * PAGE)));
    await vmm.ask('read 319');
    await vmm.blocked(1);
  });

  it('whose descriptor is not as direct as promised', async () => {
    const plan = { workingSet: good, more: ['--direct'] };
    await failsAtOnce(plan, 'source-io', /O_DIRECT/);
  });
});

describe('a trace', () => {
  it('that cannot be written is an error, not a shorter trace', async () => {
    const { vmm, server } = await pages.pair({ trace: '/dev/full' });
    await vmm.ask('hash 3 1');
    expect(await server.ask('flush')).toMatchObject({ event: 'error', code: 'trace-io' });
    expect(await server.ended()).toEqual(failed);
  });

  it('that is longer than the buffer is written on the way', async () => {
    const many = memoryBytes(2048);
    const path = pages.file(Buffer.alloc(0));
    const vmm = await pages.vmm(2048);
    const server = pages.server(vmm, { memory: many, trace: path });
    await vmm.hello();
    await server.told();
    expect(await vmm.ask('hash 0 2048')).toBe(hashOf(many));
    expect(await server.ask('flush')).toEqual({ event: 'flushed', pages: 2048 });
    writeFileSync(path, '');
  });
});
