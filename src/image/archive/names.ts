/** Names of archive entries: what is acceptable, and when two are too much alike. */
import { invalidEntry, type CodeLimits } from './limits.js';

/** The longest name that a Linux file may have, in bytes. */
const MAX_SEGMENT_BYTES = 255;

/**
 * The folders and the name in an entry's path, `./` and a trailing slash left out; empty for the
 * archive's root itself.
 * @throws SparklerError INVALID_ARCHIVE for a name that is not acceptable.
 */
export function splitName(name: string, limits: CodeLimits): string[] {
  const reason = unacceptable(name, limits);
  if (reason !== undefined) throw invalidEntry(name, reason);
  const path = name.replace(/^(\.\/)+/, '').replace(/\/$/, '');
  if (path === '' || path === '.') return [];
  const segments = path.split('/');
  for (const segment of segments) {
    if (segment === '') throw invalidEntry(name, 'it has an empty part');
    if (segment === '..') throw invalidEntry(name, 'it leads out of its folder with ".."');
    if (segment === '.') throw invalidEntry(name, 'it has a "." inside');
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) {
      throw invalidEntry(name, `a part of it is longer than ${MAX_SEGMENT_BYTES} bytes`);
    }
  }
  if (segments.length > limits.maxDepth) {
    throw invalidEntry(name, `it is more than ${limits.maxDepth} folders deep`);
  }
  return segments;
}

/** @throws SparklerError INVALID_ARCHIVE when the target of link `name` cannot be one. */
export function checkTarget(name: string, target: string, limits: CodeLimits): void {
  const reason = unacceptable(target, limits);
  if (reason !== undefined)
    throw invalidEntry(name, `its link's target is unacceptable: ${reason}`);
}

/** What is wrong with a path as text; undefined when nothing is. */
function unacceptable(path: string, limits: CodeLimits): string | undefined {
  if (path === '') return 'the name is empty';
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'it holds a control character';
  if (path.includes('\ufffd')) return 'it is not valid UTF-8';
  if (path.includes('\\')) return 'it holds a backslash';
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'it is an absolute path';
  if (Buffer.byteLength(path) > limits.maxPathBytes) {
    return `it is longer than ${limits.maxPathBytes} bytes`;
  }
  return undefined;
}

/** Equal for names that some file systems cannot keep apart: case and Unicode form ignored. */
export function foldName(name: string): string {
  return name.normalize('NFC').toUpperCase().toLowerCase().normalize('NFC');
}
