/** The page server, built with sanitizers, serving a stand-in for a VMM. */
import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashOf, memoryBytes, PAGE, PageServers, PAGES } from '../support/page-server.js';
import { reached, sumsOf, workingSet } from '../support/page-server.js';

/** Limit on building the programs, in milliseconds. */
const BUILD_MS = 120_000;

let pages: PageServers;
const memory = memoryBytes();
const part = (first: number, count: number): Buffer =>
  memory.subarray(first * PAGE, (first + count) * PAGE);
const zeros = (count: number): string => hashOf(Buffer.alloc(count * PAGE));
const quiet = { status: 0, stderr: '' };

beforeAll(() => {
  pages = new PageServers();
}, BUILD_MS);
afterEach(() => pages.end());
afterAll(() => pages.remove());

describe('faults', () => {
  it('are served from the memory file, zero pages as zeros', async () => {
    const { vmm, server, connected } = await pages.pair({ sums: sumsOf(memory) });
    expect(connected).toEqual({ event: 'connected', regions: 1, bytes: PAGES * PAGE });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
    expect(await server.ask('stats')).toEqual({
      event: 'stats',
      faults: PAGES,
      copied: (PAGES * 3) / 4,
      zeroed: PAGES / 4,
      removed: 0,
      prefetched: 0,
      readBytes: memory.length + sumsOf(memory).length,
    });
    vmm.child.kill('SIGKILL');
    expect(await server.told()).toEqual({ event: 'gone' });
    expect(await server.ended()).toEqual(quiet);
  });

  it('are served from each region at its place in the file', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm);
    const half = (PAGES / 2) * PAGE;
    await vmm.hello(
      { size: half, offset: half },
      { size: half, base_host_virt_addr: BigInt(vmm.address) + BigInt(half) },
    );
    expect(await server.told()).toMatchObject({ event: 'connected', regions: 2 });
    const turned = Buffer.concat([part(PAGES / 2, PAGES / 2), part(0, PAGES / 2)]);
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(turned));
  });

  it('of several threads on one page wake all of them, though it is there already', async () => {
    const { vmm, server } = await pages.pair();
    server.child.kill('SIGSTOP');
    for (let i = 0; i < 8; i++) await vmm.ask('read 5');
    await vmm.blocked(8);
    server.child.kill('SIGCONT');
    expect(await vmm.ask('join')).toBe('ok');
    expect(await server.ask('stats')).toMatchObject({ faults: 8, copied: 1 });
  });

  it('are tried again when the kernel says EAGAIN without an event', async () => {
    const { vmm, server } = await pages.pair({ lies: { LIAR_AGAIN: '5' } });
    expect(await vmm.ask('hash 0 8')).toBe(hashOf(part(0, 8)));
    expect(await server.ask('stats')).toMatchObject({ faults: 8, copied: 6, zeroed: 2 });
  });

  it('are served when a read gives less than was asked for', async () => {
    const { vmm } = await pages.pair({ sums: sumsOf(memory), lies: { LIAR_SPLIT: '1000' } });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
  });

  it('are recorded once each, in the order of the first', async () => {
    const trace = pages.file(Buffer.alloc(0));
    const { vmm, server } = await pages.pair({ trace });
    for (const page of [7, 3, 500, 4]) await vmm.ask(`hash ${page} 1`);
    await vmm.ask('drop 3 1');
    await vmm.ask('join');
    for (const page of [3, 7, 9]) await vmm.ask(`hash ${page} 1`);
    expect(await server.ask('flush')).toEqual({ event: 'flushed', pages: 5 });
    const recorded = (): number[] => [
      ...new Uint32Array(new Uint8Array(readFileSync(trace)).buffer),
    ];
    expect(recorded()).toEqual([7, 3, 500, 4, 9]);
    await vmm.ask('hash 11 1');
    vmm.child.kill('SIGKILL');
    await server.ended();
    expect(recorded()).toEqual([7, 3, 500, 4, 9, 11]);
  });
});

