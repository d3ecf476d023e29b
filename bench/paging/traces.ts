/** Made-up traces of page touches, repeatable from a seed. Pure. */
import { hasBit } from '../../src/snapshot/working-set/runs.js';
import { randomFrom, shuffled, type Random } from '../random.js';

/** Pages in the order in which they are touched first, and which of them are written. */
export interface Trace {
  readonly pages: Uint32Array;
  /** Sorted. */
  readonly written: Uint32Array;
}

/** What a trace is drawn from: all pages of a memory, some of them zero. */
export interface Ground {
  readonly pages: number;
  readonly nonZero: Uint8Array;
}

export interface TraceShape {
  /** Pages in the trace. */
  readonly touches: number;
  /** Pages that are touched one after the other, at a multiple of their number. */
  readonly runPages: number;
  /** One run in so many lies where the memory is zero, and is written; 0: none does. */
  readonly zeroEvery: number;
  /** One run in so many of the others is written; 0: none is. */
  readonly writeEvery: number;
}

/** @throws RangeError when the memory has too few runs of such pages. */
export function makeTrace(ground: Ground, shape: TraceShape, seed: number): Trace {
  const count = Math.floor(shape.touches / shape.runPages);
  const zeros = shape.zeroEvery === 0 ? 0 : Math.floor(count / shape.zeroEvery);
  const random = randomFrom(seed);
  const places = placesOf(ground, shape.runPages);
  const data = draw(places.data, count - zeros, random);
  const isWritten = (index: number): boolean =>
    shape.writeEvery !== 0 && index % shape.writeEvery === 0;
  const runs = [
    ...data.map((place, i) => ({ place, written: isWritten(i) })),
    ...draw(places.zero, zeros, random).map((place) => ({ place, written: true })),
  ];
  return traceOf(shuffled(runs, random), shape.runPages);
}

/**
 * A trace of another input: so much of `trace`, in its order, and in place of the rest other runs
 * where the memory is not zero. A run that is replaced is written as the one before it was.
 * @param share 0 to 1
 */
export function drifted(
  ground: Ground,
  trace: Trace,
  { runPages }: TraceShape,
  share: number,
  seed: number,
): Trace {
  const random = randomFrom(seed);
  const written = new Set(trace.written);
  const runs = Array.from({ length: trace.pages.length / runPages }, (_, i) => {
    const first = trace.pages[i * runPages] ?? 0;
    return { place: first / runPages, written: written.has(first) };
  });
  const count = Math.round(runs.length * (1 - share));
  const taken = new Set(runs.map(({ place }) => place));
  const free = placesOf(ground, runPages).data.filter((place) => !taken.has(place));
  const fresh = draw(free, count, random);
  const replaced = draw([...runs.keys()], count, random);
  replaced.forEach((index, i) => {
    const run = runs[index];
    if (run !== undefined) run.place = fresh[i] ?? run.place;
  });
  return traceOf(runs, runPages);
}

interface PlacedRun {
  /** The run's first page by the pages of a run. */
  place: number;
  written: boolean;
}

function traceOf(runs: readonly PlacedRun[], runPages: number): Trace {
  const pagesOf = ({ place }: PlacedRun): number[] =>
    Array.from({ length: runPages }, (_, i) => place * runPages + i);
  const written = runs.filter((run) => run.written).flatMap(pagesOf);
  return {
    pages: Uint32Array.from(runs.flatMap(pagesOf)),
    written: Uint32Array.from(written).sort(),
  };
}

/** Where runs can lie: wholly in data, or wholly in zeros. */
function placesOf(ground: Ground, runPages: number): { data: number[]; zero: number[] } {
  const places: { data: number[]; zero: number[] } = { data: [], zero: [] };
  for (let place = 0; (place + 1) * runPages <= ground.pages; place++) {
    let data = 0;
    for (let i = 0; i < runPages; i++) if (hasBit(ground.nonZero, place * runPages + i)) data++;
    if (data === runPages) places.data.push(place);
    else if (data === 0) places.zero.push(place);
  }
  return places;
}

/** So many of the items, each at most once (the beginning of a shuffle). */
function draw<T>(items: readonly T[], count: number, random: Random): T[] {
  if (count > items.length) throw new RangeError(`the memory has no room for ${count} runs`);
  const rest = [...items];
  for (let i = 0; i < count; i++) {
    const other = i + Math.floor(random() * (rest.length - i));
    [rest[i], rest[other]] = [rest[other] as T, rest[i] as T];
  }
  return rest.slice(0, count);
}
