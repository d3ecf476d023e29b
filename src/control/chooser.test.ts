import { describe, expect, it } from 'vitest';
import type { StrategyName, WorkingSets } from '../snapshot/index.js';
import { Chooser, pick } from './chooser.js';

const ALL: readonly StrategyName[] = ['populate', 'vanilla', 'reap', 'faasnap'];
const measured = (times: Partial<Record<StrategyName, number[]>>) =>
  new Map(Object.entries(times) as [StrategyName, number[]][]);
const KNOWN = { populate: [30, 20], vanilla: [50, 60], reap: [40, 41], faasnap: [35, 90] };

describe('the strategy auto', () => {
  it.each([
    ['the first', {}, 'populate'],
    ['it again', { populate: [10] }, 'populate'],
    ['the next', { populate: [10, 10] }, 'vanilla'],
    ['the last', { populate: [1, 1], vanilla: [1, 1], reap: [1, 1], faasnap: [1] }, 'faasnap'],
  ] as const)('tries %s', (_what, times, expected) => {
    const { strategy, why } = pick(ALL, measured(times as Record<string, number[]>), 5);
    expect(strategy).toBe(expected);
    expect(why).toMatch(/was measured [01] times of 2/);
  });

  it('takes the one with the least median, and says what it knows', () => {
    const chosen = pick(ALL, measured(KNOWN), 9);
    expect(chosen.strategy).toBe('populate');
    expect(chosen.why).toBe(
      'auto: populate answered in 30 ms, reap 41 ms, vanilla 60 ms, faasnap 90 ms',
    );
  });

  it('is not misled by one slow answer, and takes its choice back after several', () => {
    const populate = [20, 20, 20, 500];
    expect(pick(ALL, measured({ ...KNOWN, populate }), 9).strategy).toBe('populate');
    const slow = [20, 20, 500, 500];
    expect(pick(ALL, measured({ ...KNOWN, populate: slow }), 9).strategy).toBe('reap');
  });

  it('looks at the second best again from time to time', () => {
    const choices = Array.from({ length: 64 }, (_, i) => pick(ALL, measured(KNOWN), i + 1));
    const others = choices.filter(({ strategy }) => strategy !== 'populate');
    expect(others.map(({ strategy }) => strategy)).toEqual(['reap', 'reap']);
    expect(others[0]?.why).toContain('a look whether reap is still slower');
  });

  it('does with what the VMM can do', () => {
    expect(pick(['vanilla'], measured({ vanilla: [9, 9] }), 32).strategy).toBe('vanilla');
    expect(pick([], new Map(), 1)).toMatchObject({ strategy: 'vanilla' });
  });
});

describe('a chooser', () => {
  const sets = { snapshot: { manifest: { ssId: 'a' } } } as unknown as WorkingSets;

  it('does what it is told', () => {
    expect(new Chooser(['file']).choose('reap', sets, true)).toEqual({ strategy: 'reap', why: '' });
  });

  it('learns per snapshot, remembers the last times only, and forgets', () => {
    const chooser = new Chooser(['file']);
    for (const ms of [900, 900, 900, 10, 10, 10, 10, 10, 10]) chooser.learn('a', 'vanilla', ms);
    expect(chooser.choose('auto', sets, true).why).toContain('vanilla answered in 10 ms');
    chooser.forget('a');
    expect(chooser.choose('auto', sets, true).why).toContain('measured 0 times');
  });
});