describe('memory that the guest gives back', () => {
  it('is zeros from then on, whether it was there or not', async () => {
    const { vmm, server } = await pages.pair();
    expect(await vmm.ask('hash 0 16')).toBe(hashOf(part(0, 16)));
    await vmm.ask('drop 8 16');
    await vmm.ask('join');
    expect(await vmm.ask('hash 8 16')).toBe(zeros(16));
    expect(await vmm.ask('hash 24 8')).toBe(hashOf(part(24, 8)));
    await vmm.ask('write 9 77');
    await vmm.ask('drop 9 1');
    await vmm.ask('join');
    expect(await vmm.ask('hash 9 1')).toBe(zeros(1));
    expect(await server.ask('stats')).toMatchObject({ removed: 16 });
  });

  it('before the prefetch comes is not filled by it', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm, { workingSet: workingSet(memory, [[0, PAGES]]) });
    server.child.kill('SIGSTOP');
    await vmm.hello();
    await vmm.ask('drop 10 20');
    await vmm.blocked(1);
    server.child.kill('SIGCONT');
    await vmm.ask('join');
    expect(await server.told()).toMatchObject({ event: 'connected' });
    expect(await server.told()).toMatchObject({ event: 'prefetched', pages: PAGES - 20 });
    expect(await vmm.ask('hash 10 20')).toBe(zeros(20));
    expect(await vmm.ask('hash 0 10')).toBe(hashOf(part(0, 10)));
    expect(await vmm.ask(`hash 30 ${PAGES - 30}`)).toBe(hashOf(part(30, PAGES - 30)));
  });

  it('in the middle of a prefetch is not filled by it, and nobody waits for ever', async () => {
    const runs = [...Array(64).keys()].map((n) => [n * 8, 7] as const);
    const set = workingSet(memory, runs);
    const { vmm, server } = await pages.pair({ workingSet: set, lies: { LIAR_STOP: '20' } });
    await reached('T', server.child);
    await vmm.ask('drop 0 8');
    await vmm.ask('drop 400 16');
    await vmm.ask('read 511');
    await vmm.blocked(3);
    server.child.kill('SIGCONT');
    await vmm.ask('join');
    expect(await server.told()).toMatchObject({ event: 'prefetched', pages: 64 * 7 - 14 });
    expect(await vmm.ask('hash 0 8')).toBe(zeros(8));
    expect(await vmm.ask('hash 400 16')).toBe(zeros(16));
    expect(await vmm.ask('hash 8 392')).toBe(hashOf(part(8, 392)));
    expect(await vmm.ask('hash 416 96')).toBe(hashOf(part(416, 96)));
  });

  it.each([false, true])(
    'is told from data by threads that mix both, prefetch: %s',
    async (set) => {
      const seed = Number(process.env.SPARKLER_SEED ?? randomInt(2 ** 31));
      console.log(`SPARKLER_SEED=${seed}`);
      const runs = [...Array(60).keys()].map((n) => [((n * 37) % 60) * 8, 7] as const);
      const plan = set ? { workingSet: workingSet(memory, runs) } : {};
      const vmm = await pages.vmm();
      const server = pages.server(vmm, { sums: sumsOf(memory), ...plan });
      // Held back, so that the prefetch falls into the middle of it.
      server.child.kill('SIGSTOP');
      await vmm.hello();
      const result = vmm.ask(`stress ${seed} 3000`);
      server.child.kill('SIGCONT');
      expect(await result).toBe('right');
      expect(await server.told()).toMatchObject({ event: 'connected' });
      if (set) expect(await server.told()).toMatchObject({ event: 'prefetched' });
      expect(await server.ask('stats')).toMatchObject({ event: 'stats' });
    },
  );

  it('without an event for it is an error, not old data', async () => {
    const remove = 8;
    const { vmm, server } = await pages.pair({}, 0x4e & ~remove);
    await vmm.ask('hash 5 1');
    await vmm.ask('drop 5 1');
    await vmm.ask('join');
    await vmm.ask('read 5');
    const message = 'page 5 vanished without an event';
    expect(await server.told()).toEqual({ event: 'error', code: 'userfaultfd', message });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
    await vmm.blocked(1);
  });
});

