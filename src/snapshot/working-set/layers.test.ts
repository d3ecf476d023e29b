import { describe, expect, it } from 'vitest';
import {
  addLayer,
  carryOver,
  countLayers,
  decodeLayers,
  encodeLayers,
  layersFromTrace,
  MAX_GROUP,
  mincoreCounts,
  runsOfLayers,
  sharedNonZero,
  trimLayers,
} from './layers.js';

const layers = (...groups: number[]): Uint16Array => Uint16Array.from(groups);
const codeOf = (action: () => unknown): unknown => {
  try {
    action();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
};

describe('layers as bytes', () => {
  it('are little-endian and come back', () => {
    const bytes = encodeLayers(layers(1, 0, 0x1234, MAX_GROUP));
    expect(bytes.toString('hex')).toBe('010000003412ffff');
    expect(decodeLayers(bytes)).toEqual(layers(1, 0, 0x1234, MAX_GROUP));
    // Also where the bytes do not begin at an even address.
    expect(decodeLayers(Buffer.concat([Buffer.from([9]), bytes]).subarray(1))).toEqual(
      decodeLayers(bytes),
    );
  });

  it('are refused when half a number is left', () => {
    expect(codeOf(() => decodeLayers(Buffer.from([1, 0, 2])))).toBe('SNAPSHOT_UNUSABLE');
  });
});

describe('carrying over', () => {
  it('copies', () => {
    const source = layers(1, 2, 0);
    const copy = carryOver(source, 3);
    expect(copy).toEqual(source);
    copy[0] = 9;
    expect(source[0]).toBe(1);
  });

  it('refuses a memory of another size', () => {
    expect(codeOf(() => carryOver(layers(1), 2))).toBe('INVALID_REQUEST');
  });
});

describe('adding a layer', () => {
  const two = layers(1, 2, 0, 1, 2, 0);
  // Pages 0, 1 and 2.
  const added = [{ page: 0, pages: 3 }];
  it.each<[string, number, number[]]>([
    ['first', 1, [1, 1, 1, 2, 3, 0]],
    ['between', 2, [1, 2, 2, 1, 3, 0]],
    ['last', 3, [1, 2, 3, 1, 2, 0]],
  ])('%s', (_, position, expected) => {
    expect([...addLayer(two, position, added)]).toEqual(expected);
    expect([...two]).toEqual([1, 2, 0, 1, 2, 0]);
  });

  it('to none makes the first', () => {
    expect([...addLayer(layers(0, 0), 1, [{ page: 0, pages: 1 }])]).toEqual([1, 0]);
  });

  it('ignores pages beyond the memory', () => {
    expect([...addLayer(layers(0, 0), 1, [{ page: 1, pages: 9 }])]).toEqual([0, 1]);
  });

  it.each([0, -1, 4, 1.5, NaN])('refuses position %s', (position) => {
    expect(codeOf(() => addLayer(two, position, added))).toBe('INVALID_REQUEST');
  });

  it('refuses one more than there can be', () => {
    expect(codeOf(() => addLayer(layers(MAX_GROUP), 1, []))).toBe('LIMIT_EXCEEDED');
  });

  it('is of pages that are shared and not zero', () => {
    const equal = Uint8Array.of(0b0111_0111);
    const nonZero = Uint8Array.of(0b1101_0011);
    expect(sharedNonZero(equal, nonZero, 8)).toEqual([
      { page: 0, pages: 2 },
      { page: 4, pages: 1 },
      { page: 6, pages: 1 },
    ]);
  });
});

describe('layers from a trace', () => {
  it.each<[string, number[], number, number[]]>([
    ['page 0 first', [0, 3, 1], 1, [1, 3, 0, 2]],
    ['groups of two', [3, 0, 1], 2, [1, 2, 0, 1]],
    ['a page that comes again counts once', [3, 3, 3, 0, 1], 2, [1, 2, 0, 1]],
    ['no trace', [], 2, [0, 0, 0, 0]],
  ])('%s', (_, trace, size, expected) => {
    expect([...layersFromTrace(trace, 4, size)]).toEqual(expected);
  });

  it('takes groups of 1024 by itself', () => {
    const pages = Array.from({ length: 1025 }, (_, page) => page);
    const made = layersFromTrace(pages, 1025);
    expect([made[1023], made[1024]]).toEqual([1, 2]);
  });

  it.each<[string, () => unknown, string]>([
    ['a page outside of the memory', () => layersFromTrace([4], 4), 'SNAPSHOT_UNUSABLE'],
    ['groups of nothing', () => layersFromTrace([1], 4, 0), 'INVALID_REQUEST'],
    [
      'too many groups',
      () => layersFromTrace(Array(MAX_GROUP + 1).keys(), MAX_GROUP + 1, 1),
      'LIMIT_EXCEEDED',
    ],
  ])('refuses %s', (_, action, code) => {
    expect(codeOf(action)).toBe(code);
  });
});

describe('what layers hold', () => {
  const some = layers(1, 1, 0, 3, 2, 1);

  it('is trimmed to the overlay regions', () => {
    expect([
      ...trimLayers(some, [
        { page: 0, pages: 1 },
        { page: 3, pages: 2 },
      ]),
    ]).toEqual([1, 0, 0, 3, 2, 0]);
  });

  it('is found by group', () => {
    expect(runsOfLayers(some)).toEqual([
      { page: 0, pages: 2 },
      { page: 3, pages: 3 },
    ]);
    expect(runsOfLayers(some, [1, 3])).toEqual([
      { page: 0, pages: 2 },
      { page: 3, pages: 1 },
      { page: 5, pages: 1 },
    ]);
    expect(runsOfLayers(some, [])).toEqual([]);
  });

  it('is counted as the original platform answers it', () => {
    const overlay = [
      { page: 0, pages: 6 },
      { page: 9, pages: 4 },
    ];
    expect(mincoreCounts(some, overlay, [{ page: 0, pages: 6 }])).toEqual({
      nlayers: 3,
      n_nz_regions: 2,
      nz_region_size: 10,
      n_ws_regions: 1,
      ws_region_size: 6,
    });
    expect(countLayers(new Uint16Array(4))).toBe(0);
  });
});
