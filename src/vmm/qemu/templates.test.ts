/** Templates with a small program in QEMU's place: what its children share, and what they may do. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { QemuCommand } from './command.js';
import { HandoverFailed } from './handover.js';
import { QemuProcess, type ProcessOptions } from './process.js';
import { Template } from './template.js';
import { Templates } from './templates.js';

const REPOSITORY = join(import.meta.dirname, '../../..');
const UID = 2_000_000_123;
const isRoot = process.getuid?.() === 0;

let dir: string;
let options: ProcessOptions & { readonly startMs: number };
let open: { close(): Promise<void> }[] = [];

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-templates-'));
  const make = ['-s', '-C', join(REPOSITORY, 'native')];
  const plain = join(dir, 'plain');
  execFileSync('make', [...make, `OUT=${plain}`]);
  execFileSync('make', [...make, 'SANITIZE=1', `OUT=${dir}`, join(dir, 'vmm-handover')]);
  // The other two are loaded into, or become, a program without the sanitizers' runtime.
  for (const name of ['vmm-launch', 'qemu-preload.so']) {
    execFileSync('cp', [join(plain, name), join(dir, name)]);
  }
  const source = join(REPOSITORY, 'tests/support/native/forked.c');
  execFileSync('gcc', ['-pthread', '-o', join(dir, 'forked'), source]);
  options = {
    qemuPath: join(dir, 'forked'),
    nativeDir: dir,
    cgroupRoot: undefined,
    firstUid: UID,
    uidCount: 8,
    consoleBytes: 1024,
    closeMs: 5000,
    startMs: 5000,
    pageServerMs: 5000,
  };
});
let work: string;
beforeEach(() => {
  work = mkdtempSync(join(dir, 'work-'));
});
afterEach(async () => {
  for (const one of open.reverse()) await one.close();
  open = [];
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function command(...args: string[]): QemuCommand {
  const drive = join(work, 'drive');
  const state = join(work, 'state-in');
  for (const path of [drive, state]) writeFileSync(path, path);
  return {
    args,
    files: [
      { path: drive, flags: 'r', isDrive: true },
      { path: state, flags: 'r', isDrive: false },
    ],
  };
}

async function template(...args: string[]): Promise<Template> {
  const one = await Template.start('template-test', command(...args), options, () => undefined);
  open.push(one);
  return one;
}

/** A VMM of `from` whose memory begins with `letter`. */
async function vmm(from: Template, letter: string): Promise<QemuProcess> {
  const folder = join(work, letter);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'memory');
  writeFileSync(path, Buffer.alloc(4096, letter));
  const memory = { path, mode: 'private' } as const;
  const out = join(folder, 'state');
  const one = await QemuProcess.start(`vm-${letter}`, command(), memory, out, options, {
    source: from,
  });
  open.push(one);
  return one;
}

function ask({ channel }: QemuProcess, what: string): Promise<string> {
  return new Promise((resolve) => {
    channel.once('data', (answer: Buffer) => resolve(answer.toString()));
    channel.once('close', () => resolve('the end'));
    channel.write(what);
  });
}

const descriptors = ({ pid }: { readonly pid: number }): string[] =>
  readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));

const status = (pid: number, field: string): string =>
  new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(
    readFileSync(`/proc/${pid}/status`, 'utf8'),
  )?.[1] ?? '';

