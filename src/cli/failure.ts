/** How a command fails: what it says, and its exit code. */
import { type Fault, SparklerError, asSparklerError, toWire } from '../errors.js';
import type { Io } from './io.js';

/** Exit codes, for scripts. */
export const EXIT = {
  ok: 0,
  /** The daemon or the host failed. */
  failed: 1,
  /** The command was wrong as given. */
  usage: 2,
  /** The function failed. */
  function: 3,
  /** The guest or its VM failed. */
  guest: 4,
  /** No daemon answers. */
  unreachable: 5,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

export const EXIT_HELP = `Exit codes:
  0    done
  1    the daemon or its host failed
  2    the command is wrong as given: usage, a name that does not exist, a limit
  3    the function failed
  4    the guest or its microVM failed
  5    no daemon answers
  130  interrupted
`;

const BY_FAULT: Readonly<Record<Fault, number>> = {
  caller: EXIT.usage,
  function: EXIT.function,
  guest: EXIT.guest,
  host: EXIT.failed,
  platform: EXIT.failed,
};

export function exitCodeOf(error: SparklerError): number {
  return error.code === 'DAEMON_UNREACHABLE' ? EXIT.unreachable : BY_FAULT[error.kind.fault];
}

function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}\n`)
    .join('');
}

/** What is said on stderr: message, code, then what the function and the guest left. */
function describeFailure(error: SparklerError): string {
  const { stack, console: guestConsole, logs, step } = error.details;
  const parts = [`sparkler: ${error.message}\n`];
  const where = step === undefined ? '' : `, step ${step}`;
  parts.push(`(${error.code}${where}${error.kind.retryable ? ', may succeed later' : ''})\n`);
  if (stack) parts.push("\nThe function's stack:\n", indented(stack));
  if (logs) parts.push('\nThe function printed:\n', indented(logs));
  if (guestConsole) parts.push("\nThe guest's console ended with:\n", indented(guestConsole));
  if (error.code === 'INTERNAL') {
    const { cause } = error;
    const origin = cause instanceof Error ? cause : error;
    parts.push('\nThis is a bug in Sparkler; where it happened:\n', indented(origin.stack ?? ''));
  }
  return parts.join('');
}

/** Says what went wrong, and gives the exit code for it. */
export function reportFailure(thrown: unknown, io: Io, json: boolean): number {
  const error = asSparklerError(thrown);
  if (json) io.stdout.write(`${JSON.stringify({ error: toWire(error) }, null, 2)}\n`);
  io.stderr.write(describeFailure(error));
  return exitCodeOf(error);
}
