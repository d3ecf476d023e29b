import { expect, it } from 'vitest';
import { drifted, makeTrace, type Ground, type TraceShape } from './traces.js';

/** 64 pages of data, 64 of zeros, and so on. */
const PAGES = 4096;
const isData = (page: number): boolean => Math.floor(page / 64) % 2 === 0;
const nonZero = new Uint8Array(PAGES / 8).map((_, byte) => (isData(byte * 8) ? 0xff : 0));
const ground: Ground = { pages: PAGES, nonZero };
const shape: TraceShape = { touches: 512, runPages: 8, zeroEvery: 8, writeEvery: 4 };

it('draws runs of data and of zeros, each page once, the same from the same seed', () => {
  const trace = makeTrace(ground, shape, 7);
  expect(new Set(trace.pages).size).toBe(512);
  expect([...trace.pages].filter((page) => !isData(page))).toHaveLength(64);
  trace.pages.forEach((page, i) => {
    if (i % 8 !== 0) expect(page).toBe((trace.pages[i - 1] ?? 0) + 1);
    else expect(page % 8).toBe(0);
  });
  expect(makeTrace(ground, shape, 7)).toEqual(trace);
  expect(makeTrace(ground, shape, 8)).not.toEqual(trace);
});

it('writes the zeros that it touches and a part of the data', () => {
  const { pages, written } = makeTrace(ground, shape, 7);
  expect([...written]).toEqual([...written].sort((a, b) => a - b));
  const touched = new Set(pages);
  expect([...written].every((page) => touched.has(page))).toBe(true);
  const isWritten = new Set(written);
  expect([...pages].filter((page) => !isData(page) && !isWritten.has(page))).toEqual([]);
  expect([...written].filter(isData)).toHaveLength(14 * 8);
});

it('only reads when nothing is to be written', () => {
  const reads = { ...shape, runPages: 1, zeroEvery: 0, writeEvery: 0 };
  const { pages, written } = makeTrace(ground, reads, 1);
  expect(written).toHaveLength(0);
  expect([...pages].every(isData)).toBe(true);
});

it('refuses more runs than the memory has room for', () => {
  expect(() => makeTrace(ground, { ...shape, touches: PAGES }, 1)).toThrow(RangeError);
});

it.each([1, 0.9, 0.5, 0])('shares %d of a trace with another input', (share) => {
  const trace = makeTrace(ground, shape, 3);
  const other = drifted(ground, trace, shape, share, 4);
  expect(new Set(other.pages).size).toBe(512);
  const before = new Set(trace.pages);
  const shared = [...other.pages].filter((page) => before.has(page));
  expect(shared).toHaveLength(Math.round(64 * share) * 8);
  expect(other.written).toHaveLength(trace.written.length);
  expect([...other.pages].filter((page) => !before.has(page)).every(isData)).toBe(true);
});
