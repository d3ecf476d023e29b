/** The native programs, built with the address and undefined-behaviour sanitizers. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Preload } from '../../src/vmm/qemu/preload.js';

const REPOSITORY = join(import.meta.dirname, '..', '..');
const PAGE = 4096;
const PAGES = 64;

let dir: string;
let checked: string;
const children: ChildProcess[] = [];

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-native-'));
  checked = join(dir, 'checked');
  const make = ['-s', '-C', join(REPOSITORY, 'native')];
  execFileSync('make', [...make, 'SANITIZE=1', `OUT=${checked}`]);
  // The preload goes into a program that is not built for it: without the sanitizers' runtime.
  execFileSync('make', [
    ...make,
    `OUT=${join(dir, 'plain')}`,
    `${join(dir, 'plain')}/qemu-preload.so`,
  ]);
  const source = join(REPOSITORY, 'tests/support/native/mapper.c');
  execFileSync('gcc', ['-o', join(dir, 'mapper'), source]);
});
afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A running mapper: asked a line, answers a line. */
class Mapper {
  readonly #lines: AsyncIterator<string>;

  private constructor(readonly child: ChildProcess) {
    if (!child.stdout) throw new TypeError('no stdout');
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    children.push(child);
  }

  static async start(child: ChildProcess): Promise<{ mapper: Mapper; address: string }> {
    const mapper = new Mapper(child);
    return { mapper, address: await mapper.line() };
  }

  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new TypeError('the mapper ended');
    return next.value;
  }

  async ask(command: string): Promise<string> {
    this.child.stdin?.write(`${command}\n`);
    return this.line();
  }
}

/** A file of PAGES pages: page n is filled with n, every fourth is a hole. */
function memoryFile(name: string): { path: string; bytes: Buffer } {
  const bytes = Buffer.alloc(PAGES * PAGE);
  for (let n = 0; n < PAGES; n++) if (n % 4 !== 0) bytes.fill(n, n * PAGE, (n + 1) * PAGE);
  const path = join(dir, name);
  writeFileSync(path, bytes);
  execFileSync('fallocate', ['--dig-holes', path]);
  return { path, bytes };
}

