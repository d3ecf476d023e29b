import { describe, expect, it } from 'vitest';
import { alignUp, elasticPart, mustBePossible, mustHoldOne, oneOf, steps } from './sizes.js';

const possible = steps(256, 128, 600, 1400);
const listed = oneOf([256, 768, 2304]);

describe('sizes in steps', () => {
  it('lie between what is in use and the most', () => {
    expect([possible.min, possible.max]).toEqual([640, 1280]);
  });
  it.each([640, 768, 1280])('%i MiB is one', (mem) => {
    expect(() => mustBePossible(mem, possible)).not.toThrow();
  });
  it.each([
    [600, 'is less than is in use; the nearest that works is 640'],
    [1, 'is less than is in use; the nearest that works is 640'],
    [1281, 'is more than the VM can have; the nearest that works is 1280'],
    [700, 'is no size that the VM can have; the nearest that work are 640 and 768'],
    [640.5, 'is not a whole number of MiB'],
    [0, 'is not a whole number of MiB'],
    [Number.NaN, 'is not a whole number of MiB'],
  ])('%d MiB is none', (mem, reason) => {
    expect(() => mustBePossible(mem, possible)).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        details: { field: 'mem' },
        message: `mem: ${mem} MiB ${reason}.`,
      }),
    );
  });
});

describe('listed sizes', () => {
  it.each([256, 768, 2304])('%i MiB is one', (mem) => {
    expect(() => mustBePossible(mem, listed)).not.toThrow();
  });
  it.each([
    [255, 'the nearest that works is 256'],
    [300, 'the nearest that work are 256 and 768'],
    [2303, 'the nearest that work are 768 and 2304'],
    [9999, 'the nearest that works is 2304'],
  ])('%i MiB is none', (mem, reason) => {
    expect(() => mustBePossible(mem, listed)).toThrow(reason);
  });
});

it.each([
  [0, 128, 256, 256],
  [256, 128, 256, 256],
  [257, 128, 256, 384],
  [384, 128, 256, 384],
  [5, 4, 0, 8],
])('alignUp(%i, %i, %i) is %i', (value, unit, from, expected) => {
  expect(alignUp(value, unit, from)).toBe(expected);
});

it('refuses a VM without room for one instance and says what has', () => {
  expect(() => mustHoldOne(768, 256, 512)).not.toThrow();
  expect(() => mustHoldOne(767, 256, 512)).toThrow('the nearest that works is 768.');
});

it.each([
  [1024, 200, 256, 768],
  [979, 200, 256, 512],
  [980, 200, 256, 768],
  [1024, 200, 2, 810],
  [200, 200, 2, 0],
  [100, 200, 2, 0],
])('of %i MiB, with %i of its own, in steps of %i: %i', (mem, own, unit, expected) => {
  expect(elasticPart(mem, own, unit)).toBe(expected);
});
