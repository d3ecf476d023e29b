/** What `bench restore` measures: every strategy, every function, files cold and warm. Pure. */

/** How a cell restores; `floor` is no strategy, but what is left without any paging. */
export const WAYS = ['vanilla', 'cached', 'reap', 'faasnap', 'populate', 'floor'] as const;
export type Way = (typeof WAYS)[number];

/** `dropped`: the snapshot's files, and only those, are not in the page cache. */
export const CACHES = ['dropped', 'warm'] as const;
export type Cache = (typeof CACHES)[number];

/** As in functions/benchmarks.json. */
export interface BenchmarkFunction {
  readonly name: string;
  readonly vcpus: number;
  readonly memMiB: number;
  readonly small: Readonly<Record<string, string>>;
  readonly large: Readonly<Record<string, string>>;
}

export interface Cell {
  readonly fn: BenchmarkFunction;
  readonly way: Way;
  readonly cache: Cache;
}

export const cellName = (fn: string, way: string, cache: Cache): string =>
  `${fn}, ${way}, ${cache}`;

/** All cells of a round. The floor does not depend on the page cache: it counts after the resume. */
export function cellsOf(functions: readonly BenchmarkFunction[]): Cell[] {
  return functions.flatMap((fn) =>
    WAYS.flatMap((way) =>
      CACHES.filter((cache) => way !== 'floor' || cache === 'warm').map((cache) => ({
        fn,
        way,
        cache,
      })),
    ),
  );
}
