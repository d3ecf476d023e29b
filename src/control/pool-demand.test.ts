import { describe, expect, it } from 'vitest';
import { recent, shares, wanted, type Demand } from './pool-demand.js';

/** `count` arrivals, one every `everyMs`, the last at `until`. */
function steady(count: number, everyMs: number, until = 60_000): number[] {
  return Array.from({ length: count }, (_, n) => until - (count - 1 - n) * everyMs);
}

describe('recent arrivals', () => {
  it.each([
    [[], 10, []],
    [[1, 2, 3], 3, []],
    [[1, 2, 3], 2, [3]],
    [[1, 2, 3], 0, [1, 2, 3]],
  ])('of %j since %d are %j', (arrivals, since, left) => {
    expect(recent(arrivals, since)).toEqual(left);
  });
});

describe('how many VMs are wanted', () => {
  it.each<[string, number[], number, number]>([
    ['nothing was called', [], 400, 0],
    ['one call is no pattern', [100], 400, 0],
    ['two calls far apart', [100, 50_000], 400, 1],
    ['two calls at once', [100, 100], 400, 2],
    ['two calls within one start', [100, 500], 400, 2],
    ['two calls just not within one start', [100, 501], 400, 1],
    ['one call a second', steady(60, 1000), 400, 1],
    ['five calls a second', steady(300, 200), 400, 3],
    ['twenty calls a second', steady(1000, 50), 400, 9],
    ['the same with slower starts', steady(1000, 50), 2000, 41],
    ['a burst some time ago', [...steady(7, 10, 1000), ...steady(10, 1000)], 400, 7],
  ])('%s', (_, arrivals, startMs, want) => {
    expect(wanted(arrivals, startMs)).toBe(want);
  });

  it('does not fall when more is called', () => {
    let before = 0;
    for (let perSecond = 1; perSecond <= 64; perSecond *= 2) {
      const want = wanted(steady(10 * perSecond, 1000 / perSecond), 400);
      expect(want).toBeGreaterThanOrEqual(before);
      before = want;
    }
    expect(before).toBeGreaterThan(20);
  });
});

describe('shares of the pool', () => {
  const kind = (key: string, arrivals: number[], more: Partial<Demand> = {}): Demand => ({
    ...{ key, arrivals, memMiB: 512, startMs: 400, asked: 0, ...more },
  });
  const burst = (count: number): number[] => steady(count, 1);
  const plenty = { vms: 100, memMiB: 1e6 };

  it.each<[string, Demand[], { vms: number; memMiB: number }, Record<string, number>]>([
    ['no demand', [], plenty, {}],
    ['a call long ago', [kind('a', [1, 2])], plenty, {}],
    ['all that is wanted', [kind('a', burst(3)), kind('b', burst(2))], plenty, { a: 3, b: 2 }],
    ['no room', [kind('a', burst(3))], { vms: 0, memMiB: 1e6 }, { a: 0 }],
    ['capped in VMs', [kind('a', burst(9))], { vms: 2, memMiB: 1e6 }, { a: 2 }],
    ['capped in memory', [kind('a', burst(9))], { vms: 9, memMiB: 1700 }, { a: 3 }],
    [
      'by demand',
      [kind('a', burst(30)), kind('b', burst(10))],
      { vms: 4, memMiB: 1e6 },
      { a: 3, b: 1 },
    ],
    [
      'equal demand',
      [kind('b', burst(10)), kind('a', burst(10))],
      { vms: 3, memMiB: 1e6 },
      { a: 2, b: 1 },
    ],
    [
      'one that is too big for what is left does not keep others out',
      [kind('a', burst(30), { memMiB: 4096 }), kind('b', burst(5))],
      { vms: 9, memMiB: 2048 },
      { a: 0, b: 4 },
    ],
    [
      'those that were asked for count',
      [kind('a', burst(3), { asked: 2 }), kind('b', burst(2), { asked: 5 })],
      plenty,
      { a: 1 },
    ],
  ])('%s', (_, demands, room, expected) => {
    expect(Object.fromEntries(shares(demands, room, 30_000))).toEqual(expected);
  });

  it('never exceed what there is', () => {
    for (let vms = 0; vms < 8; vms++) {
      const demands = ['a', 'b', 'c'].map((key, n) => kind(key, burst(5 + 3 * n)));
      const room = { vms, memMiB: 2600 };
      const given = [...shares(demands, room, 0).values()].reduce((sum, n) => sum + n, 0);
      expect(given).toBe(Math.min(vms, 5));
    }
  });
});
