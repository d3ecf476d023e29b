/** Runs the external programs that images are built with: one place for limits and failures. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { SparklerError, isErrno } from '../errors.js';

/** How much of a program's output a failure shows, in characters. */
const SHOWN_OUTPUT_CHARS = 2_000;
/** What is kept of a program's output, in characters; the oldest go first. */
const KEPT_OUTPUT_CHARS = 4 * 1024 * 1024;
/** Between asking a program to end and ending it, in milliseconds. */
const KILL_GRACE_MS = 3_000;

/** The Debian package that each program comes from, for the message when it is missing. */
const PACKAGES: Record<string, string> = {
  'mkfs.erofs': 'erofs-utils',
  mmdebstrap: 'mmdebstrap',
  xz: 'xz-utils',
  zstd: 'zstd',
};

/** How to run a program. */
export interface CommandOptions {
  /** The program and all it started are ended after this many milliseconds. */
  readonly timeoutMs: number;
  /** Added to this process' environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Gets each line of stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs `program` and returns what it wrote to stdout.
 * @throws SparklerError DEPENDENCY_MISSING when it is not installed, STORAGE_FULL when it says so,
 *   IMAGE_BUILD_FAILED with its last lines when it fails or takes longer than `timeoutMs`.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<string> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    // Programs' messages are searched for reasons: they must not depend on the user's language.
    env: { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout = (stdout + text).slice(-KEPT_OUTPUT_CHARS);
  });
  createInterface({ input: child.stderr }).on('line', (line) => {
    stderr = `${stderr}${line}\n`.slice(-KEPT_OUTPUT_CHARS);
    options.onLine?.(line);
  });
  const limit = limitTime(child.pid, options.timeoutMs);
  try {
    const end = await ending(child);
    if (limit.expired) {
      throw failure(program, `took longer than ${options.timeoutMs} ms`, stdout, stderr);
    }
    if (end !== 'exit code 0') throw failure(program, `ended with ${end}`, stdout, stderr);
    return stdout;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw missing(program, error);
    throw error;
  } finally {
    limit.stop();
  }
}

/** Resolves with how the child ended, in words, once its output is complete. */
function ending(child: ReturnType<typeof spawn>): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(signal === null ? `exit code ${String(code)}` : `signal ${signal}`),
    );
  });
}

/** Ends the process group of `pid` when the time is over, by force if asking does not help. */
function limitTime(pid: number | undefined, timeoutMs: number) {
  const timers: NodeJS.Timeout[] = [];
  const limit = { expired: false, stop: () => timers.forEach((timer) => clearTimeout(timer)) };
  const later = (ms: number, action: () => void): void => {
    timers.push(setTimeout(action, ms));
  };
  later(timeoutMs, () => {
    limit.expired = true;
    signalGroup(pid, 'SIGTERM');
    later(KILL_GRACE_MS, () => signalGroup(pid, 'SIGKILL'));
  });
  return limit;
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

function failure(program: string, what: string, stdout: string, stderr: string): SparklerError {
  const output = `${stdout}\n${stderr}`.trim();
  if (output.includes('No space left on device')) {
    return new SparklerError('STORAGE_FULL', `The disk is full: ${program} ${what}.`);
  }
  const shown = output === '' ? 'It printed nothing.' : output.slice(-SHOWN_OUTPUT_CHARS);
  return new SparklerError('IMAGE_BUILD_FAILED', `${program} ${what}. Its last words:\n${shown}`);
}

function missing(program: string, cause: unknown): SparklerError {
  const name = PACKAGES[program];
  const hint =
    name === undefined ? '' : ` It is in the Debian package ${name}; \`make setup\` installs it.`;
  return new SparklerError('DEPENDENCY_MISSING', `${program} is not installed.${hint}`, {}, cause);
}
