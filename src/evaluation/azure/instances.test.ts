import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../tests/support/random.js';
import type { KeepingPolicy } from './policies.js';
import { type Calls, courseOf, countsOf, overlap, simulate } from './testing.js';
import { MINUTES } from './trace.js';

const fixed = (minutes: number): KeepingPolicy => ({ kind: 'fixed', minutes });
const histogram: KeepingPolicy = { kind: 'histogram' };

/** The minutes that are not 0, as `minute: value`. */
const some = (values: readonly number[]): Record<number, number> =>
  Object.fromEntries([...values.entries()].filter(([, value]) => value !== 0));

describe('instances that are kept for a fixed time', () => {
  const cases: readonly {
    readonly name: string;
    readonly calls: Calls;
    readonly ms: number;
    readonly keep: number;
    readonly ready: Record<number, number>;
    readonly cold: Record<number, number>;
  }[] = [
    {
      name: 'one call: cold, then idle for two minutes',
      ...{ calls: { 5: 1 }, ms: 100, keep: 2 },
      ...{ ready: { 6: 1, 7: 1 }, cold: { 5: 1 } },
    },
    {
      name: 'the next call in the last of them is warm',
      ...{ calls: { 5: 1, 7: 1 }, ms: 100, keep: 2 },
      ...{ ready: { 6: 1, 7: 1, 8: 1, 9: 1 }, cold: { 5: 1 } },
    },
    {
      name: 'one minute later it is cold',
      ...{ calls: { 5: 1, 8: 1 }, ms: 100, keep: 2 },
      ...{ ready: { 6: 1, 7: 1, 9: 1, 10: 1 }, cold: { 5: 1, 8: 1 } },
    },
    {
      // 90 calls × 2 s = 180 s of work: 3 at once. 30 × 2 s: one, which is kept; two are idle.
      name: 'of three instances two end sooner',
      ...{ calls: { 0: 90, 1: 30 }, ms: 2000, keep: 1 },
      ...{ ready: { 1: 3, 2: 1 }, cold: { 0: 3 } },
    },
    {
      // 31 × 2 s = 62 s do not fit into one.
      name: 'a call too many starts a second one',
      ...{ calls: { 0: 30, 1: 31 }, ms: 2000, keep: 1 },
      ...{ ready: { 1: 1, 2: 2 }, cold: { 0: 1, 1: 1 } },
    },
    {
      name: 'a call of no time needs an instance',
      ...{ calls: { 1439: 1000 }, ms: 0, keep: 60 },
      ...{ ready: {}, cold: { 1439: 1 } },
    },
    {
      // Two calls of 150 s: both busy in 0 and 1; their two rests of 30 s share one in 2.
      name: 'long calls hold their instances, and only the rest is shared',
      ...{ calls: { 0: 2 }, ms: 150_000, keep: 1 },
      ...{ ready: { 1: 2, 2: 2, 3: 1 }, cold: { 0: 2 } },
    },
    {
      // In minute 1 the first is busy still: the second call needs another instance.
      name: 'a busy instance takes no other call',
      ...{ calls: { 0: 1, 1: 1 }, ms: 120_000, keep: 1 },
      ...{ ready: { 1: 1, 2: 2, 3: 1 }, cold: { 0: 1, 1: 1 } },
    },
    {
      name: 'the day ends with an instance that is still there',
      ...{ calls: { 1438: 1 }, ms: 100, keep: 20 },
      ...{ ready: { 1439: 1 }, cold: { 1438: 1 } },
    },
  ];
  it.each(cases)('$name', ({ calls, ms, keep, ready, cold }) => {
    const course = courseOf(calls, ms, fixed(keep));
    expect(some(course.cold)).toEqual(cold);
    expect(some(course.ready)).toEqual(ready);
    expect(some(course.ahead)).toEqual({});
  });
});

describe('instances under the histogram policy', () => {
  it('are kept for four hours while nothing is known', () => {
    const { ready, cold } = courseOf({ 10: 1 }, 100, histogram);
    expect(some(cold)).toEqual({ 10: 1 });
    expect(ready.slice(10, 12)).toEqual([0, 1]);
    expect(ready.slice(250, 252)).toEqual([1, 0]);
  });

  it('come back before a call that is expected, and go when it does not come', () => {
    // Every 30 minutes: 29 idle minutes each. Head 29 × 0.9 = 26, tail (29 + 1) × 1.1 = 33.
    const { ready, cold, ahead } = courseOf({ 0: 1, 30: 1, 60: 1 }, 100, histogram);
    // The first time is awaited for four hours, the second from 26 minutes after the end on.
    expect(some(cold)).toEqual({ 0: 1 });
    expect(ready.slice(1, 31)).toEqual(new Array(30).fill(1));
    expect(ready.slice(31, 57)).toEqual(new Array(26).fill(0));
    expect(ready.slice(57, 61)).toEqual([1, 1, 1, 1]);
    expect(some(ahead)).toEqual({ 57: 1, 87: 1 });
    expect(some(ready.map((value, minute) => (minute > 60 ? value : 0)))).toEqual(
      Object.fromEntries(Array.from({ length: 7 }, (_, i) => [87 + i, 1])),
    );
  });

  it('are started cold when a call comes sooner than expected, in place of those to come', () => {
    const { cold, ahead } = courseOf({ 0: 1, 30: 1, 40: 1 }, 100, histogram);
    expect(some(cold)).toEqual({ 0: 1, 40: 1 });
    // After 40 the idle times are 29 and 9: head 9 × 0.9 = 8.
    expect(some(ahead)).toEqual({ 49: 1 });
  });
});

describe('the slow simulator agrees', () => {
  const random = seededRandom();
  const pick = <T>(values: readonly T[]): T => values[random(values.length)] as T;

  function randomCalls(): Calls {
    const calls: Record<number, number> = {};
    const period = pick([1, 2, 5, 15, 30, 61, 250]);
    const noise = pick([0, 0, 1, 20]);
    for (let minute = random(30); minute < MINUTES; minute += period + random(noise + 1)) {
      if (random(8) > 0) calls[minute] = 1 + random(pick([1, 4, 40]));
    }
    return calls;
  }

  it('on random traces', () => {
    for (let round = 0; round < 100; round++) {
      const calls = randomCalls();
      const ms = pick([0, 1, 800, 3000, 29_999, 60_000, 61_000, 90_000, 150_000, 400_000]);
      const policy = pick([fixed(1), fixed(3), fixed(10), fixed(60), histogram, histogram]);
      expect(courseOf(calls, ms, policy), JSON.stringify({ ms, policy, calls })).toEqual(
        simulate(calls, ms, policy),
      );
    }
  });

  it('and a fixed time keeps the most that were needed in it', () => {
    for (let round = 0; round < 50; round++) {
      const calls = randomCalls();
      const keep = 1 + random(20);
      const needs = [...countsOf(calls)].map((count) => overlap(count, 3000));
      const { ready } = courseOf(calls, 3000, fixed(keep));
      const most = needs.map((_, minute) =>
        Math.max(0, ...needs.slice(Math.max(0, minute - keep), minute)),
      );
      expect(ready, JSON.stringify({ keep, calls })).toEqual(most);
    }
  });
});
