import { describe, expect, it } from 'vitest';
import { Demand } from './demand.js';
import { type Calls, countsOf, overlap } from './testing.js';
import { addCounts, eachCount, MINUTES, packCounts } from './trace.js';

function demandOf(calls: Calls, averageMs: number) {
  const demand = new Demand();
  demand.set(packCounts(countsOf(calls)), averageMs);
  return Array.from({ length: demand.length }, (_, at) => ({
    minute: demand.minute[at],
    arrivals: demand.arrivals[at],
    busy: demand.busy[at],
    need: demand.need[at],
    carried: demand.carried[at],
  }));
}

describe('packed counts', () => {
  it.each([
    ['none', {}],
    ['in the first and the last minute', { 0: 1, 1439: 2 }],
    ['large', { 3: 127, 4: 128, 5: 16_383, 6: 16_384, 1000: 1e9 }],
    ['in every minute', Object.fromEntries(Array.from({ length: MINUTES }, (_, i) => [i, i + 1]))],
  ])('come back as they were: %s', (_name, calls: Calls) => {
    const back: Record<number, number> = {};
    eachCount(packCounts(countsOf(calls)), (minute, count) => (back[minute] = count));
    expect(back).toEqual(calls);
  });

  it('add up', () => {
    const sum = addCounts(packCounts(countsOf({ 1: 2, 3: 4 })), packCounts(countsOf({ 3: 5 })));
    expect(sum).toEqual(packCounts(countsOf({ 1: 2, 3: 9 })));
  });
});

describe('demand', () => {
  it.each([
    // 60 × 1 s fill an instance, 61 do not fit.
    { count: 60, ms: 1000, busy: 1, need: 1 },
    { count: 61, ms: 1000, busy: 61 / 60, need: 2 },
    { count: 1, ms: 59_999, busy: 59_999 / 60_000, need: 1 },
    { count: 7, ms: 0, busy: 0, need: 1 },
    { count: 90_000, ms: 2, busy: 3, need: 3 },
  ])('$count calls of $ms ms need $need', ({ count, ms, busy, need }) => {
    expect(demandOf({ 9: count }, ms)).toEqual([
      { minute: 9, arrivals: count, busy, need, carried: 0 },
    ]);
  });

  it('has the whole minutes of long calls first, then the rest, shared', () => {
    // 150 s: two minutes, and half a one.
    expect(demandOf({ 0: 3, 1: 1 }, 150_000)).toEqual([
      { minute: 0, arrivals: 3, busy: 3, need: 3, carried: 0 },
      { minute: 1, arrivals: 1, busy: 4, need: 4, carried: 3 },
      { minute: 2, arrivals: 0, busy: 1 + 1.5, need: 3, carried: 3 },
      { minute: 3, arrivals: 0, busy: 0.5, need: 1, carried: 1 },
    ]);
  });

  it('has no rest after calls of whole minutes', () => {
    expect(demandOf({ 0: 1 }, 120_000).map(({ minute }) => minute)).toEqual([0, 1]);
  });

  it('ends with the day', () => {
    expect(demandOf({ 1438: 1 }, 600_000).map(({ minute }) => minute)).toEqual([1438, 1439]);
  });

  it('needs as many as overlap on the circle', () => {
    for (const ms of [0, 1, 999, 1000, 1001, 20_000, 30_000, 59_999]) {
      for (let count = 1; count < 70; count++) {
        expect(demandOf({ 0: count }, ms)[0]?.need, `${count} × ${ms}`).toBe(overlap(count, ms));
      }
    }
  });
});
