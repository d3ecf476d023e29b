import { describe, expect, it } from 'vitest';
import { HistogramKeeper, parsePolicies, policyName } from './policies.js';

describe('names of policies', () => {
  it.each([
    ['none', ['none']],
    ['none,1m,10min,histogram', ['none', '1 min', '10 min', 'histogram']],
    ['5m, 5m', ['5 min']],
    ['1440m', ['1440 min']],
  ])('%s', (text, names) => {
    expect(parsePolicies(text).map(policyName)).toEqual(names);
  });

  it.each(['', 'some', '0m', '1441m', '10', '1.5m', '-1m', 'none,'])('refuses "%s"', (text) => {
    expect(() => parsePolicies(text)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
  });
});

describe('the histogram policy', () => {
  /** The window after these idle times, each as often as said. */
  function windowAfter(...idle: readonly (readonly [minutes: number, times: number])[]) {
    const keeper = new HistogramKeeper();
    keeper.reset();
    for (const [minutes, times] of idle) {
      for (let i = 0; i < times; i++) keeper.observe(minutes, 0);
    }
    return [keeper.from, keeper.to, keeper.beyondRange];
  }

  it.each([
    { name: 'nothing is known', idle: [], window: [0, 240, false] },
    // Head 9 minutes less a tenth, tail 10 and a tenth more; both outwards to whole minutes.
    { name: 'always the same', idle: [[9, 20]], window: [8, 11, false] },
    { name: 'never idle for a minute', idle: [[0, 20]], window: [0, 2, false] },
    // 1 of 20 is the 5th percentile, 20 of 20 the 99th: (60 + 1) × 1.1 = 67.1.
    { name: 'a twentieth is short', idle: [[2, 1], [60, 19]], window: [1, 68, false] }, // prettier-ignore
    // 1 of 100 lies beyond the 99th.
    { name: 'a hundredth is long', idle: [[3, 99], [200, 1]], window: [2, 5, false] }, // prettier-ignore
    { name: 'the last bin', idle: [[239, 5]], window: [215, 264, false] },
    { name: 'half beyond the range', idle: [[10, 2], [240, 2]], window: [9, 13, false] }, // prettier-ignore
    { name: 'most beyond the range', idle: [[10, 2], [240, 3]], window: [0, 240, true] }, // prettier-ignore
    {
      // 60 bins of one each: mean 1/4, deviation √(1/4 − 1/16) = 0.433, by the mean 1.73 < 2.
      name: 'too many different ones',
      idle: Array.from({ length: 60 }, (_, i) => [i * 3, 1]),
      window: [0, 240, false],
    },
    {
      // 40 bins: mean 1/6, deviation √(1/6 − 1/36) = 0.373, by the mean 2.24.
      name: 'fewer different ones',
      idle: Array.from({ length: 40 }, (_, i) => [i * 3, 1]),
      window: [2, 130, false],
    },
  ] as { name: string; idle: [number, number][]; window: unknown[] }[])(
    '$name',
    ({ idle, window }) => {
      expect(windowAfter(...idle)).toEqual(window);
    },
  );

  it('counts the idle times within a minute', () => {
    const keeper = new HistogramKeeper();
    keeper.observe(30, 0);
    expect([keeper.from, keeper.to]).toEqual([27, 35]);
    // 1 of 20 in bin 0: the head.
    keeper.observe(undefined, 1);
    expect([keeper.from, keeper.to]).toEqual([0, 35]);
  });

  it('forgets', () => {
    const keeper = new HistogramKeeper();
    for (let i = 0; i < 5; i++) keeper.observe(300, 3);
    for (let i = 0; i < 50; i++) keeper.observe(300, 0);
    expect(keeper.beyondRange).toBe(true);
    keeper.reset();
    keeper.observe(9, 0);
    expect([keeper.from, keeper.to, keeper.beyondRange]).toEqual([8, 11, false]);
  });
});
