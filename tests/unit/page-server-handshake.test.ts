/** The page server's handshake with its VMM. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hashOf, memoryBytes, PAGE, PageServers, PAGES } from '../support/page-server.js';
import type { Told } from '../support/page-server.js';

/** Limit on building the programs, in milliseconds. */
const BUILD_MS = 120_000;

let pages: PageServers;
const memory = memoryBytes();
const size = PAGES * PAGE;

beforeAll(() => {
  pages = new PageServers();
}, BUILD_MS);
afterEach(() => pages.end());
afterAll(() => pages.remove());

/** What a server answers to a handshake; it must end by it. */
async function answer(command: string, address = 0n): Promise<Told | undefined> {
  const vmm = await pages.vmm();
  const server = pages.server(vmm);
  const base = BigInt(vmm.address) + address;
  await vmm.ask(command.replaceAll('BASE', String(base)).replaceAll('SIZE', String(size)));
  const told = await server.told();
  expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  return told;
}

const region = (fields: string): string => `say it [{"base_host_virt_addr":BASE,${fields}}]`;
const whole = '"base_host_virt_addr":BASE,"size":SIZE,"offset":0';

describe('a handshake is refused', () => {
  it.each([
    ['that is no JSON', 'say it hello', /no list/],
    ['of one object', `say it {${whole}}`, /no list/],
    ['of no region', 'say it []', /no object/],
    ['with a comma too many', `say it [{${whole}},]`, /no object/],
    ['with more behind it', `say it [{${whole}}] x`, /follows/],
    ['without base_host_virt_addr', 'say it [{"size":SIZE,"offset":0}]', /missing/],
    ['without size', region('"offset":0'), /missing/],
    ['without offset', region('"size":SIZE'), /missing/],
    ['with a field twice', region('"size":SIZE,"size":SIZE,"offset":0'), /twice/],
    ['with a field that is not known', region('"size":SIZE,"offset":0,"flags":1'), /unknown/],
    ['with a negative number', region('"size":-4096,"offset":0'), /whole number/],
    ['with a fraction', region('"size":4096.5,"offset":0'), /no comma/],
    ['with a text for a number', region('"size":"4096","offset":0'), /whole number/],
    ['with too large a number', region('"size":18446744073709551616,"offset":0'), /too large/],
    ['with an empty region', region('"size":0,"offset":0'), /empty/],
    ['with an unaligned size', region('"size":4097,"offset":0'), /aligned/],
    ['with an unaligned offset', region('"size":4096,"offset":5'), /aligned/],
    ['larger than the memory file', region(`"size":${size + PAGE},"offset":0`), /ends after/],
    ['with a region behind the file', region(`"size":4096,"offset":${size}`), /ends after/],
    ['with a region around the end', region('"size":SIZE,"offset":18446744073709547520'), /after/],
    ['of huge pages', `say it [{${whole},"page_size":2097152}]`, /page_size: only/],
    ['of huge pages, in KiB', `say it [{${whole},"page_size_kib":2048}]`, /page_size_kib: only/],
    ['of regions that overlap', `say it [{${whole}},{${whole}}]`, /overlap/],
    ['without a descriptor', `say none [{${whole}}]`, /no descriptor/],
    ['with two descriptors', `say two [{${whole}}]`, /several/],
    ['with another descriptor', `say file [{${whole}}]`, /no userfaultfd/],
    ['that never ends', `say it [${' '.repeat(20_000)}`, /more than 16384/],
  ])('%s', async (_, command, message) => {
    const told = await answer(command);
    expect(told).toMatchObject({ event: 'error', code: 'handshake' });
    expect(told?.message).toMatch(message);
  });

  it('with an address that is not aligned', async () => {
    const told = await answer(`say it [{${whole}}]`, 1n);
    expect(told).toMatchObject({ code: 'handshake', message: 'a region is not aligned to pages' });
  });

  it('with an address that no program has', async () => {
    const told = await answer(`say it [{${whole}}]`, 2n ** 62n);
    expect(told).toMatchObject({ code: 'handshake' });
    expect(told?.message).toContain('does not know region 0');
  });

  it('with regions that share a part of the file', async () => {
    const second = `"base_host_virt_addr":1073741824,"size":4096,"offset":${size - PAGE}`;
    const told = await answer(`say it [{${whole}},{${second}}]`);
    expect(told).toMatchObject({ code: 'handshake', message: 'two regions overlap' });
  });

  it('of more regions than a VMM has', async () => {
    const one = (n: number): string =>
      `{"base_host_virt_addr":${2 ** 30 + n * PAGE},"size":4096,"offset":${n * PAGE}}`;
    const list = Array.from({ length: 65 }, (_, n) => one(n)).join();
    const told = await answer(`say it [${list}]`);
    expect(told).toMatchObject({ code: 'handshake', message: 'too many regions' });
  });

  it('that is followed by more', async () => {
    const { vmm, server } = await pages.pair();
    await vmm.ask('say none again');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'handshake' });
  });

  it('whose VMM ends in the middle of it', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm);
    await vmm.ask('say it [{"size":');
    vmm.child.kill('SIGKILL');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'handshake' });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  });

  it('that does not come', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm, { more: ['--handshake-ms', '50'] });
    const message = 'no complete handshake of a VMM within 50 ms';
    expect(await server.told()).toEqual({ event: 'error', code: 'timeout', message });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  });

  it('that comes only in part', async () => {
    const vmm = await pages.vmm();
    await vmm.ask('say it [{"size":');
    const server = pages.server(vmm, { more: ['--handshake-ms', '500'] });
    expect(await server.told()).toMatchObject({ event: 'error', code: 'timeout' });
  });
});

