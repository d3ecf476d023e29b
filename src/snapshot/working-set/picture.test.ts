import { describe, expect, it } from 'vitest';
import { memoryPicture, pageKinds, type PictureInput } from './picture.js';
import { countPages } from './runs.js';

const INPUT: PictureInput = {
  title: 'hello <warm> & "well"',
  pages: 1000,
  nonZero: [{ page: 0, pages: 600 }],
  touched: [{ page: 0, pages: 100 }],
  prefetched: [{ page: 50, pages: 100 }],
};

/** The numbers of pages that are drawn with a class, from the widths of its bars. */
function drawn(svg: string, name: string, cellPages: number): number {
  const path = new RegExp(`<path class="${name}" d="([^"]*)"`).exec(svg)?.[1] ?? '';
  const widths = [...path.matchAll(/h(\d[\d.]*)/g)].map(([, width]) => Number(width));
  return Math.round((widths.reduce((sum, width) => sum + width, 0) / 7) * cellPages);
}

describe('the picture of a memory', () => {
  it('puts every page into one kind', () => {
    const kinds = pageKinds(INPUT);
    expect(kinds).toEqual({
      hit: [{ page: 50, pages: 50 }],
      miss: [{ page: 0, pages: 50 }],
      spare: [{ page: 100, pages: 50 }],
      rest: [{ page: 150, pages: 450 }],
      zero: [{ page: 600, pages: 400 }],
    });
    const sum = Object.values(kinds).reduce((all, runs) => all + countPages(runs), 0);
    expect(sum).toBe(INPUT.pages);
  });

  it.each([1, 3, 32])('draws each kind as large as it is, with %i pages in a cell', (cellPages) => {
    const svg = memoryPicture(INPUT, { cellPages });
    const sizes = ['hit', 'miss', 'spare', 'rest', 'zero'].map((name) =>
      drawn(svg, name, cellPages),
    );
    expect(sizes).toEqual([50, 50, 50, 450, 400]);
    expect(svg).toContain(`a cell is ${cellPages} pages`);
  });

  it('has a legend with sizes, both colour schemes, and its title as text', () => {
    const svg = memoryPicture(INPUT);
    expect(svg).toContain('prefetched and touched: 0.2 MiB');
    expect(svg).toContain('zero, neither: 1.56 MiB');
    expect(svg).toContain('prefers-color-scheme: dark');
    expect(svg).toContain('hello &lt;warm&gt; &amp; &quot;well&quot;');
    expect(svg).not.toMatch(/(href|url\(|<script|<image)/);
  });

  it('stays small for a large memory', () => {
    const pages = 2 * 1024 * 256;
    const striped = Array.from({ length: pages / 4 }, (_, i) => ({ page: 4 * i, pages: 1 }));
    const svg = memoryPicture({ ...INPUT, pages, nonZero: striped });
    expect(svg).toContain('a cell is 64 pages');
    expect(svg.length).toBeLessThan(1024 * 1024);
  });
});
