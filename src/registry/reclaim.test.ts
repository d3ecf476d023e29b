import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identify, reclaim, Registry, startTimeOf, type JournalEntry } from './index.js';

let dir: string;
let data: string;
let registry: Registry;
let warnings: { entry: JournalEntry; reason: string }[];
const children: ChildProcess[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reclaim-'));
  data = join(dir, 'data');
  registry = Registry.open(data);
  warnings = [];
});
afterEach(() => {
  registry.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(dir, { recursive: true });
});

function run(waitMs = 2000, cgroupMount?: string) {
  return reclaim(registry.journal, {
    roots: [data, join(dir, 'snapshots')],
    waitMs,
    ...(cgroupMount !== undefined && { cgroupMount }),
    warn: (entry, reason) => warnings.push({ entry, reason }),
  });
}

function sleeper(): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  children.push(child);
  return child as ChildProcess & { pid: number };
}

function journalProcess(pid: number, startTime: string): number {
  const id = registry.journal.intend({ kind: 'process', name: 'vmm', vmId: 'vm-1' });
  registry.journal.attach(id, { pid, startTime });
  return id;
}

/** Pretends that the journal was written in an earlier boot of the host. */
function ageJournal(): void {
  registry.close();
  const db = new Database(join(data, 'registry.sqlite'));
  db.exec(`UPDATE journal SET boot_id = 'another boot'`);
  db.close();
  registry = Registry.open(data);
}