describe('a VMM that', () => {
  it('forks is served further', async () => {
    const { vmm, server } = await pages.pair();
    const fds = (): number => readdirSync(`/proc/${server.child.pid}/fd`).length;
    const before = fds();
    for (let i = 0; i < 3; i++) expect(await vmm.ask('fork')).toBe('ok');
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
    expect(fds()).toBe(before);
  });

  it('moves its memory is served at the new address', async () => {
    const { vmm } = await pages.pair();
    await vmm.ask('hash 0 8');
    expect(await vmm.ask(`move 0 ${PAGES}`)).toBe('ok');
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
  });

  it('moves a part of its memory is told about', async () => {
    const { vmm, server } = await pages.pair();
    // Its second event, that the old place is unmapped, is read by nobody.
    void vmm.ask('move 4 4');
    const message = 'the VMM moved a part of region 0';
    expect(await server.told()).toEqual({ event: 'error', code: 'userfaultfd', message });
  });

  it('unmaps a part of its memory is served the rest', async () => {
    const runs = [[0, PAGES]] as const;
    const vmm = await pages.vmm();
    const server = pages.server(vmm, { workingSet: workingSet(memory, runs) });
    server.child.kill('SIGSTOP');
    await vmm.hello();
    void vmm.ask('unmap 100 28');
    await reached('D', vmm.child);
    server.child.kill('SIGCONT');
    expect(await server.told()).toMatchObject({ event: 'connected' });
    expect(await server.told()).toMatchObject({ event: 'prefetched', pages: PAGES - 28 });
    expect(await vmm.ask('hash 0 100')).toBe(hashOf(part(0, 100)));
    expect(await vmm.ask('hash 128 100')).toBe(hashOf(part(128, 100)));
  });

  it('reports another kind of fault is refused', async () => {
    const { vmm, server } = await pages.pair({}, 0x4f, 3);
    await vmm.ask('hash 5 1');
    await vmm.ask('protect 5');
    void vmm.ask('write 5 1');
    const told = await server.told();
    expect(told).toMatchObject({ event: 'error', code: 'userfaultfd' });
    expect(told?.message).toContain('unknown kind');
  });

  it('reports an unknown event is refused', async () => {
    const { vmm, server } = await pages.pair({ lies: { LIAR_EVENT: '66' } });
    await vmm.ask('read 5');
    const message = 'an unknown event: 66';
    expect(await server.told()).toEqual({ event: 'error', code: 'userfaultfd', message });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  });

  it('dies while pages are installed is gone', async () => {
    const set = workingSet(memory, [
      [0, 8],
      [16, 8],
    ]);
    const { vmm, server } = await pages.pair({ workingSet: set, lies: { LIAR_STOP: '2' } });
    await reached('T', server.child);
    const exited = new Promise((resolve) => vmm.child.once('exit', resolve));
    vmm.child.kill('SIGKILL');
    await exited;
    // What it does next is a copy, which fails with ESRCH.
    server.child.kill('SIGCONT');
    expect(await server.told()).toEqual({ event: 'gone' });
    expect(await server.ended()).toEqual(quiet);
  });
});

