/** The benchmarks' command line: `npm run bench -- NAME`. One subcommand for each benchmark. */
import { tmpdir } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { AZURE_FUNCTIONS, AZURE_LIMITS, benchAzure } from './azure.js';
import { benchGvisor } from './gvisor-bench.js';
import { freshSeed } from './random.js';
import { benchPaging } from './paging/index.js';
import { PAGING_LIMITS } from './paging/ratios.js';
import { pagingTable } from './paging/table.js';
import { type Limit, type Report, reportTable } from './report.js';
import { RESTORE_LIMITS } from './restore/derived.js';
import { benchRestore } from './restore/run.js';
import { restoreTable } from './restore/table.js';
import { benchScale, SCALE_PARTS } from './scale/index.js';
import { PLUG_STEP_MIB, SIZES } from './scale/cases.js';
import { SCALE_LIMITS } from './scale/ratios.js';
import { scaleTable } from './scale/table.js';
import { benchStart, START_CASES, START_LIMITS } from './start.js';

interface RestoreFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly clones?: number;
  readonly sustained?: number;
  readonly functions?: readonly string[];
  readonly seed?: number;
}

interface GvisorFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly seed?: number;
}

interface AzureFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly functions?: number;
  readonly dir?: string;
  readonly seed?: number;
}

interface StartFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly kills?: number;
  readonly seed?: number;
  readonly only?: readonly string[];
}

interface PagingFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly seed?: number;
  readonly ablation?: true;
  readonly drift?: true;
  readonly trace?: string;
  readonly memory?: string;
  readonly written?: string;
  readonly dir?: string;
  readonly work?: number;
}

interface ScaleFlags {
  readonly json?: true;
  readonly quick?: true;
  readonly rounds?: number;
  readonly sizes?: readonly number[];
  readonly operations?: number;
  readonly invocations?: number;
  readonly seed?: number;
  readonly only?: readonly string[];
}

/** What `--quick` changes: figures for a first look, within a minute. */
const FULL = { rounds: 10, kills: 30, warmCalls: 200, restMs: 3000, roundsForMs: Infinity };
const QUICK = { rounds: 3, kills: 0, warmCalls: 200, restMs: 1000, roundsForMs: 35_000 };

const FULL_PAGING = { rounds: 10, roundsForMs: Infinity };
const QUICK_PAGING = { rounds: 3, roundsForMs: 25_000 };

const FULL_RESTORE = { rounds: 10, clones: 50, sustainedMs: 60_000, roundsForMs: Infinity };
const QUICK_RESTORE = { rounds: 1, clones: 0, sustainedMs: 0, roundsForMs: 20_000 };
/** What `--quick` restores. */
const QUICK_FUNCTIONS = ['hello', 'json'];

const FULL_SCALE = { rounds: 10, operations: 1000, invocations: 200, roundsForMs: Infinity };
const QUICK_SCALE = { rounds: 1, operations: 40, invocations: 20, roundsForMs: 0, sizes: [512] };

/** Of `bench gvisor`; half a second each. */
const GVISOR_ROUNDS = 20;
const GVISOR_QUICK_ROUNDS = 5;

/** Of `bench azure`; some ten seconds each. */
const AZURE_ROUNDS = 3;
const AZURE_QUICK_ROUNDS = 1;

const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

function wholeFrom(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} up.`);
  };
}

/** Sizes that virtio-mem can plug in at its best setting. */
function multiples(text: string, before: readonly number[] = []): number[] {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= PLUG_STEP_MIB && value % PLUG_STEP_MIB === 0) {
    return [...before, value];
  }
  throw new InvalidArgumentError(`It must be a multiple of ${PLUG_STEP_MIB}.`);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(
  report: Report,
  limits: readonly Limit[],
  json: boolean,
  table: typeof reportTable = reportTable,
): void {
  const text = json ? `${JSON.stringify(report, null, 2)}\n` : table(report, limits);
  process.stdout.write(text);
}

/** The environment's seed is the one that fault tests print. */
function seedOf(flags: { readonly seed?: number }): number {
  const { SPARKLER_TEST_SEED: given } = process.env;
  return flags.seed ?? (given === undefined ? freshSeed() : wholeFrom(0)(given));
}

async function start(flags: StartFlags, signal: AbortSignal): Promise<void> {
  const { json = false, quick = false, ...rest } = flags;
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same order and the same moments`);
  const report = await benchStart({ ...(quick ? QUICK : FULL), ...rest, seed, signal, say });
  print(report, START_LIMITS, json);
}

