import { describe, expect, it } from 'vitest';
import { SnapshotLocks, type Access } from './snapshot-locks.js';

/** Work that ends when it is told to. */
function bench(locks: SnapshotLocks) {
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  const start = (name: string, wanted: Readonly<Record<string, Access>>): Promise<void> =>
    locks.with(wanted, async () => {
      running.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      running.splice(running.indexOf(name), 1);
    });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await settle();
  };
  return { running, start, end, settle };
}

describe('the locks of snapshots', () => {
  it('let readers in together and a writer alone, in the order in which they came', async () => {
    const { running, start, end, settle } = bench(new SnapshotLocks());
    const all = [
      start('read 1', { a: 'together' }),
      start('read 2', { a: 'together' }),
      start('write', { a: 'alone' }),
      start('read 3', { a: 'together' }),
    ];
    await settle();
    expect(running).toEqual(['read 1', 'read 2']);
    await end('read 1');
    expect(running).toEqual(['read 2']);
    await end('read 2');
    expect(running).toEqual(['write']);
    await end('write');
    expect(running).toEqual(['read 3']);
    await end('read 3');
    await Promise.all(all);
  });

  it('keep snapshots apart, and do not block each other over two', async () => {
    const { running, start, end, settle } = bench(new SnapshotLocks());
    const all = [
      start('a from b', { a: 'alone', b: 'together' }),
      start('b from a', { b: 'alone', a: 'together' }),
      start('c', { c: 'alone' }),
    ];
    await settle();
    expect(running.sort()).toEqual(['a from b', 'c']);
    await end('a from b');
    expect(running).toContain('b from a');
    await end('b from a');
    await end('c');
    await Promise.all(all);
  });

  it('are free again after work that failed', async () => {
    const locks = new SnapshotLocks();
    const failing = locks.with({ a: 'alone' }, () => Promise.reject(new RangeError('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await locks.with({ a: 'alone' }, () => Promise.resolve(1))).toBe(1);
  });

  it('refuse what would wait behind too many, but never a restore', async () => {
    const locks = new SnapshotLocks();
    const release = await locks.restoring('a');
    const waiting = Array.from({ length: 64 }, () =>
      locks.with({ a: 'alone' }, () => Promise.resolve()),
    );
    await expect(locks.with({ a: 'together' }, () => Promise.resolve())).rejects.toMatchObject({
      code: 'TOO_MANY_REQUESTS',
    });
    const restoring = locks.restoring('a');
    release();
    await Promise.all(waiting);
    (await restoring)();
  });
});