describe('memory-save', () => {
  const save = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(join(checked, 'memory-save'), args, { encoding: 'utf8' });

  it('writes the base and over it the pages that were written, and keeps holes', async () => {
    const { path, bytes } = memoryFile('base');
    const child = spawn(join(dir, 'mapper'), ['private', path, String(PAGES * PAGE)]);
    const { mapper, address } = await Mapper.start(child);
    for (const [page, value] of [
      [0, 7],
      [1, 9],
      [5, 0],
      [63, 255],
    ] as const) {
      await mapper.ask(`w ${page} ${value}`);
      bytes.fill(value, page * PAGE, (page + 1) * PAGE);
    }
    const target = join(dir, 'saved');
    writeFileSync(target, '');
    const done = save(String(child.pid), address, String(bytes.length), path, target);
    expect(done.stderr).toBe('');
    expect(done.stdout).toBe('pages 4\n');
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(statSync(target).blocks * 512).toBeLessThan(bytes.length);
    // The base is a snapshot: nobody wrote to it.
    expect(readFileSync(path)[0]).toBe(0);
  });

  it('copies to another file system too', async () => {
    const { path, bytes } = memoryFile('base-elsewhere');
    const child = spawn(join(dir, 'mapper'), ['private', path, String(PAGES * PAGE)]);
    const { mapper, address } = await Mapper.start(child);
    await mapper.ask('w 4 44');
    bytes.fill(44, 4 * PAGE, 5 * PAGE);
    const elsewhere = mkdtempSync('/dev/shm/sparkler-native-');
    try {
      const target = join(elsewhere, 'saved');
      writeFileSync(target, '');
      const done = save(String(child.pid), address, String(bytes.length), path, target);
      expect(done.stderr).toBe('');
      expect(readFileSync(target).equals(bytes)).toBe(true);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  it.each([
    ['a process that is gone', ['999999', '1000', '4096']],
    ['an address that is none', ['1', 'xyz', '4096']],
    ['a length that is no multiple of a page', ['1', '1000', '4097']],
    ['too few arguments', []],
  ])('refuses %s', (_, args) => {
    const { path } = memoryFile('refused');
    const target = join(dir, 'none');
    writeFileSync(target, '');
    const done = save(...args, ...(args.length > 0 ? [path, target] : []));
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/memory-save/);
  });

  // Only root may mount.
  it.skipIf(process.getuid?.() !== 0)('says that the disk is full', async () => {
    const { path, bytes } = memoryFile('base-of-full');
    const child = spawn(join(dir, 'mapper'), ['private', path, String(PAGES * PAGE)]);
    const { address } = await Mapper.start(child);
    const disk = mkdtempSync(join(dir, 'disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]);
    try {
      writeFileSync(join(disk, 'saved'), '');
      const args = [String(child.pid), address, String(bytes.length), path, join(disk, 'saved')];
      const done = save(...args);
      expect(done.status).toBe(1);
      expect(done.stderr).toContain('No space left');
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

describe('qemu-preload', () => {
  async function under(mode: 'shared' | 'private', path: string) {
    const fds = [openSync(path, mode === 'shared' ? 'r+' : 'r'), openSync(path, 'r')];
    const child = spawn(join(dir, 'mapper'), ['shared', '/sparkler/memory', String(PAGES * PAGE)], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe', ...fds],
      env: {
        LD_PRELOAD: join(dir, 'plain', 'qemu-preload.so'),
        SPARKLER_CONTROL_FD: '3',
        SPARKLER_MEMORY_FD: '4',
        SPARKLER_READ_FD: '5',
        SPARKLER_MEMORY_MODE: mode,
      },
    });
    fds.forEach((fd) => closeSync(fd));
    const control = child.stdio[3] as Duplex;
    const ask = async (command: string): Promise<Buffer> => {
      control.write(command);
      return new Promise((resolve) => control.once('data', resolve));
    };
    return { ...(await Mapper.start(child)), ask, pid: child.pid ?? 0 };
  }

  it('maps a clone privately though the VMM asked for a shared mapping', async () => {
    const { path, bytes } = memoryFile('clone');
    const { mapper } = await under('private', path);
    expect(await mapper.ask('r 3')).toBe('3');
    await mapper.ask('w 3 99');
    expect(await mapper.ask('r 3')).toBe('99');
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  it('turns a shared mapping private in place: the file keeps what was, the VMM goes on', async () => {
    const { path, bytes } = memoryFile('booted');
    const { mapper, ask, address, pid } = await under('shared', path);
    await mapper.ask('w 2 42');
    bytes.fill(42, 2 * PAGE, 3 * PAGE);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect((await ask('P')).toString()).toBe('p');
    expect(await mapper.ask('r 2')).toBe('42');
    await mapper.ask('w 2 43');
    expect(await mapper.ask('r 2')).toBe('43');
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const where = await ask('A');
    expect(where.readBigUInt64LE(1).toString(16)).toBe(address);
    expect(Number(where.readBigUInt64LE(9))).toBe(bytes.length);
    // No descriptor is left that could write to what is a snapshot now.
    const writable = execFileSync('sh', [
      '-c',
      `for fd in /proc/${pid}/fd/*; do [ "$(readlink $fd)" = ${path} ] && grep flags /proc/${pid}/fdinfo/\${fd##*/}; done; true`,
    ]).toString();
    expect(writable).not.toBe('');
    for (const line of writable.trim().split('\n')) expect(line).toMatch(/0$/);
  });

  it("punches no holes into a snapshot's file, whatever the VMM thinks it is", async () => {
    const { path, bytes } = memoryFile('ballooned');
    const { mapper, ask } = await under('shared', path);
    expect(await mapper.ask('h 5')).toBe('0');
    bytes.fill(0, 5 * PAGE, 6 * PAGE);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect((await ask('P')).toString()).toBe('p');
    expect(await mapper.ask('h 6')).toBe('0');
    expect(await mapper.ask('r 6')).toBe('6');
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});

describe('qemu-preload, memory beside the memory file', () => {
  const OK = 0;

  async function block(path: string) {
    const child = spawn(join(dir, 'mapper'), ['shared', path, String(PAGES * PAGE)], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
      env: { LD_PRELOAD: join(dir, 'plain', 'qemu-preload.so'), SPARKLER_CONTROL_FD: '3' },
    });
    const { mapper } = await Mapper.start(child);
    const control = child.stdio[3] as Duplex;
    // One that breaks is a process that ended.
    control.on('error', () => undefined);
    return { mapper, preload: new Preload(control), child };
  }

  it('is made by the VMM itself, and had and given back a part at a time', async () => {
    const { mapper, preload } = await block('/sparkler/block/2');
    expect(await preload.blocksResident(3)).toEqual([0, 0, 0, 0]);
    expect(await preload.populateBlock(2, 8 * PAGE, 4 * PAGE)).toMatchObject({ pages: 4 });
    await preload.populateBlock(2, 10 * PAGE, 4 * PAGE);
    expect(await preload.blocksResident(2)).toEqual([0, 0, 6 * PAGE]);
    await mapper.ask('w 9 77');
    await mapper.ask('w 40 78');
    expect(await preload.blocksResident(2)).toEqual([0, 0, 7 * PAGE]);
    // What is there already stays.
    await preload.populateBlock(2, 0, PAGES * PAGE);
    expect([await mapper.ask('r 9'), await mapper.ask('r 40')]).toEqual(['77', '78']);
    await preload.discardBlock(2);
    expect(await preload.blocksResident(2)).toEqual([0, 0, 0]);
    expect([await mapper.ask('r 9'), await mapper.ask('r 40')]).toEqual(['0', '0']);
  });

  it('is answered in turn, however much is asked at once', async () => {
    const { preload } = await block('/sparkler/block/0');
    const answers = await Promise.all([
      preload.populateBlock(0, 0, 2 * PAGE),
      preload.blocksResident(1),
      preload.discardBlock(0),
      preload.blocksResident(0),
      preload.region(),
    ]);
    expect(answers).toMatchObject([{ pages: 2 }, [2 * PAGE, 0], undefined, [0], { length: 0 }]);
  });

  it.each([
    ['a block that is not there', 1, 0, PAGE, 'ENOENT'],
    ['a block beyond all', 4_000_000_000, 0, PAGE, 'ENOENT'],
    ['a part beyond its end', 2, (PAGES - 1) * PAGE, 2 * PAGE, 'ERANGE'],
    ['a part that begins beyond its end', 2, 2 ** 40, PAGE, 'ERANGE'],
    ['more than there can be', 2, PAGE, 2 ** 52, 'ERANGE'],
    ['no whole page', 2, 1, PAGE, 'EINVAL'],
  ])('refuses to populate %s, and goes on', async (_, number, offset, bytes, reason) => {
    const { preload } = await block('/sparkler/block/2');
    await expect(preload.populateBlock(number, offset, bytes)).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: expect.stringContaining(reason) as string,
    });
    expect(await preload.populateBlock(2, 0, PAGE)).toMatchObject({ pages: 1 });
    await expect(preload.discardBlock(1)).rejects.toMatchObject({ code: 'VMM_FAILED' });
    expect(await preload.blocksResident(2)).toEqual([0, 0, PAGE]);
  });

  it.each(['/sparkler/block/', '/sparkler/block/x', '/sparkler/block/1x', '/sparkler/block/256'])(
    'is not had as %s',
    async (path) => {
      const child = spawn(join(dir, 'mapper'), ['shared', path, String(PAGE)], {
        stdio: 'ignore',
        env: { LD_PRELOAD: join(dir, 'plain', 'qemu-preload.so') },
      });
      const code = await new Promise((resolve) => child.once('exit', resolve));
      expect(code).not.toBe(OK);
    },
  );

  it('ends a wait for it with the VMM', async () => {
    const { preload, child } = await block('/sparkler/block/1');
    child.kill('SIGKILL');
    await expect(preload.blocksResident(1)).rejects.toMatchObject({ code: 'VMM_FAILED' });
  });
});

describe('vmm-launch', () => {
  const launch = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(join(checked, 'vmm-launch'), args, { encoding: 'utf8' });
  const me = String(process.pid);
  const asRoot = it.skipIf(process.getuid?.() !== 0);

  it('is ended before its parent when the host runs out of memory', () => {
    const me = String(process.pid);
    const { stdout } = launch(me, '-', '-', 'cat', '/proc/self/oom_score_adj');
    expect(stdout).toBe('300\n');
  });

  it('becomes the program, with its arguments', () => {
    const { status, stdout } = launch(me, '-', '-', 'sh', '-c', 'echo "$0 $1"; exit 7', 'a', 'b c');
    expect(stdout).toBe('a b c\n');
    expect(status).toBe(7);
  });

  it('lets it gain no privilege and make no connection', () => {
    const script = 'grep NoNewPrivs /proc/self/status; exec 3<>/dev/tcp/127.0.0.1/9';
    const { stdout, stderr } = launch(me, '-', '-', 'bash', '-c', script);
    expect(stdout).toBe('NoNewPrivs:\t1\n');
    expect(stderr).toContain('Permission denied');
  });

  // Only root may become another user.
  asRoot('becomes another user, without groups', () => {
    const { stdout } = launch(me, '-', '2000000001', 'sh', '-c', 'id -u; id -g; id -G');
    expect(stdout).toBe('2000000001\n2000000001\n2000000001\n');
  });

  it.each([
    ['a parent that is gone', ['1', '-', '-', 'true']],
    ['a cgroup that does not exist', [me, '/nowhere', '-', 'true']],
    ['a program that does not exist', [me, '-', '-', '/nowhere/at/all']],
    ['a user that is no number', [me, '-', 'root', 'true']],
    ['too few arguments', [me]],
  ])('refuses %s', (_, args) => {
    const { status, stderr } = launch(...args);
    expect(status).toBe(125);
    expect(stderr).toMatch(/vmm-launch/);
  });

  it('ends the program when the one that started it is killed', async () => {
    const script = `
      const { spawn } = require('node:child_process');
      const child = spawn(process.argv[1], [String(process.pid), '-', '-', 'sleep', '600']);
      child.once('spawn', () => setTimeout(() => console.log(child.pid), 200));
    `;
    const parent = spawn(process.execPath, ['-e', script, join(checked, 'vmm-launch')]);
    children.push(parent);
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    parent.kill('SIGKILL');
    while (existsSync(`/proc/${pid}`)) await sleep(10);
  });
});
