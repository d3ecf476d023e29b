/** The registry room's face: what survives a restart, and what to reclaim after one. */
export { Registry } from './registry.js';
export type { Journal } from './journal.js';
export { hostBootId, identify, startTimeOf } from './host.js';
export { reclaim, type Reclaimed, type ReclaimOptions } from './reclaim.js';
export type {
  Intent,
  JournalEntry,
  ProcessIdentity,
  ResourceKind,
  StoredFunction,
  StoredSnapshot,
} from './rows.js';
