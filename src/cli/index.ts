/** The command line's face. */
import { type Command, CommanderError } from 'commander';
import { SparklerError } from '../errors.js';
import { EXIT, reportFailure } from './failure.js';
import type { Io } from './io.js';
import { buildProgram } from './program.js';

export type { Io } from './io.js';

/** Ends by itself, in good order, when it is interrupted; any other command is left where it is. */
const GRACEFUL = 'daemon';

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function execute(program: Command, args: readonly string[], io: Io): Promise<number> {
  try {
    await program.parseAsync(args, { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has said it already: help and version are no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return reportFailure(error, io, program.opts<{ json?: boolean }>().json === true);
  }
}

/**
 * Runs one command line (without `node` and the script's name).
 * @returns the exit code; what went wrong was said on stderr
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const program = buildProgram(io);
  let graceful = false;
  program.hook('preAction', (_program, command) => {
    graceful = command.name() === GRACEFUL;
  });
  // Registered first, so that it comes before what the interrupted command says about it.
  const interrupted = aborted(io.interrupted).then(() => (graceful ? done : EXIT.interrupted));
  const done = execute(program, args, io);
  return Promise.race([interrupted, done]);
}

/** Runs this process's command line and ends the process. */
export async function main(): Promise<void> {
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // The second time it is meant.
      if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
      interrupt.abort(new SparklerError('SHUTTING_DOWN', 'Interrupted.'));
    });
  }
  // A reader that has seen enough (`sparkler ps | head -1`) is no failure.
  process.stdout.on('error', () => process.exit(EXIT.ok));
  const { stdin, stdout, stderr, env } = process;
  const io = { stdin, stdout, stderr, env, interrupted: interrupt.signal };
  const code = await runCli(process.argv.slice(2), io);
  // Written out first: a pipe may still take the rest.
  stdout.write('', () => process.exit(code));
}