async function paging(flags: PagingFlags, signal: AbortSignal): Promise<void> {
  const { trace, memory, written, work = 0, dir = tmpdir(), json = false, quick = false } = flags;
  if ((trace === undefined) !== (memory === undefined)) {
    throw new InvalidArgumentError('--trace and --memory belong together.');
  }
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same traces and the same order`);
  const { rounds, roundsForMs } = quick ? QUICK_PAGING : FULL_PAGING;
  const report = await benchPaging({
    ...{ rounds: flags.rounds ?? rounds, roundsForMs, seed, dir, workUs: work, signal, say },
    quick,
    what: flags.ablation ? 'ablation' : flags.drift ? 'drift' : 'ways',
    ...(trace !== undefined &&
      memory !== undefined && { recording: { trace, memory, ...(written && { written }) } }),
  });
  print(report, PAGING_LIMITS, json, pagingTable);
}

async function restore(flags: RestoreFlags, signal: AbortSignal): Promise<void> {
  const { json = false, quick = false, functions, rounds, clones, sustained } = flags;
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same order`);
  const defaults = quick ? QUICK_RESTORE : FULL_RESTORE;
  const report = await benchRestore({
    rounds: rounds ?? defaults.rounds,
    clones: clones ?? defaults.clones,
    sustainedMs: sustained ?? defaults.sustainedMs,
    roundsForMs: defaults.roundsForMs,
    functions: functions ?? (quick ? QUICK_FUNCTIONS : undefined),
    ...{ seed, signal, say },
  });
  print(report, RESTORE_LIMITS, json, restoreTable);
}

async function scale(flags: ScaleFlags, signal: AbortSignal): Promise<void> {
  const { json = false, quick = false, ...rest } = flags;
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same order and the same operations`);
  const defaults = quick ? QUICK_SCALE : FULL_SCALE;
  const report = await benchScale({ ...defaults, ...rest, seed, signal, say });
  print(report, SCALE_LIMITS, json, scaleTable);
}

async function gvisor(flags: GvisorFlags, signal: AbortSignal): Promise<void> {
  const { json = false, quick = false } = flags;
  const { rounds = quick ? GVISOR_QUICK_ROUNDS : GVISOR_ROUNDS } = flags;
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same order`);
  print(await benchGvisor({ rounds, seed, signal, say }), [], json);
}

async function azure(flags: AzureFlags, signal: AbortSignal): Promise<void> {
  const { json = false, quick = false, functions = AZURE_FUNCTIONS, dir = tmpdir() } = flags;
  const { rounds = quick ? AZURE_QUICK_ROUNDS : AZURE_ROUNDS } = flags;
  const seed = seedOf(flags);
  say(`seed ${seed}: give --seed ${seed} for the same days`);
  const options = { rounds, functions, dense: !quick, seed, dir, signal, say };
  print(await benchAzure(options), AZURE_LIMITS, json);
}

