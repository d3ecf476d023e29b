/** What of a function's settings an instance that runs has taken in and cannot change any more. */
import { createHash } from 'node:crypto';
import type { FunctionRecord } from './types.js';

/** Records are never changed, only replaced. */
const known = new WeakMap<FunctionRecord, string>();

/** The same for two records whose instances, of the same code, are the same. */
export function settingsIdOf(fn: FunctionRecord): string {
  const before = known.get(fn);
  if (before !== undefined) return before;
  const env = Object.entries(fn.env).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([fn.runtime, fn.handler, env]);
  const id = createHash('sha256').update(text).digest('hex');
  known.set(fn, id);
  return id;
}