describe('reclaiming processes', () => {
  it('ends the process that the journal names', async () => {
    const child = sleeper();
    journalProcess(child.pid, identify(child.pid)!.startTime);
    const exit = once(child, 'exit');
    expect(await run()).toMatchObject({ processes: 1 });
    expect(await exit).toEqual([null, 'SIGKILL']);
    expect(registry.journal.entries()).toEqual([]);
  });

  it('leaves a process alone that only has the same pid', async () => {
    const child = sleeper();
    journalProcess(child.pid, String(Number(startTimeOf(child.pid)) - 1));
    expect(await run()).toMatchObject({ processes: 0 });
    expect(startTimeOf(child.pid)).toBeDefined();
    expect(registry.journal.entries()).toEqual([]);
  });

  it('leaves a process alone when the host was booted since', async () => {
    const child = sleeper();
    journalProcess(child.pid, startTimeOf(child.pid)!);
    ageJournal();
    expect(await run()).toMatchObject({ processes: 0 });
    expect(startTimeOf(child.pid)).toBeDefined();
    expect(registry.journal.entries()).toEqual([]);
  });

  it('is content with a process that is gone, or was never spawned', async () => {
    const child = sleeper();
    journalProcess(child.pid, startTimeOf(child.pid)!);
    registry.journal.intend({ kind: 'process', name: 'vmm' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await run()).toMatchObject({ processes: 0 });
    expect(registry.journal.entries()).toEqual([]);
  });
});

const mount = readFileSync('/proc/mounts', 'utf8')
  .split('\n')
  .find((line) => line.split(' ')[2] === 'cgroup2')
  ?.split(' ')[1];
const canMakeCgroups = mount !== undefined && process.getuid?.() === 0;

describe.runIf(canMakeCgroups)('reclaiming cgroups', () => {
  const vmId = `vm-test-${process.pid}`;
  const group = join(mount ?? '', `sparkler-${vmId}`);
  afterEach(() => {
    for (const folder of [join(group, 'inner'), group]) if (existsSync(folder)) rmdirSync(folder);
  });

  function put(child: { pid: number }, into: string): void {
    writeFileSync(join(into, 'cgroup.procs'), String(child.pid));
  }

  it('ends all processes in the journaled cgroup, journaled or not, and removes it', async () => {
    mkdirSync(group);
    const [first, second] = [sleeper(), sleeper()];
    put(first, group);
    put(second, group);
    registry.journal.intend({ kind: 'cgroup', name: group, vmId });
    const exits = [first, second].map((child) => once(child, 'exit'));
    expect(await run()).toMatchObject({ processes: 2, cgroups: 1 });
    expect(await Promise.all(exits)).toEqual([
      [null, 'SIGKILL'],
      [null, 'SIGKILL'],
    ]);
    expect(existsSync(group)).toBe(false);
    expect(registry.journal.entries()).toEqual([]);
  });

  it('leaves a cgroup alone whose name does not carry its VM', async () => {
    mkdirSync(group);
    const child = sleeper();
    put(child, group);
    registry.journal.intend({ kind: 'cgroup', name: group, vmId: 'vm-another' });
    expect(await run()).toMatchObject({ processes: 0, cgroups: 0 });
    expect(startTimeOf(child.pid)).toBeDefined();
    expect(warnings).toHaveLength(1);
    expect(registry.journal.entries()).toHaveLength(1);
    registry.journal.intend({ kind: 'cgroup', name: group, vmId });
    await run();
    expect(existsSync(group)).toBe(false);
  });

  it('keeps in the journal what does not go in time', async () => {
    mkdirSync(group);
    // A cgroup within keeps it busy for ever.
    mkdirSync(join(group, 'inner'));
    registry.journal.intend({ kind: 'cgroup', name: group, vmId });
    expect(await run(50)).toMatchObject({ cgroups: 0 });
    expect(warnings[0]?.reason).toContain('could not be removed');
    expect(registry.journal.entries()).toHaveLength(1);
  });
});

describe('reclaiming files and folders', () => {
  it('removes what the journal names and nothing beside it', async () => {
    for (const name of ['vms/vm-1', 'vms/vm-2', 'snapshots/ss-1']) {
      mkdirSync(join(data, name), { recursive: true });
      writeFileSync(join(data, name, 'memory'), 'x');
    }
    mkdirSync(join(dir, 'snapshots'));
    writeFileSync(join(dir, 'snapshots', 'memory'), 'x');
    registry.journal.intendAll([
      { kind: 'vm-dir', name: join(data, 'vms/vm-1') },
      { kind: 'snapshot-dir', name: join(data, 'snapshots/ss-1') },
      { kind: 'file', name: join(dir, 'snapshots/memory') },
      { kind: 'vm-dir', name: join(data, 'vms/vm-never-made') },
      { kind: 'file', name: join(data, 'no-such-folder/file') },
    ]);
    expect(await run()).toMatchObject({ folders: 2, files: 1 });
    expect(existsSync(join(data, 'vms/vm-1'))).toBe(false);
    expect(existsSync(join(data, 'snapshots/ss-1'))).toBe(false);
    expect(existsSync(join(dir, 'snapshots/memory'))).toBe(false);
    expect(existsSync(join(data, 'vms/vm-2/memory'))).toBe(true);
    expect(registry.journal.entries()).toEqual([]);
  });

  it.each([
    ['outside', (d: string) => join(d, 'elsewhere/file')],
    ['the data folder itself', (d: string) => join(d, 'data')],
    ['with dots', (d: string) => `${d}/data/../elsewhere/file`],
    ['through a link', (d: string) => join(d, 'data/link/file')],
    ['relative', () => 'elsewhere/file'],
  ])('touches nothing %s', async (_, path) => {
    mkdirSync(join(dir, 'elsewhere'));
    writeFileSync(join(dir, 'elsewhere/file'), 'precious');
    symlinkSync(join(dir, 'elsewhere'), join(data, 'link'));
    registry.journal.intend({ kind: 'vm-dir', name: path(dir) });
    expect(await run()).toMatchObject({ folders: 0, files: 0 });
    expect(readFileSync(join(dir, 'elsewhere/file'), 'utf8')).toBe('precious');
    expect(existsSync(join(data, 'registry.sqlite'))).toBe(true);
  });

  it('removes a link, not what it leads to', async () => {
    mkdirSync(join(dir, 'elsewhere'));
    writeFileSync(join(dir, 'elsewhere/file'), 'precious');
    symlinkSync(join(dir, 'elsewhere'), join(data, 'link'));
    registry.journal.intend({ kind: 'vm-dir', name: join(data, 'link') });
    await run();
    expect(existsSync(join(data, 'link'))).toBe(false);
    expect(readFileSync(join(dir, 'elsewhere/file'), 'utf8')).toBe('precious');
    symlinkSync(join(dir, 'nowhere'), join(data, 'link'));
    registry.journal.intend({ kind: 'file', name: join(data, 'link') });
    expect(await run()).toMatchObject({ files: 1 });
    expect(lstatSync(join(data, 'link'), { throwIfNoEntry: false })).toBeUndefined();
  });
});

it('runs twice with the same result', async () => {
  mkdirSync(join(data, 'vms/vm-1'), { recursive: true });
  registry.journal.intend({ kind: 'vm-dir', name: join(data, 'vms/vm-1') });
  expect(await run()).toMatchObject({ folders: 1 });
  expect(await run()).toEqual({ processes: 0, cgroups: 0, files: 0, folders: 0 });
});
