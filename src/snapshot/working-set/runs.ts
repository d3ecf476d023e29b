/**
 * Runs of guest pages and their algebra. A list of runs is sorted by page, its runs are not empty
 * and do not overlap; all functions here take such lists and answer such lists.
 */
import { SparklerError } from '../../errors.js';

/** Bytes of a guest page. */
export const PAGE_BYTES = 4096;

/** `pages` pages from number `page` on; page 0 is at the beginning of the memory file. */
export interface Run {
  readonly page: number;
  readonly pages: number;
}

/** A run in a working-set group: 1 was seen first, 0 is in no group, and comes after all others. */
export interface GroupedRun extends Run {
  readonly group: number;
}

const end = (run: Run): number => run.page + run.pages;

/** The runs of those of the first `pages` pages for which `has` is true. */
export function runsWhere(pages: number, has: (page: number) => boolean): Run[] {
  const runs: Run[] = [];
  let start = -1;
  for (let page = 0; page < pages; page++) {
    if (has(page)) {
      if (start < 0) start = page;
    } else if (start >= 0) {
      runs.push({ page: start, pages: page - start });
      start = -1;
    }
  }
  if (start >= 0) runs.push({ page: start, pages: pages - start });
  return runs;
}

/** True when bit `page % 8` of byte `page / 8` is set; false beyond the bitmap. */
export function hasBit(bitmap: Uint8Array, page: number): boolean {
  return (((bitmap[page >>> 3] ?? 0) >>> (page & 7)) & 1) === 1;
}

/** The runs of set bits among the first `pages` of a bitmap as `memory-sums` writes it. */
export function runsFromBitmap(bitmap: Uint8Array, pages: number): Run[] {
  return runsWhere(pages, (page) => hasBit(bitmap, page));
}

/**
 * The runs of an ascending list of page numbers; a number may come several times.
 * @throws SparklerError INTERNAL when the list is not ascending.
 */
export function runsFromPages(sorted: Iterable<number>): Run[] {
  const runs: { page: number; pages: number }[] = [];
  let last: { page: number; pages: number } | undefined;
  for (const page of sorted) {
    if (last !== undefined && page < end(last) - 1) {
      throw new SparklerError('INTERNAL', `Page ${page} comes after page ${end(last) - 1}.`);
    }
    if (last === undefined || page > end(last)) runs.push((last = { page, pages: 1 }));
    else if (page === end(last)) last.pages++;
  }
  return runs;
}

/** The page numbers in runs, in the runs' order. */
export function* pagesOf(runs: Iterable<Run>): Generator<number> {
  for (const run of runs) for (let page = run.page; page < end(run); page++) yield page;
}

export function countPages(runs: readonly Run[]): number {
  return runs.reduce((sum, run) => sum + run.pages, 0);
}

/** The one of two groups that was seen earlier; 0, no group, is the latest. */
export function earlierGroup(a: number, b: number): number {
  if (a === 0 || b === 0) return a + b;
  return Math.min(a, b);
}

/**
 * Joins runs with fewer than `intervalThreshold` pages between them, and those with none; the gap
 * becomes part of the run. A joined run is in the earlier of the groups.
 */
export function mergeGrouped(runs: readonly GroupedRun[], intervalThreshold: number): GroupedRun[] {
  const merged: GroupedRun[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    const gap = last === undefined ? Infinity : run.page - end(last);
    if (last === undefined || (gap > 0 && gap >= intervalThreshold)) merged.push(run);
    else {
      const { page } = last;
      const group = earlierGroup(last.group, run.group);
      merged[merged.length - 1] = { page, pages: end(run) - page, group };
    }
  }
  return merged;
}

/** `mergeGrouped` for runs without groups. */
export function mergeRuns(runs: readonly Run[], intervalThreshold: number): Run[] {
  const grouped = runs.map(({ page, pages }) => ({ page, pages, group: 0 }));
  return mergeGrouped(grouped, intervalThreshold).map(({ page, pages }) => ({ page, pages }));
}

/** Without the runs that are shorter than `sizeThreshold` pages. */
export function dropShort<R extends Run>(runs: readonly R[], sizeThreshold: number): R[] {
  return runs.filter((run) => run.pages >= sizeThreshold);
}

/** The pages in `a`, in `b` or in both; neighbours are joined. */
export function union(a: readonly Run[], b: readonly Run[]): Run[] {
  const all = [...a, ...b].sort((x, y) => x.page - y.page);
  const joined: Run[] = [];
  for (const { page, pages } of all) {
    const last = joined.at(-1);
    if (last === undefined || page > end(last)) joined.push({ page, pages });
    else {
      const until = Math.max(end(last), page + pages);
      joined[joined.length - 1] = { page: last.page, pages: until - last.page };
    }
  }
  return joined;
}

/** The pages in both. */
export function intersection(a: readonly Run[], b: readonly Run[]): Run[] {
  const both: Run[] = [];
  for (let i = 0, j = 0; ;) {
    const [x, y] = [a[i], b[j]];
    if (x === undefined || y === undefined) return both;
    const page = Math.max(x.page, y.page);
    const pages = Math.min(end(x), end(y)) - page;
    if (pages > 0) both.push({ page, pages });
    if (end(x) < end(y)) i++;
    else j++;
  }
}

/** The pages in `a` that are not in `b`. */
export function difference(a: readonly Run[], b: readonly Run[]): Run[] {
  const left: Run[] = [];
  let j = 0;
  for (const run of a) {
    let page = run.page;
    for (;;) {
      const hole = b[j];
      if (hole === undefined || hole.page >= end(run)) break;
      if (hole.page > page) left.push({ page, pages: hole.page - page });
      page = Math.max(page, end(hole));
      // A hole that reaches beyond this run may cover the next one too.
      if (end(hole) > end(run)) break;
      j++;
    }
    if (page < end(run)) left.push({ page, pages: end(run) - page });
  }
  return left;
}
