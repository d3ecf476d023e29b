import { describe, expect, it } from 'vitest';
import { SparklerError } from '../errors.js';
import { restoreChoice, restoreToWire } from './restore-fields.js';

type Fields = Parameters<typeof restoreChoice>[0];

/** What the original's clients send for "no". */
const NEUTRAL: Fields = {
  mincore: -1,
  mincore_size: 0,
  loadMincore: [],
  use_mem_file: false,
  overlay_regions: false,
  use_ws_file: false,
  vmm_load_ws: false,
  enableReap: false,
  wsFileDirectIo: false,
  wsSingleRead: false,
};
const SNAPSHOT = { ssId: 'warm' };

describe('the fields of a restore', () => {
  it.each([
    ['nothing', {}],
    ['neutral values', NEUTRAL],
    ['null', Object.fromEntries(Object.keys(NEUTRAL).map((field) => [field, null])) as Fields],
    ['neutral values for a VM', { ...NEUTRAL, vmId: 'vm1', ssId: '' }],
  ])('ask for nothing by %s', (_what, fields) => {
    expect(restoreChoice(fields)).toBeUndefined();
  });

  it.each<[string, Fields, unknown]>([
    ['strategy', { strategy: 'auto' }, { strategy: 'auto', options: {} }],
    ['enableReap', { enableReap: true }, { strategy: 'reap', options: {} }],
    [
      'how REAP reads',
      { enableReap: true, wsFileDirectIo: true, wsSingleRead: true },
      { strategy: 'reap', options: { directIo: true, singleRead: true } },
    ],
    ['both names of REAP', { strategy: 'reap', enableReap: true }, { strategy: 'reap' }],
    [
      'use_mem_file',
      { use_mem_file: true },
      {
        strategy: 'faasnap',
        options: { mappings: { memoryFile: true, overlay: false, workingSet: false } },
      },
    ],
    [
      'FaaSnap as its client asks for it',
      { overlay_regions: true, use_ws_file: true, loadMincore: [1, 2] },
      {
        strategy: 'faasnap',
        options: {
          mappings: { memoryFile: false, overlay: true, workingSet: true },
          loadLayers: [1, 2],
        },
      },
    ],
    ['vmm_load_ws', { vmm_load_ws: true }, { strategy: 'faasnap', options: { vmmLoads: true } }],
    ['mincore', { mincore: 100 }, { options: { record: { intervalMs: 100 } } }],
    ['mincore as often as can be', { mincore: 0 }, { options: { record: { intervalMs: 1 } } }],
    [
      'mincore_size',
      { mincore: -1, mincore_size: 1024 },
      { options: { record: { growthPages: 1024 } } },
    ],
    [
      'resident',
      { strategy: 'vanilla', resident: true },
      { strategy: 'vanilla', options: { resident: true } },
    ],
  ])('ask by %s', (_what, fields, choice) => {
    const asked = restoreChoice({ ...NEUTRAL, ...SNAPSHOT, ...fields });
    expect(asked).toMatchObject(choice as object);
    const { options } = choice as { options?: object };
    if (options) expect(asked?.options).toEqual(options);
  });

  it.each<[string, Fields]>([
    ['strategy', { strategy: 'reap' }],
    ['strategy', { strategy: 'reap', ssId: 'warm', vmId: 'vm1' }],
    ['strategy', { mincore: 5, vmId: 'vm1' }],
    ['strategy', { ssId: 'warm', strategy: 'vanilla', enableReap: true }],
    ['strategy', { ssId: 'warm', strategy: 'populate', use_ws_file: true }],
    ['enableReap', { ssId: 'warm', enableReap: true, use_mem_file: true }],
    ['enableReap', { ssId: 'warm', enableReap: true, loadMincore: [1] }],
    ['mincore_size', { ssId: 'warm', mincore: 5, mincore_size: 1024 }],
  ])('are refused for %s: %j', (field, fields) => {
    let thrown: unknown;
    try {
      restoreChoice({ ...NEUTRAL, ...fields });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(SparklerError);
    expect(thrown).toMatchObject({ code: 'INVALID_REQUEST', details: { field } });
  });
});

describe('what came of a restore', () => {
  it('has the wire’s names', () => {
    const info = { strategy: 'reap', why: 'w', recorded: true } as const;
    const paging = { served: 1, prefetched: 2, populated: 3, populateMs: 4.5, readBytes: 6 };
    expect(restoreToWire({ ...info, ...paging })).toEqual({
      ...info,
      served_faults: 1,
      prefetched_pages: 2,
      populated_pages: 3,
      populate_ms: 4.5,
      read_bytes: 6,
    });
  });
});
