/** Turns the daemon's error answers back into what it threw. */
import { ERROR_KINDS, type ErrorCode, type ErrorDetails, SparklerError } from '../errors.js';

const TEXTS = ['field', 'stack', 'errorType', 'console', 'logs', 'step'] as const;
const NUMBERS = ['limitMiB', 'retryAfterS'] as const;

function detailsOf(body: Readonly<Record<string, unknown>>): ErrorDetails {
  const known = [
    ...TEXTS.filter((name) => typeof body[name] === 'string'),
    ...NUMBERS.filter((name) => typeof body[name] === 'number'),
  ];
  return Object.fromEntries(known.map((name) => [name, body[name]]));
}

/**
 * @param body the parsed answer
 * @param status its HTTP status
 * @param origin whom it is from, for the message about a stranger
 */
export function errorFromWire(body: unknown, status: number, origin: string): SparklerError {
  const { message, code, ...rest } = (body ?? {}) as Record<string, unknown>;
  if (typeof message !== 'string') {
    return new SparklerError(
      'DAEMON_UNREACHABLE',
      `What listens at ${origin} answered ${status}, but not as a Sparkler daemon does. ` +
        'Name the daemon with --url or SPARKLER_URL.',
    );
  }
  if (typeof code === 'string' && Object.hasOwn(ERROR_KINDS, code)) {
    return new SparklerError(code as ErrorCode, message, detailsOf(rest));
  }
  // A daemon of another version: keep what it said under the nearest code.
  const nearest = status < 500 ? 'INVALID_REQUEST' : 'INTERNAL';
  return new SparklerError(nearest, `${String(code)}: ${message}`, detailsOf(rest));
}
