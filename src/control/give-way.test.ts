import { describe, expect, it } from 'vitest';
import { whoGivesWay, type IdleVm } from './give-way.js';

const vm = (vmId: string, usedAt: number, pooled?: IdleVm['pooled']): IdleVm => ({
  ...{ vmId, usedAt, bytes: 100 },
  ...(pooled && { pooled }),
});

describe('whoGivesWay', () => {
  const all = [
    vm('young', 9),
    vm('old', 1),
    vm('asked', 5, 'asked'),
    vm('own2', 7, 'own'),
    vm('own1', 6, 'own'),
  ];
  it.each<[string, number, string[]]>([
    ['nobody for nothing', 0, []],
    ["the pool's own first", 1, ['own1']],
    ['as many as are needed', 200, ['own1', 'own2']],
    ['then those that were asked for', 201, ['own1', 'own2', 'asked']],
    ['then those that were idle for longest', 301, ['own1', 'own2', 'asked', 'old']],
    ['all of them', 500, ['own1', 'own2', 'asked', 'old', 'young']],
    ['nobody, when all are not enough', 501, []],
  ])('ends %s', (_, missing, ids) => {
    expect(whoGivesWay(all, missing).map(({ vmId }) => vmId)).toEqual(ids);
  });
});
