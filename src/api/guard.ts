/**
 * What is refused before any route sees it. The daemon has no authentication, so a page in the
 * user's browser must not reach it: not by a foreign name that resolves to this machine (Host),
 * not by a cross-site request (Origin). Node's parser lets two Host headers and encoded slashes
 * through; both are refused here.
 */
import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../config/index.js';
import { SparklerError } from '../errors.js';

function hostHeader(raw: IncomingMessage): string {
  let found: string | undefined;
  for (let i = 0; i < raw.rawHeaders.length; i += 2) {
    const name = raw.rawHeaders[i];
    if (name?.length !== 4 || name.toLowerCase() !== 'host') continue;
    if (found !== undefined) {
      throw new SparklerError('INVALID_REQUEST', 'Host: the header is given twice.', {
        field: 'Host',
      });
    }
    found = raw.rawHeaders[i + 1] ?? '';
  }
  if (!found) {
    throw new SparklerError('INVALID_REQUEST', 'Host: the header is required.', { field: 'Host' });
  }
  return found;
}

function checkHost(host: string): void {
  const name = host.replace(/:\d*$/, '');
  if (isLoopback(name)) return;
  throw new SparklerError(
    'HOST_NOT_ALLOWED',
    `Host: the daemon listens on this machine only and does not answer for ${name}. ` +
      'Use localhost or 127.0.0.1.',
    { field: 'Host' },
  );
}

function checkOrigin(origin: string, host: string): void {
  const own = `http://${host}`;
  if (URL.canParse(origin) && new URL(origin).origin === new URL(own).origin) return;
  throw new SparklerError(
    'ORIGIN_NOT_ALLOWED',
    `Origin: pages of ${origin} may not use the daemon.`,
    { field: 'Origin' },
  );
}

/** `..` and `.` segments and separators in disguise; the part after `?` is none of its business. */
const CROOKED_PATH = /^[^?]*?(?:%2f|%5c|%00|\\|\/(?:\.|%2e){1,2}(?:[/?]|$))/i;

function checkPath(url: string): void {
  if (url.startsWith('/') && !CROOKED_PATH.test(url)) return;
  throw new SparklerError(
    'INVALID_REQUEST',
    'The path holds `.` or `..` segments, a backslash, or an encoded slash; none is allowed.',
    { field: 'path' },
  );
}

/** @returns a check that throws SparklerError for a request that must not be answered. */
export function guardFor(listenHost: string): (raw: IncomingMessage) => void {
  const local = isLoopback(listenHost);
  return (raw) => {
    const host = hostHeader(raw);
    checkPath(raw.url ?? '');
    if (!/^[\w.:[\]-]+$/.test(host) || !URL.canParse(`http://${host}`)) {
      throw new SparklerError('INVALID_REQUEST', 'Host: is not a host name.', { field: 'Host' });
    }
    if (local) checkHost(host);
    const { origin } = raw.headers;
    if (origin !== undefined) checkOrigin(origin, host);
  };
}
