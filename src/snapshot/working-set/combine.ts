/** Several recordings of one memory seen together. */
import { SparklerError } from '../../errors.js';
import { unusable } from '../manifest.js';
import { firstTouches, type Recording } from './recording.js';

/**
 * The pages that at least `atLeast` of the recordings touched, by earliest first touch: a page's
 * place is the first of its places in the recordings' orders; of two at the same place the lower
 * page number comes first. With `atLeast` 1 it is the union.
 * @throws SparklerError SNAPSHOT_UNUSABLE when the recordings are of different memories,
 * INVALID_REQUEST when `atLeast` is not 1 to the number of recordings.
 */
export function combineRecordings(recordings: readonly Recording[], atLeast = 1): Uint32Array {
  const count = recordings.length;
  if (!Number.isInteger(atLeast) || atLeast < 1 || atLeast > count) {
    const message = `at_least must be 1 to ${count}, the number of recordings.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'at_least' });
  }
  const ids = new Set(recordings.map(({ memoryId }) => memoryId));
  if (ids.size > 1) throw unusable('its recorded working sets are of different memories');
  const pages = new Map<number, { place: number; times: number }>();
  for (const recording of recordings) {
    firstTouches(recording).forEach((page, place) => {
      const known = pages.get(page);
      if (known === undefined) pages.set(page, { place, times: 1 });
      else {
        known.place = Math.min(known.place, place);
        known.times++;
      }
    });
  }
  const chosen = [...pages].filter(([, { times }]) => times >= atLeast);
  chosen.sort(([a, x], [b, y]) => x.place - y.place || a - b);
  return Uint32Array.from(chosen, ([page]) => page);
}

/** How alike two sets of pages are: shared pages by all pages, 0 to 1; two empty ones are alike. */
export function jaccard(a: Iterable<number>, b: Iterable<number>): number {
  const [one, other] = [new Set(a), new Set(b)];
  let shared = 0;
  for (const page of one) if (other.has(page)) shared++;
  const all = one.size + other.size - shared;
  return all === 0 ? 1 : shared / all;
}
