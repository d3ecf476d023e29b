import { randomBytes } from 'node:crypto';

/** Random part of an id, bytes: enough that no two ever meet, short enough for a socket's path. */
const ID_BYTES = 8;

/** A new id: `vm-1f0c…`, `ss-…`. */
export function newId(prefix: 'vm' | 'ss'): string {
  return `${prefix}-${randomBytes(ID_BYTES).toString('hex')}`;
}
