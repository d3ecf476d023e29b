import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Registry, hostBootId, type StoredFunction, type StoredSnapshot } from './index.js';
import { MIGRATIONS } from './schema.js';

const fn: StoredFunction = {
  name: 'hello',
  image: 'debian',
  kernel: 'debian',
  vcpus: 1,
  memMiB: 128,
  runtime: 'python3',
  handler: 'app.handler',
  env: { A: 'ü' },
  restoreStrategy: 'vanilla',
  placement: {},
  timeoutMs: 1000,
  createdAt: 1,
  updatedAt: 2,
};
const snapshot: StoredSnapshot = {
  ssId: 'ss-1',
  vmId: 'vm-1',
  functionName: 'hello',
  statePath: '/s',
  memoryPath: '/m',
  vcpus: 1,
  memMiB: 128,
  image: 'debian',
  kernel: 'debian',
  codeId: 'c',
  version: 'fake 1',
  regions: { record: true, intervalThreshold: 32, sizeThreshold: 0 },
  createdAt: 3,
  diskBytes: 4,
};

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'registry-'))));
afterEach(() => rmSync(dir, { recursive: true }));

/** Another process that opens the registry as a daemon does, says so, and stays. */
async function otherDaemon(): Promise<{ kill: () => Promise<void> }> {
  const script = `
    import Database from 'better-sqlite3';
    const db = new Database(process.argv[1], { timeout: 0 });
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    db.exec('BEGIN IMMEDIATE; COMMIT');
    console.log('open');
    setInterval(() => {}, 1000);`;
  const args = ['--input-type=module', '-e', script, join(dir, 'registry.sqlite')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

describe('the registry', () => {
  it('keeps functions, snapshots and the journal over a restart', () => {
    const first = Registry.open(dir);
    first.putFunction(fn);
    first.putFunction({ ...fn, name: 'other' });
    first.putFunction({ ...fn, memMiB: 256, codeId: 'abc' });
    first.dropFunction('other');
    first.putSnapshot(snapshot);
    const id = first.journal.intend({ kind: 'vm-dir', name: '/x', vmId: 'vm-1' });
    first.close();

    const second = Registry.open(dir);
    expect(second.functions()).toEqual([{ ...fn, memMiB: 256, codeId: 'abc' }]);
    expect(second.snapshots()).toEqual([snapshot]);
    expect(second.journal.entries()).toEqual([
      { id, kind: 'vm-dir', name: '/x', vmId: 'vm-1', bootId: hostBootId(), attributes: {} },
    ]);
    second.dropSnapshot('ss-1');
    second.journal.done(id);
    expect(second.snapshots()).toEqual([]);
    expect(second.journal.entries()).toEqual([]);
    second.close();
  });

  it("keeps a function's placement in a column of its own, which older registries lack", () => {
    const db = new Database(join(dir, 'registry.sqlite'));
    const before: Partial<StoredFunction> = { ...fn };
    Reflect.deleteProperty(before, 'placement');
    db.exec(MIGRATIONS[0] ?? '');
    db.prepare('INSERT INTO functions VALUES (?, ?, ?, ?)').run(
      'hello',
      null,
      JSON.stringify(before),
      1,
    );
    db.pragma('user_version = 1');
    db.close();
    const registry = Registry.open(dir);
    expect(registry.functions()).toEqual([fn]);
    const placement = { order: ['cold'], maxVms: 3 } as const;
    registry.putFunction({ ...fn, placement });
    registry.close();
    const again = Registry.open(dir);
    expect(again.functions()).toEqual([{ ...fn, placement }]);
    again.putFunction(fn);
    expect(again.functions()).toEqual([fn]);
    again.close();
  });

  it('refuses a second daemon in the same process at once and names the folder', () => {
    const first = Registry.open(dir);
    expect(() => Registry.open(dir)).toThrow(
      expect.objectContaining({
        code: 'DATA_IN_USE',
        message: expect.stringContaining(dir) as string,
      }),
    );
    first.close();
    Registry.open(dir).close();
  });

  it('is free again as soon as the other daemon was killed', async () => {
    const other = await otherDaemon();
    expect(() => Registry.open(dir)).toThrow(expect.objectContaining({ code: 'DATA_IN_USE' }));
    await other.kill();
    Registry.open(dir).close();
  });

  it('refuses what is no registry, and one of a newer Sparkler', () => {
    writeFileSync(join(dir, 'registry.sqlite'), 'this is not a database, whatever its name says');
    expect(() => Registry.open(dir)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }));
    rmSync(join(dir, 'registry.sqlite'));
    const db = new Database(join(dir, 'registry.sqlite'));
    db.pragma(`user_version = ${MIGRATIONS.length + 1}`);
    db.close();
    expect(() => Registry.open(dir)).toThrow(/newer Sparkler/);
  });

  it('refuses a folder that it cannot make', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => Registry.open(join(dir, 'file', 'data'))).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG' }),
    );
  });

  it('writes all of a transaction or nothing', () => {
    const registry = Registry.open(dir);
    expect(() =>
      registry.transaction(() => {
        registry.putSnapshot(snapshot);
        throw new RangeError('halfway');
      }),
    ).toThrow('halfway');
    expect(registry.snapshots()).toEqual([]);
    registry.close();
  });

  it('crosses out journal entries together with the function that ends them', () => {
    const registry = Registry.open(dir);
    const id = registry.journal.intend({ kind: 'code-dir', name: '/c' });
    registry.putFunction(fn, [id]);
    expect(registry.journal.entries()).toEqual([]);
    registry.close();
  });

  it('keeps peaks of memory with their function', () => {
    const first = Registry.open(dir);
    first.putMemoryPeaks('hello', [1]);
    expect(first.memoryPeaks('hello')).toEqual([]);
    first.putFunction(fn);
    first.putMemoryPeaks('hello', [1]);
    first.putMemoryPeaks('hello', [1, 2]);
    // A function that is changed is the same function.
    first.putFunction({ ...fn, memMiB: 512 });
    first.close();
    const second = Registry.open(dir);
    expect(second.memoryPeaks('hello')).toEqual([1, 2]);
    expect(second.memoryPeaks('other')).toEqual([]);
    second.dropFunction('hello');
    second.putFunction(fn);
    expect(second.memoryPeaks('hello')).toEqual([]);
    second.close();
  });

  it('attaches a process to its intent', () => {
    const registry = Registry.open(dir);
    const [, id] = registry.journal.intendAll([
      { kind: 'vm-dir', name: '/d' },
      { kind: 'process', name: 'vmm', vmId: 'vm-1', attributes: { attempt: 1 } },
    ]);
    registry.journal.attach(id!, { pid: 12, startTime: '345' });
    expect(registry.journal.entries()[1]).toMatchObject({
      process: { pid: 12, startTime: '345' },
      attributes: { attempt: 1 },
    });
    registry.close();
  });
});