describe('the prefetch', () => {
  const runs = [
    [300, 200],
    [8, 100],
    [120, 1],
  ] as const;
  const count = 301;

  it.each([false, true])('installs the working set, O_DIRECT: %s', async (direct) => {
    const { vmm, server } = await pages.pair({ workingSet: workingSet(memory, runs), direct });
    const told = await server.told();
    expect(told).toMatchObject({ event: 'prefetched', pages: count, bytes: count * PAGE });
    expect(told?.ns).toBeGreaterThan(0);
    for (const [first, length] of runs)
      expect(await vmm.ask(`hash ${first} ${length}`)).toBe(hashOf(part(first, length)));
    expect(await server.ask('stats')).toMatchObject({ faults: 0, prefetched: count });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
    expect(await server.ask('stats')).toMatchObject({ faults: PAGES - count });
  });

  it('of nothing is done at once', async () => {
    const { server } = await pages.pair({ workingSet: workingSet(memory, []) });
    expect(await server.told()).toMatchObject({ event: 'prefetched', pages: 0, bytes: 0 });
  });

  it('serves faults inside and outside of what is not yet installed', async () => {
    const scattered = [...Array(100).keys()].map((n) => [n * 4 + 1, 2] as const);
    const plan = { workingSet: workingSet(memory, scattered), lies: { LIAR_STOP: '50' } };
    const { vmm, server } = await pages.pair(plan);
    await reached('T', server.child);
    for (const page of [1, 5, 397, 398, 450]) await vmm.ask(`read ${page}`);
    // The first two are there, so only the others wait.
    await vmm.blocked(3);
    server.child.kill('SIGCONT');
    expect(await vmm.ask('join')).toBe('ok');
    expect(await server.told()).toMatchObject({ event: 'prefetched' });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
  });

  it('wakes who waits for a page that it has just installed', async () => {
    // The first read gives 128 runs; the second fails, so that no last wake hides a missing one.
    const scattered = [...Array(128).keys()].map((n) => [n * 4 + 1, 2] as const);
    const set = workingSet(memory, [...scattered, [0, 1]]);
    const lies = { LIAR_STOP: '50', LIAR_PREAD: '5:4:5' };
    const { vmm, server } = await pages.pair({ workingSet: set, lies });
    await reached('T', server.child);
    await vmm.ask('read 241');
    await vmm.blocked(1);
    server.child.kill('SIGCONT');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'source-io' });
    expect(await vmm.ask('join')).toBe('ok');
  });

  it('skips what was written before it came, and is tried again after EAGAIN', async () => {
    const plan = { workingSet: workingSet(memory, runs), lies: { LIAR_AGAIN: '4' } };
    const vmm = await pages.vmm();
    const server = pages.server(vmm, plan);
    server.child.kill('SIGSTOP');
    await vmm.hello();
    await vmm.ask('read 310');
    await vmm.blocked(1);
    server.child.kill('SIGCONT');
    await vmm.ask('join');
    expect(await server.told()).toMatchObject({ event: 'connected' });
    expect(await server.told()).toMatchObject({ event: 'prefetched', pages: count - 1 });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
  });
});

describe('the control channel', () => {
  it('ends the server when the daemon is gone, before and after the handshake', async () => {
    const vmm = await pages.vmm();
    const early = pages.server(vmm);
    early.control.destroy();
    expect(await early.ended()).toEqual(quiet);
    const { server } = await pages.pair();
    server.control.destroy();
    expect(await server.ended()).toEqual(quiet);
  });

  it('does not hold up the guest when nobody reads it', async () => {
    const { vmm, server } = await pages.pair();
    server.control.pause();
    // Far more answers than the socket and the server's buffer hold.
    server.control.write('stats\n'.repeat(20_000));
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
    // It tells that the VMM is gone, but does not wait for ever to be heard.
    vmm.child.kill('SIGKILL');
    expect(await server.ended()).toEqual(quiet);
  });

  it('answers every command, however many come at once', async () => {
    const { server } = await pages.pair();
    server.control.write('stats\nflush\n'.repeat(2000));
    for (let i = 0; i < 2000; i++) {
      expect(await server.told()).toMatchObject({ event: 'stats' });
      expect(await server.told()).toEqual({ event: 'flushed', pages: 0 });
    }
  });

  it.each(['frobnicate\n', '\n', 'x'.repeat(100)])('refuses the command %j', async (command) => {
    const { server } = await pages.pair();
    server.control.write(command);
    expect(await server.told()).toMatchObject({ event: 'error', code: 'control' });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  });
});
