/** Whether a whole day of the Azure trace is analysed in time and in little memory. */
import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { REPOSITORY } from './harness.js';
import { describeMachine, sparklerVersion } from './machine.js';
import { type Limit, type Report, rowsOf, type Sample } from './report.js';

const MIB = 1024 * 1024;

/** As many functions as a day of the real set has. */
export const AZURE_FUNCTIONS = 50_000;

export const AZURE_LIMITS: readonly Limit[] = ['day', 'dense day'].flatMap((name): Limit[] => [
  { case: name, metric: 'time', of: 'max', atMost: 60_000 },
  { case: name, metric: 'peak memory', of: 'max', atMost: 1024 },
]);

export interface AzureBench {
  readonly rounds: number;
  readonly functions: number;
  /** Also a day in which every function is invoked in every minute: more than any real one. */
  readonly dense: boolean;
  readonly seed: number;
  /** Where the made-up days go, some 200 MB each; removed at the end. */
  readonly dir: string;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

interface Run {
  readonly ms: number;
  readonly peakBytes: number;
}

/** `sparkler evaluate azure DAY --out OUT`, all policies, as a process of its own. */
async function run(day: string, out: string, signal: AbortSignal): Promise<Run> {
  const started = performance.now();
  const child = fork(
    join(import.meta.dirname, 'azure-run.js'),
    ['evaluate', 'azure', day, '--out', out, '--json'],
    { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], signal, killSignal: 'SIGKILL' },
  );
  let peakBytes: number | undefined;
  child.on('message', (told) => ({ peakBytes } = told as { peakBytes: number }));
  const [code] = (await once(child, 'close')) as [number | null];
  const ms = performance.now() - started;
  if (code !== 0 || peakBytes === undefined) {
    throw new Error(`The analysis ended with ${String(code)}.`);
  }
  return { ms, peakBytes };
}

/** Makes days of the size of a real one, and analyses each in every round. */
export async function benchAzure(options: AzureBench): Promise<Report> {
  const { rounds, functions, dense, seed, signal, say } = options;
  const machine = { ...describeMachine(), accelerator: 'none' };
  const dir = await mkdtemp(join(options.dir, 'sparkler-azure-'));
  const samples: Sample[] = [];
  try {
    const cases = [{ name: 'day', flags: [] }, ...(dense ? [{ name: 'dense day', flags: ['--dense'] }] : [])]; // prettier-ignore
    for (const { name, flags } of cases) {
      say(`making a ${name} of ${functions} functions`);
      const script = join(REPOSITORY, 'examples/azure/generate.mjs');
      const sizes = ['--functions', String(functions), '--seed', String(seed)];
      await promisify(execFile)(
        process.execPath,
        [script, ...sizes, ...flags, '--out', join(dir, name)],
        { signal },
      );
      for (let round = 1; round <= rounds; round++) {
        say(`${name}, round ${round} of ${rounds}`);
        const out = join(dir, `out ${name} ${round}`);
        const { ms, peakBytes } = await run(join(dir, name), out, signal);
        samples.push(
          { case: name, metric: 'time', unit: 'ms', value: ms },
          { case: name, metric: 'peak memory', unit: 'MiB', value: peakBytes / MIB },
        );
      }
      await rm(join(dir, name), { recursive: true });
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  const versions = { sparkler: sparklerVersion(), node: process.versions.node };
  return { machine, versions, rows: rowsOf(samples) };
}
