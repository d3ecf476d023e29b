import { describe, expect, it } from 'vitest';
import { randomFrom, shuffled } from './random.js';
import { median, percentile, summarize } from './statistics.js';

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => n - i);

describe('percentile', () => {
  it.each([
    [20, 95, 19],
    [10, 95, 10],
    [100, 95, 95],
    [200, 99, 198],
    [1, 1, 1],
    [5, 40, 2],
    [5, 41, 3],
  ])('of 1 to %i at %i percent is %i', (n, percent, expected) => {
    expect(percentile(upTo(n), percent)).toBe(expected);
  });

  it.each([0, -1, 101, Number.NaN])('refuses %d percent', (percent) => {
    expect(() => percentile([1], percent)).toThrow(RangeError);
  });

  it('refuses an empty list', () => {
    expect(() => percentile([], 50)).toThrow(RangeError);
  });
});

describe('median', () => {
  it.each([
    [[7], 7],
    [[10, 2], 6],
    [[100, 9, 20], 20],
    [[4, 1, 3, 2], 2.5],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });
});

describe('summarize', () => {
  it('says all at once, by value and not by text', () => {
    const values = [10, 9, 100, 1, 2];
    expect(summarize(values)).toEqual({ n: 5, median: 9, p95: 100, min: 1, max: 100 });
    expect(values).toEqual([10, 9, 100, 1, 2]);
  });

  it('keeps values below zero', () => {
    expect(summarize([-1, 0])).toEqual({ n: 2, median: -0.5, p95: 0, min: -1, max: 0 });
  });
});

describe('shuffled', () => {
  it('keeps all items, and the seed decides their order', () => {
    const items = upTo(50);
    const once = shuffled(items, randomFrom(7));
    expect([...once].sort((a, b) => b - a)).toEqual(items);
    expect(shuffled(items, randomFrom(7))).toEqual(once);
    expect(shuffled(items, randomFrom(8))).not.toEqual(once);
  });

  it('chooses each order equally often', () => {
    const random = randomFrom(1);
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = shuffled(['a', 'b', 'c'], random).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
