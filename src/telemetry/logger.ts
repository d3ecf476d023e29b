/** The daemon's log: one JSON object a line on stderr's sibling, stdout, as pino writes it. */
import { destination, pino, type Logger } from 'pino';

export type { Logger } from 'pino';

/** pino's names, `silent` included. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

/**
 * A logger that writes to the file descriptor `fd` (default 2, stderr: stdout belongs to commands'
 * results). Errors are logged with their cause; a SparklerError's details too.
 */
export function createLogger(level: LogLevel, fd = 2): Logger {
  return pino({ level, base: null }, destination({ fd, sync: true }));
}
