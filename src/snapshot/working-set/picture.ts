/** Guest memory as a picture: an SVG that needs nothing else, for light and dark pages. */
import { countPages, difference, intersection, PAGE_BYTES, type Run } from './runs.js';

/** What a picture shows; pages that are in none of the three are zero and untouched. */
export interface PictureInput {
  readonly title: string;
  /** Pages of the memory. */
  readonly pages: number;
  readonly nonZero: readonly Run[];
  /** The working set. */
  readonly touched: readonly Run[];
  readonly prefetched: readonly Run[];
}

export interface PictureOptions {
  /** Pages in a cell. Default: the smallest power of two that makes at most MAX_CELLS cells. */
  readonly cellPages?: number;
}

/** Cells in a row. */
const COLUMNS = 128;
/** Cells that a picture has at most when the caller does not say how large they are. */
const MAX_CELLS = COLUMNS * 64;
/** Pixels: a cell's sides, the margin, room for the addresses, a line of text, an entry's square. */
const CELL = 7;
const MARGIN = 16;
const LABELS = 64;
const LINE = 20;
const SQUARE = 12;
/** Addresses at the left, one in so many rows. */
const LABEL_ROWS = 4;
const MIB = 1024 * 1024;

/** The kinds of page, in the order in which they stand in a cell and in the legend. */
const KINDS = [
  { name: 'hit', label: 'prefetched and touched' },
  { name: 'miss', label: 'touched, not prefetched' },
  { name: 'spare', label: 'prefetched, not touched' },
  { name: 'rest', label: 'not zero, neither' },
  { name: 'zero', label: 'zero, neither' },
] as const;
type Kind = (typeof KINDS)[number]['name'];

const STYLE = `
  svg { font: 12px system-ui, sans-serif; } .paper { fill: #ffffff; }
  text { fill: #1f2328; } .soft { fill: #59636e; }
  .hit { fill: #1a7f5a; } .miss { fill: #d1242f; } .spare { fill: #e3a008; }
  .rest { fill: #9db7d5; } .zero { fill: #eef1f4; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; }
    text { fill: #e6edf3; } .soft { fill: #9198a1; }
    .hit { fill: #3fb68b; } .miss { fill: #ff6b6b; } .spare { fill: #d9a520; }
    .rest { fill: #41607f; } .zero { fill: #1b222b; }
  }`;

/** The pages of each kind: every page is in exactly one. */
export function pageKinds(input: PictureInput): Record<Kind, Run[]> {
  const { touched, prefetched } = input;
  const all: Run[] = input.pages > 0 ? [{ page: 0, pages: input.pages }] : [];
  const neither = difference(difference(all, touched), prefetched);
  return {
    hit: intersection(prefetched, touched),
    miss: difference(touched, prefetched),
    spare: difference(prefetched, touched),
    rest: intersection(neither, input.nonZero),
    zero: difference(neither, input.nonZero),
  };
}

/**
 * The picture: rows of cells from the first page on, each filled with the colours of its pages'
 * kinds in proportion to their number. The legend says how much there is of each.
 */
