import { describe, expect, it } from 'vitest';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import { populateRegions, workingSetRegions } from './layers.js';

describe('layered memory', () => {
  it('maps a working set’s regions one after the other from its file', () => {
    const regions = [
      { page: 50, pages: 2, group: 1 },
      { page: 7, pages: 3, group: 2 },
    ];
    const set = { regions, dataAt: 8192 } as unknown as WorkingSet;
    expect(workingSetRegions(set, 'read')).toEqual([
      { page: 50, pages: 2, from: 'workingSet', filePage: 2, populate: 'read' },
      { page: 7, pages: 3, from: 'workingSet', filePage: 4, populate: 'read' },
    ]);
  });
});
