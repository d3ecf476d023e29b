import { describe, expect, it } from 'vitest';
import { Backoff, Demands, keyOf } from './demands.js';
import type { SnapshotRecord } from './types.js';

const snapshot = (ssId: string): SnapshotRecord => ({
  ...{ ssId, vmId: 'vm', functionName: 'hello', statePath: '/s', memoryPath: '/m', vcpus: 1 },
  ...{ memMiB: 512, image: 'debian', kernel: 'debian', codeId: 'c', version: 'fake 1' },
  regions: { record: true, intervalThreshold: 32, sizeThreshold: 0 },
  ...{ createdAt: 0, diskBytes: 0 },
});

describe('Demands', () => {
  it('keeps each strategy of each snapshot apart', () => {
    const demands = new Demands();
    demands.arrived(snapshot('a'), 'vanilla', 1);
    demands.arrived(snapshot('a'), 'reap', 2);
    demands.arrived(snapshot('b'), 'vanilla', 3);
    demands.arrived(snapshot('a'), 'vanilla', 4);
    expect(demands.all().map(({ key, arrivals }) => [key, arrivals])).toEqual([
      ['a vanilla', [1, 4]],
      ['a reap', [2]],
      ['b vanilla', [3]],
    ]);
    demands.forget('a');
    expect(demands.all()).toMatchObject([{ ssId: 'b', memMiB: 512, isLearned: false }]);
  });

  it('forgets what is long ago, and of much the oldest', () => {
    const demands = new Demands();
    for (let at = 1; at <= 2000; at++) demands.arrived(snapshot('a'), 'vanilla', at);
    expect(demands.all()[0]?.arrivals).toHaveLength(1024);
    demands.prune(1998);
    expect(demands.all()[0]?.arrivals).toEqual([1999, 2000]);
    demands.prune(2000);
    expect(demands.all()).toEqual([]);
  });

  it('knows how long starts take, the last one most', () => {
    const demands = new Demands();
    const key = keyOf('a', 'vanilla');
    demands.took(key, 1);
    demands.arrived(snapshot('a'), 'vanilla', 1);
    expect(demands.find(key)?.startMs).toBeUndefined();
    for (const ms of [100, 300, 100]) demands.took(key, ms);
    expect(demands.find(key)?.startMs).toBe(150);
  });
});

describe('Backoff', () => {
  it('doubles with each failure up to its limit, and ends when one has served', () => {
    const backoff = new Backoff();
    const key = keyOf('a', 'vanilla');
    expect(backoff.isOver(key, 0)).toBe(true);
    const waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => seconds * 1000);
    for (const waitMs of waits) {
      backoff.failed(key, 50);
      expect([backoff.isOver(key, 50 + waitMs - 1), backoff.isOver(key, 50 + waitMs)]).toEqual([
        ...[false, true],
      ]);
    }
    expect(backoff.isOver(keyOf('b', 'vanilla'), 50)).toBe(true);
    backoff.served(key);
    backoff.failed(key, 0);
    expect(backoff.isOver(key, 1000)).toBe(true);
    backoff.forget('a');
    expect(backoff.isOver(key, 0)).toBe(true);
  });
});
