import { describe, expect, it } from 'vitest';
import type { HostCosts, Recording } from '../snapshot/index.js';
import { estimate, sizeOf } from './estimates.js';
import { pick } from './chooser.js';

const COSTS: HostCosts = {
  minorFaultUs: 1,
  coldFaultUs: 4000,
  servedFaultUs: 30,
  sequentialMiBps: 8000,
  coldSequentialMiBps: 1000,
  populateUsPerPage: 0.5,
};
const trace = (...pages: number[]): Recording => ({
  strategy: 'userfault',
  trace: Uint32Array.from(pages),
  ...{ snapshotId: 'a', memoryId: 'm', memoryBytes: 1 << 24, eventSha256: '', eventBytes: 0 },
  recordedAt: 0,
});

describe('the size of a working set', () => {
  it('is not known without a recording', () => expect(sizeOf([])).toBeUndefined());

  it('counts pages and the blocks in which they lie', () => {
    expect(sizeOf([trace(1, 2, 300, 2)])).toEqual({ pages: 3, blocks: 2, stability: 1 });
  });

  it('is as stable as the least alike recordings', () => {
    const size = sizeOf([trace(1, 2, 3, 4), trace(1, 2, 3, 4), trace(1, 2, 5, 6)]);
    expect(size).toMatchObject({ pages: 6, stability: 1 / 3 });
  });
});

describe('what strategies should cost', () => {
  const of = (stability: number) => estimate(COSTS, { pages: 2560, blocks: 50, stability });

  it('is least for what reads a compact file, when inputs are alike', () => {
    const costs = of(1);
    // 50 cold faults; 10 MiB read at 1 GiB/s, and 2560 pages entered or faulted.
    expect(costs.get('vanilla')).toBe(200);
    expect(costs.get('populate')).toBeCloseTo(11.28);
    expect(costs.get('reap')).toBeCloseTo(11.28);
    expect(costs.get('faasnap')).toBeCloseTo(12.56);
  });

  it('grows with what the recording missed, by each one’s own way of bringing it', () => {
    const costs = of(0.5);
    expect(costs.get('populate')).toBeCloseTo(211.28);
    expect(costs.get('reap')).toBeCloseTo(49.68);
  });
});

describe('the strategy auto', () => {
  const ALL = ['populate', 'vanilla', 'reap', 'faasnap'] as const;
  const expected = estimate(COSTS, { pages: 2560, blocks: 50, stability: 0.5 });

  it('tries first what should cost least, and says so', () => {
    expect(pick(ALL, new Map(), 1, expected)).toEqual({
      strategy: 'reap',
      why: 'auto: reap was measured 0 times of 2, should lose 50 ms to paging',
    });
  });

  it('does not try what should lose more to paging than the fastest takes in all', () => {
    const reap = [150, 150];
    const chosen = pick(['populate', 'vanilla', 'reap'], new Map([['reap', reap]]), 1, expected);
    expect(chosen).toEqual({
      strategy: 'reap',
      why: 'auto: reap answered in 150 ms, populate not tried, vanilla not tried',
    });
  });
});
