/** Runs a command line in this process, with its own stdin, stdout and stderr. */
import { PassThrough, Readable } from 'node:stream';
import { type Io, runCli } from '../../src/cli/index.js';

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON. */
  readonly json: unknown;
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  readonly tty?: boolean;
  readonly interrupted?: AbortSignal;
}

function sink(tty: boolean): { stream: PassThrough & { isTTY?: boolean }; text: () => string } {
  const stream: PassThrough & { isTTY?: boolean } = new PassThrough();
  stream.isTTY = tty;
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

export async function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const stdout = sink(options.tty ?? false);
  const stderr = sink(false);
  const io: Io = {
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: options.env ?? {},
    interrupted: options.interrupted ?? new AbortController().signal,
  };
  const code = await runCli(args, io);
  // What was written last is read in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  const text = stdout.text();
  return {
    code,
    stdout: text,
    stderr: stderr.text(),
    get json() {
      return JSON.parse(text) as unknown;
    },
  };
}
