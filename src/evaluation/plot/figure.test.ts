import { describe, expect, it } from 'vitest';
import { type Axis, decades, scaleOf, short } from './axes.js';
import { barFigure, lineFigure } from './figure.js';

const axis = (kind: Axis['kind'], low: number, high: number): Axis => ({
  ...{ label: 'things', kind, domain: [low, high] },
});

/** Texts of a document. */
const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text ?? '');

describe('axes', () => {
  it.each([
    [0, '0'],
    [0.05, '0.05'],
    [999, '999'],
    [1500, '1.5k'],
    [999_658, '1M'],
    [20_000_000, '20M'],
    [1.234e9, '1.23G'],
  ])('write %d as %s', (value, text) => expect(short(value)).toBe(text));

  it.each([
    [1, 1000, [1, 1000]],
    [0.3, 12, [0.1, 100]],
    [100, 100, [100, 1000]],
  ])('take %d to %d into powers of ten', (min, max, domain) => {
    expect(decades(min, max)).toEqual(domain);
  });

  it('have a line at each power of ten', () => {
    expect(scaleOf(axis('log', 0.01, 1e6), 0, 80).ticks).toEqual(
      [0.01, 0.1, 1, 10, 100, 1000, 1e4, 1e5, 1e6], // prettier-ignore
    );
    expect(scaleOf(axis('log', 100, 1000), 0, 1).ticks).toEqual([100, 1000]);
  });

  it('put what is outside on the edge', () => {
    const { at } = scaleOf(axis('log', 1, 100), 0, 200);
    expect([0, 1, 10, 100, 1000].map(at)).toEqual([0, 0, 100, 200, 200]);
  });
});

describe('figures', () => {
  const panel = {
    title: 'left',
    x: { ...axis('linear', 0, 10), label: 'hours' },
    y: { ...axis('linear', 0, 1), label: 'a < b & "c"' },
  };

  it('name axes, ticks and lines, and escape what they name', () => {
    const lines = [
      { name: 'one', points: [[0, 0], [5, 0.5], [10, 1]] as const }, // prettier-ignore
      { name: 'two', points: [[0, 1]] as const },
    ];
    const svg = lineFigure({ title: 'All', panels: [{ ...panel, lines }], legend: ['one', 'two'] });
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*<\/svg>\n$/s);
    expect(texts(svg)).toEqual(
      expect.arrayContaining([
        ...['All', 'left', 'hours', 'one', 'two', '0', '2', '10', '0.6'],
        'a &lt; b &amp; &quot;c&quot;',
      ]),
    );
    expect([...svg.matchAll(/<path d="([^"]*)"/g)].map(([, d]) => d)).toEqual([
      'M72 344L272 204L472 64',
      'M72 64',
    ]);
    const colours = [...svg.matchAll(/<path[^>]*stroke="([^"]*)"/g)].map(([, colour]) => colour);
    expect(new Set(colours).size).toBe(2);
  });

  it('draw bars with their values', () => {
    const svg = barFigure({
      ...{ title: 'All', y: axis('log', 1, 100), xLabel: 'kind', bars: ['x', 'y'] },
      groups: [{ name: 'g', values: [10, 100] }],
    });
    expect(texts(svg)).toEqual(expect.arrayContaining(['10', '100', 'g', 'kind', 'x', 'y']));
    const heights = [...svg.matchAll(/<rect x="[^"]*" y="[^"]*" width="44" height="([^"]*)"/g)];
    expect(heights.map(([, height]) => height)).toEqual(['140', '280']);
  });
});