describe('the VMMs of a template', () => {
  it('have memory, channels, events and descriptors of their own', async () => {
    const from = await template();
    const [a, b] = await Promise.all([vmm(from, 'a'), vmm(from, 'b')]);
    expect(await Promise.all([ask(a, 'm'), ask(b, 'm')])).toEqual(['a', 'b']);
    expect([await ask(a, 'w'), await ask(a, 'a'), await ask(b, 'a')]).toEqual(['y', 'y', 'n']);
    const [ofA, ofB] = [descriptors(a), descriptors(b)];
    const sockets = (of: string[]): string[] => of.filter((name) => name.startsWith('socket:'));
    const all = [...sockets(descriptors(from)), ...sockets(ofA), ...sockets(ofB)];
    // Standard error, QMP, channel (once: the other number was closed), console and control.
    expect(sockets(ofA)).toHaveLength(5);
    expect(new Set(all).size).toBe(all.length);
    const others = [
      ...ofA.filter((n) => n.includes('/b/')),
      ...ofB.filter((n) => n.includes('/a/')),
    ];
    expect(others).toEqual([]);
    expect(ofA.some((name) => name.startsWith('pipe:') || name.includes('pidfd'))).toBe(false);
  });

  it.runIf(isRoot)('are users of their own without any right', async () => {
    const from = await template();
    const [a, b] = await Promise.all([vmm(from, 'a'), vmm(from, 'b')]);
    const uids = [a, b].map(({ pid }) => status(pid, 'Uid').split(/\s+/));
    for (const uid of uids) expect(new Set(uid).size).toBe(1);
    expect(uids[0]?.[0]).not.toBe(uids[1]?.[0]);
    for (const { pid } of [a, b]) {
      expect(Number(status(pid, 'Uid').split(/\s+/)[0])).toBeGreaterThanOrEqual(UID);
      expect(status(pid, 'Gid')).toBe(status(pid, 'Uid'));
      expect(status(pid, 'Groups')).toBe('');
      for (const set of ['CapPrm', 'CapEff', 'CapInh', 'CapAmb']) {
        expect(status(pid, set)).toMatch(/^0+$/);
      }
      expect(status(pid, 'NoNewPrivs')).toBe('1');
      // Its own folder in /proc, as after an execve: else it could not open its descriptors anew.
      expect(statSync(`/proc/${pid}/fd`).uid).toBeGreaterThanOrEqual(UID);
    }
  });

  it('may make threads, and neither sockets', async () => {
    const one = await vmm(await template(), 'a');
    expect(await ask(one, 't')).toBe('y');
    expect(await ask(one, 's')).toBe('n');
  });

  it.each([
    ['a process', 'f'],
    ['another program', 'x'],
    ['another user', 'u'],
  ])('end when they want to be %s', async (_, what) => {
    const one = await vmm(await template(), 'a');
    expect(await ask(one, what)).toBe('the end');
    expect(await one.exited).toEqual({ expected: false, reason: 'signal SIGSYS' });
  });

  it('end as they end: with an exit code, by a signal, or on request', async () => {
    const from = await template();
    const [a, b, c] = await Promise.all([vmm(from, 'a'), vmm(from, 'b'), vmm(from, 'c')]);
    void ask(a, '7');
    expect(await a.exited).toEqual({ expected: false, reason: 'exit code 7' });
    process.kill(b.pid, 'SIGABRT');
    expect(await b.exited).toEqual({ expected: false, reason: 'signal SIGABRT' });
    await c.close();
    expect(existsSync(`/proc/${c.pid}`)).toBe(false);
  });

  it('outlive its retirement, and it ends with the last of them', async () => {
    const from = await template();
    const [a, b] = await Promise.all([vmm(from, 'a'), vmm(from, 'b')]);
    from.retire();
    await a.close();
    expect(await ask(b, 'm')).toBe('b');
    expect(existsSync(`/proc/${from.pid}/exe`)).toBe(true);
    await b.close();
    await from.exited;
  });

  it('end with it', async () => {
    const from = await template();
    const one = await vmm(from, 'a');
    process.kill(from.pid, 'SIGKILL');
    expect(await one.exited).toEqual({ expected: false, reason: 'signal SIGKILL' });
    // What is left of it until it is collected has no program any more.
    while (existsSync(`/proc/${one.pid}/exe`)) await sleep(5);
    await expect(vmm(from, 'b')).rejects.toBeInstanceOf(HandoverFailed);
  });
});

describe('templates', () => {
  const told: string[] = [];
  let gone: string[] = [];
  function templates(limit: number): Templates {
    told.length = 0;
    gone = [];
    const all = new Templates(limit, options, {
      begin: (id) => ({ onProcess: () => undefined, gone: () => gone.push(id) }),
      warn: (reason) => told.push(reason),
    });
    open.push(all);
    return all;
  }
  async function ready(all: Templates, key: string): Promise<Template> {
    for (;;) {
      const one = all.take(key);
      if (one) return one;
      await sleep(5);
    }
  }

  it('are started when wanted, once for each key, and the least recently used goes', async () => {
    const all = templates(2);
    expect(all.take('one')).toBeUndefined();
    all.want('one', command());
    all.want('two', command());
    const [one, two] = [await ready(all, 'one'), await ready(all, 'two')];
    expect(all.take('one')).toBe(one);
    all.want('three', command());
    await two.exited;
    expect(all.take('one')).toBe(one);
    expect(all.take('two')).toBeUndefined();
  });

  it('are all gone after close, also those that start', async () => {
    const all = templates(2);
    all.want('one', command());
    const { pid } = await ready(all, 'one');
    all.want('two', command());
    await all.close();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    all.want('three', command());
    await sleep(300);
    expect(gone.length).toBe(1);
  });

  it('are begun anew after one died, and not for ever', async () => {
    const all = templates(1);
    for (let died = 1; died <= 5; died++) {
      all.want('one', command());
      process.kill((await ready(all, 'one')).pid, 'SIGKILL');
      while (told.length < died || all.take('one')) await sleep(5);
    }
    expect(told.at(-1)).toMatch(/no more templates/);
    all.want('one', command());
    await sleep(300);
    expect(gone.length).toBe(5);
  });

  it('are given up, with the reason, for a program that cannot be one', async () => {
    const all = templates(1);
    all.want('one', command('pipe'));
    while (told.length === 0) await sleep(5);
    expect(told[0]).toMatch(/cannot be a template: cannot be shared: pipe:.*no more templates/);
  });

  it('are told apart by the drives’ files, not only their names', async () => {
    const first = command();
    const key = await Templates.keyOf(first);
    expect(await Templates.keyOf(first)).toBe(key);
    const drive = first.files[0]?.path ?? '';
    rmSync(drive);
    writeFileSync(drive, 'another');
    expect(await Templates.keyOf(first)).not.toBe(key);
  });
});