function program(signal: AbortSignal): Command {
  const command = new Command('bench').description('Benchmarks of Sparkler itself.');
  command
    .command('start')
    .description('Cold boots, snapshots, restores, warm calls, the daemon itself, and kill -9.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', 'end within a minute: fewer rounds, no kills')
    .option('--rounds <n>', `runs of each case; default ${FULL.rounds}`, wholeFrom(1))
    .option('--kills <n>', `times to kill the daemon; default ${FULL.kills}`, wholeFrom(0))
    .option(
      '--seed <n>',
      'repeats an order; default $SPARKLER_TEST_SEED or a new one',
      wholeFrom(0),
    )
    .addOption(new Option('--only <case...>', 'run only these').choices(START_CASES))
    .action((flags: StartFlags) => start(flags, signal));
  command
    .command('restore')
    .description('Every restore strategy over the benchmark functions, and gVisor beside them.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', 'end within a minute or so: two functions, one round, no clones')
    .option('--rounds <n>', `restores of each case; default ${FULL_RESTORE.rounds}`, wholeFrom(1))
    .option('--clones <n>', `alive at once; default ${FULL_RESTORE.clones}`, wholeFrom(0))
    .option('--sustained <ms>', 'restores one after the other for so long', wholeFrom(0))
    .option('--functions <name...>', 'only these of functions/benchmarks.json')
    .option('--seed <n>', 'repeats an order; default as for start', wholeFrom(0))
    .action((flags: RestoreFlags) => restore(flags, signal));
  command
    .command('paging')
    .description('Each way of bringing memory in, replaying page touches without a VM.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', 'end within a minute: fewer workloads and rounds')
    .option('--rounds <n>', `replays of each case; default ${FULL_PAGING.rounds}`, wholeFrom(1))
    .option('--seed <n>', 'repeats traces and order; default as for start', wholeFrom(0))
    .addOption(new Option('--ablation', 'one part or setting changed at a time').conflicts('drift'))
    .option('--drift', 'recorded with one input, run with others')
    .option('--trace <file>', "a snapshot's recording, trace-*.rec, instead of made-up traces")
    .option('--memory <file>', "that snapshot's memory file")
    .option('--written <file>', "that snapshot's written.rec: its pages are written")
    .option('--dir <folder>', 'for temporary files, on the disk to measure; default $TMPDIR')
    .option('--work <us>', "the guest's work after each touch, microseconds", wholeFrom(0))
    .action((flags: PagingFlags) => paging(flags, signal));
  command
    .command('scale')
    .description('Memory that grows and shrinks, by each mechanism, and what functions gain by it.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', `a first look: one round of ${QUICK_SCALE.sizes[0]} MiB, few operations`)
    .option('--rounds <n>', `runs of each case; default ${FULL_SCALE.rounds}`, wholeFrom(1))
    .option(
      '--sizes <mib...>',
      `memory that is added and taken away; default ${SIZES.join(' ')}`,
      multiples,
    )
    .option(
      '--operations <n>',
      `random ones in all; default ${FULL_SCALE.operations}`,
      wholeFrom(1),
    )
    .option(
      '--invocations <n>',
      `mixed ones in all; default ${FULL_SCALE.invocations}`,
      wholeFrom(1),
    )
    .option('--seed <n>', 'repeats an order; default as for start', wholeFrom(0))
    .addOption(new Option('--only <part...>', 'run only these').choices(SCALE_PARTS))
    .action((flags: ScaleFlags) => scale(flags, signal));
  command
    .command('gvisor')
    .description('The yardstick: how long gVisor takes to restore hello.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', `${GVISOR_QUICK_ROUNDS} rounds`)
    .option('--rounds <n>', `restores of each case; default ${GVISOR_ROUNDS}`, wholeFrom(1))
    .option(
      '--seed <n>',
      'repeats an order; default $SPARKLER_TEST_SEED or a new one',
      wholeFrom(0),
    )
    .action((flags: GvisorFlags) => gvisor(flags, signal));
  command
    .command('azure')
    .description('The analysis of made-up Azure traces, each as large as a real day.')
    .option('--json', 'print one JSON document on stdout')
    .option('--quick', 'one round of the usual day')
    .option('--rounds <n>', `analyses of each day; default ${AZURE_ROUNDS}`, wholeFrom(1))
    .option('--functions <n>', `default ${AZURE_FUNCTIONS}`, wholeFrom(1))
    .option('--dir <folder>', 'for the days, some 200 MB; default $TMPDIR')
    .option('--seed <n>', 'repeats the days; default as for start', wholeFrom(0))
    .action((flags: AzureFlags) => azure(flags, signal));
  return command;
}

async function main(): Promise<void> {
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupt.abort());
  }
  // Nobody reads on: end what was started, as for Ctrl-C.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => interrupt.abort());
  }
  try {
    await program(interrupt.signal).parseAsync();
  } catch (error) {
    if (interrupt.signal.aborted) {
      process.exitCode = EXIT_INTERRUPTED;
      return;
    }
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exitCode = EXIT_FAILED;
  }
}

await main();