describe('a handshake is taken', () => {
  it.each([
    ['without a page size', `{${whole}}`],
    ['with bytes in page_size_kib', `{${whole},"page_size_kib":4096}`],
    ['with KiB in page_size_kib', `{${whole},"page_size_kib":4}`],
    ['in another order and with spaces', `\t{ "page_size" : 4096 , ${whole} } `],
  ])('%s', async (_, text) => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm);
    const filled = text.replace('BASE', vmm.address).replace('SIZE', String(size));
    await vmm.ask(`say it [${filled}]`);
    expect(await server.told()).toMatchObject({ event: 'connected', bytes: size });
    expect(await vmm.ask('hash 3 2')).toBe(hashOf(memory.subarray(3 * PAGE, 5 * PAGE)));
  });

  it('in pieces, the descriptor with any of them', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm);
    const text = vmm.regions({});
    await vmm.ask(`say none ${text.slice(0, 30)}`);
    expect(await server.ask('stats')).toMatchObject({ event: 'stats', faults: 0 });
    await vmm.ask(`say it ${text.slice(30, 60)}`);
    await vmm.ask(`say none ${text.slice(60)}`);
    expect(await server.told()).toMatchObject({ event: 'connected' });
  });

  it('whose VMM ends before it says anything: it is gone', async () => {
    const vmm = await pages.vmm();
    const server = pages.server(vmm);
    vmm.child.kill('SIGKILL');
    expect(await server.told()).toEqual({ event: 'gone' });
    expect(await server.ended()).toEqual({ status: 0, stderr: '' });
  });
});

describe('a listening server', () => {
  const me = String(process.getuid?.() ?? 0);

  /** A listening server, once its socket is there. */
  async function listening(name: string, uid: string, ...more: string[]) {
    const path = join(pages.dir, name);
    const server = pages.server(path, { more: ['--peer-uid', uid, ...more] });
    expect(await server.ask('stats')).toMatchObject({ event: 'stats', faults: 0 });
    return { path, server };
  }

  it('serves the VMM that connects, and nobody else', async () => {
    const { path, server } = await listening('one', me);
    const vmm = await pages.vmmAt(path);
    await vmm.hello();
    expect(await server.told()).toMatchObject({ event: 'connected' });
    expect(await vmm.ask(`hash 0 ${PAGES}`)).toBe(hashOf(memory));
    const error = new Promise((resolve) => createConnection(path).once('error', resolve));
    expect(await error).toMatchObject({ code: 'ECONNREFUSED' });
    vmm.child.kill('SIGKILL');
    expect(await server.told()).toEqual({ event: 'gone' });
  });

  it('refuses another user', async () => {
    const { path, server } = await listening('other', '123456');
    await pages.vmmAt(path);
    const message = `user ${me} connected, not user 123456`;
    expect(await server.told()).toEqual({ event: 'error', code: 'peer', message });
    expect(await server.ended()).toEqual({ status: 1, stderr: '' });
  });

  it('does not wait for ever', async () => {
    const { server } = await listening('nobody', me, '--handshake-ms', '500');
    expect(await server.told()).toMatchObject({ event: 'error', code: 'timeout' });
  });
});

describe('a command line is refused', () => {
  it.each([
    ['without anything', []],
    ['with a descriptor that is not open', ['--memory', '77']],
    ['with a descriptor that is no number', ['--memory', '/etc/passwd']],
    ['without a value', ['--memory']],
    ['with an unknown option', ['--what', '1']],
    ['without a VMM', ['--memory', '0', '--sums', '-', '--control', '0']],
    ['with a control that is no socket', '--memory 0 --sums - --control 0 --vmm 0'.split(' ')],
  ])('%s', (_, args) => {
    const { status, stderr } = spawnSync(join(pages.dir, 'page-server'), args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^page-server: .*\nusage: /);
  });
});

describe('the reader of handshakes', () => {
  it('survives whatever it is given, and takes only what is legal', () => {
    const seed = process.env.SPARKLER_SEED ?? String(randomInt(2 ** 31));
    console.log(`SPARKLER_SEED=${seed}`);
    const root = join(import.meta.dirname, '..', '..');
    const program = join(pages.dir, 'handshake-fuzz');
    const sources = ['tests/support/native/handshake-fuzz.c', 'native/page-server/json.c'];
    const checks = ['-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
    const flags = ['-std=c11', '-D_GNU_SOURCE', '-O1', ...checks, '-o', program];
    execFileSync('gcc', [...flags, ...sources.map((source) => join(root, source))]);
    const done = spawnSync(program, [seed, '200000'], { encoding: 'utf8' });
    expect(done).toMatchObject({ status: 0, stderr: '' });
    const counts = done.stdout.trim().split(' ').map(Number);
    // All three kinds were met, so the text is neither all good nor all bad.
    for (const count of counts) expect(count).toBeGreaterThan(1000);
  });
});