export function memoryPicture(input: PictureInput, options: PictureOptions = {}): string {
  const cellPages = options.cellPages ?? defaultCellPages(input.pages);
  const kinds = pageKinds(input);
  const rows = Math.ceil(input.pages / (cellPages * COLUMNS));
  const top = MARGIN + 2 * LINE;
  const legendTop = top + rows * CELL + LINE;
  const width = LABELS + COLUMNS * CELL + MARGIN;
  const height = legendTop + Math.ceil(KINDS.length / 3) * LINE + MARGIN - SQUARE / 2;
  const title = escape(input.title);
  const bytes = `${mib(input.pages)} of guest memory; a cell is ${cellPages} pages`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${title}">
<style>${STYLE}
</style>
<rect class="paper" width="100%" height="100%"/>
<text x="${LABELS}" y="${MARGIN + SQUARE}" font-weight="600">${title}</text>
<text class="soft" x="${LABELS}" y="${MARGIN + LINE + SQUARE - 2}">${bytes}</text>
${addresses(rows, cellPages, top)}
${cells(kinds, input.pages, cellPages, top)}
${legend(kinds, legendTop)}
</svg>
`;
}

function defaultCellPages(pages: number): number {
  let size = 1;
  while (Math.ceil(pages / size) > MAX_CELLS) size *= 2;
  return size;
}

function addresses(rows: number, cellPages: number, top: number): string {
  const labels: string[] = [];
  for (let row = 0; row < rows; row += LABEL_ROWS) {
    const y = top + (row + 1) * CELL;
    const text = mib(row * COLUMNS * cellPages);
    labels.push(
      `<text class="soft" x="${LABELS - 8}" y="${y}" text-anchor="end" font-size="10">${text}</text>`,
    );
  }
  return labels.join('\n');
}

/** One path for each kind: bars side by side in the cells. */
function cells(kinds: Record<Kind, Run[]>, pages: number, cellPages: number, top: number): string {
  const count = Math.ceil(pages / cellPages);
  const used = new Float64Array(count);
  return KINDS.map(({ name }) => {
    const shares = sharesOf(kinds[name], count, cellPages);
    const path = new BarPath(top);
    shares.forEach((share, cell) => {
      const before = used[cell] ?? 0;
      if (share > 0) path.add(cell, before / cellPages, share / cellPages);
      used[cell] = before + share;
    });
    return `<path class="${name}" d="${path.toString()}"/>`;
  }).join('\n');
}

/** How many pages of each cell the runs cover. */
function sharesOf(runs: readonly Run[], count: number, cellPages: number): Float64Array {
  const shares = new Float64Array(count);
  for (const { page, pages } of runs) {
    for (let at = page; at < page + pages;) {
      const cell = Math.floor(at / cellPages);
      const until = Math.min(page + pages, (cell + 1) * cellPages);
      shares[cell] = (shares[cell] ?? 0) + until - at;
      at = until;
    }
  }
  return shares;
}

/** Rectangles as one path; those that touch in a row are drawn as one. */
class BarPath {
  readonly #bars: string[] = [];
  #open: { row: number; from: number; to: number } | undefined;

  constructor(readonly top: number) {}

  add(cell: number, offset: number, share: number): void {
    const row = Math.floor(cell / COLUMNS);
    const from = (cell % COLUMNS) + offset;
    if (this.#open?.row === row && this.#open.to === from) {
      this.#open.to = from + share;
    } else {
      this.#close();
      this.#open = { row, from, to: from + share };
    }
  }

  toString(): string {
    this.#close();
    return this.#bars.join('');
  }

  #close(): void {
    if (this.#open === undefined) return;
    const { row, from, to } = this.#open;
    const [x, width] = [rounded(LABELS + from * CELL), rounded((to - from) * CELL)];
    this.#bars.push(`M${x} ${this.top + row * CELL}h${width}v${CELL - 1}h-${width}z`);
    this.#open = undefined;
  }
}

function legend(kinds: Record<Kind, Run[]>, top: number): string {
  return KINDS.map(({ name, label }, i) => {
    const x = LABELS + (i % 3) * ((COLUMNS * CELL) / 3);
    const y = top + Math.floor(i / 3) * LINE;
    const text = `${label}: ${mib(countPages(kinds[name]))}`;
    return (
      `<rect class="${name}" x="${rounded(x)}" y="${y}" width="${SQUARE}" height="${SQUARE}"/>` +
      `<text x="${rounded(x + SQUARE + 6)}" y="${y + SQUARE - 2}">${text}</text>`
    );
  }).join('\n');
}

function mib(pages: number): string {
  return `${rounded((pages * PAGE_BYTES) / MIB)} MiB`;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function escape(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => names[character] ?? character);
}
