/** `bench scale`: memory that grows and shrinks by each mechanism, and what functions gain by it. */
import { Home, type DaemonProcess } from '../harness.js';
import { describeMachine, describeVersions } from '../machine.js';
import { availableMiB } from '../processes.js';
import { randomFrom, shuffled, type Random } from '../random.js';
import { rowsOf, type Report, type Sample } from '../report.js';
import { SIZES, tooLarge, TOUCHED_IN_MIB, WAYS } from './cases.js';
import { afterUse, DAEMON_CONFIG, JsonStage } from './daemon.js';
import { Elastic } from './elastic.js';
import { Ground } from './ground.js';
import { MechanismRun } from './mechanism.js';
import { OPERATIONS_CONFIG, randomOperations } from './operations.js';
import { caseOrder, OPERATIONS, ratioSamples } from './ratios.js';

/** What may be chosen with `only`. */
export const SCALE_PARTS = [
  ...(['mechanisms', 'touching', 'starts', 'eight', 'after-use', 'operations'] as const),
] as const;
type Part = (typeof SCALE_PARTS)[number];

export interface ScaleOptions {
  readonly rounds: number;
  /** After so long no further round is begun, ms. */
  readonly roundsForMs: number;
  /** MiB; all when absent. */
  readonly sizes?: readonly number[] | undefined;
  /** Of `after-use`. */
  readonly invocations: number;
  /** Of `operations`. */
  readonly operations: number;
  /** Names of SCALE_PARTS; all when absent. */
  readonly only?: readonly string[] | undefined;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** One thing that is done in each round. */
interface Task {
  readonly name: string;
  readonly run: (random: Random) => Promise<Sample[]>;
}

/** Runs everything; what it started is gone afterwards, on every path. */
export async function benchScale(options: ScaleOptions): Promise<Report> {
  const machine = describeMachine();
  const { signal, say } = options;
  const random = randomFrom(options.seed);
  const sizes = await possibleSizes(options);
  const home = new Home(DAEMON_CONFIG);
  const samples: Sample[] = [];
  let info: DaemonProcess['info'];
  try {
    const daemon = await home.daemon(signal);
    info = daemon.info;
    const accelerator = info['accelerator'] === 'kvm' ? 'kvm' : 'tcg';
    const ground = await Ground.open(accelerator, say, signal);
    try {
      const tasks = await tasksOf(options, sizes, ground, daemon);
      samples.push(...(await runRounds(options, tasks, random)));
    } finally {
      await ground.close();
    }
    if (wanted(options, 'after-use')) {
      say(`${options.invocations} mixed invocations`);
      samples.push(...(await afterUse(daemon, options.invocations, random)));
    }
  } finally {
    await home.dispose();
  }
  if (wanted(options, 'operations')) samples.push(...(await operations(options, random)));
  return {
    machine: { ...machine, accelerator: String(info['accelerator']) },
    versions: await describeVersions(info),
    rows: rowsOf([...samples, ...ratioSamples(samples, sizes)], caseOrder(sizes)),
  };
}

const wanted = ({ only }: ScaleOptions, part: Part): boolean => only?.includes(part) ?? true;

/** Those that the host can hold; the others are named with the reason. */
async function possibleSizes({ sizes = SIZES, say }: ScaleOptions): Promise<number[]> {
  const available = await availableMiB();
  return sizes.filter((size) => {
    const why = tooLarge(size, available);
    if (why !== undefined) say(why);
    return why === undefined;
  });
}

async function tasksOf(
  options: ScaleOptions,
  sizes: readonly number[],
  ground: Ground,
  daemon: DaemonProcess,
): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const way of WAYS) {
    const inVm = (name: string, sizeMiB: number, work: (run: MechanismRun) => Promise<Sample[]>) =>
      tasks.push({
        name,
        run: async (random) => {
          const vm = await Elastic.boot(ground, way, sizeMiB);
          try {
            return await work(await MechanismRun.begin(vm, way, random));
          } finally {
            await vm.end();
          }
        },
      });
    if (wanted(options, 'mechanisms')) {
      for (const size of sizes) inVm(`${size} MiB: ${way.name}`, size, (run) => run.cells());
    }
    if (wanted(options, 'touching')) {
      inVm(`touching: ${way.name}`, TOUCHED_IN_MIB, (run) => run.touching());
    }
  }
  const isJson = wanted(options, 'starts') || wanted(options, 'eight');
  if (!isJson) return tasks;
  options.say('preparing: a snapshot of json, and a VM that grows');
  const json = await JsonStage.prepare(daemon);
  if (wanted(options, 'starts')) {
    tasks.push({ name: 'json: vertical', run: () => json.vertical() });
    tasks.push({ name: 'json: restored', run: () => json.restored() });
  }
  if (wanted(options, 'eight')) tasks.push({ name: 'eight at once', run: () => json.eight() });
  return tasks;
}

/** Every task once in each round, in an order of its own: what drifts, drifts for all. */
async function runRounds(
  { rounds, roundsForMs, signal, say }: ScaleOptions,
  tasks: readonly Task[],
  random: Random,
): Promise<Sample[]> {
  const began = performance.now();
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds && tasks.length > 0; round++) {
    const elapsed = performance.now() - began;
    if (round > 1 && elapsed + elapsed / (round - 1) > roundsForMs) {
      say(`no time for more than ${round - 1} of ${rounds} rounds`);
      break;
    }
    for (const task of shuffled(tasks, random)) {
      signal.throwIfAborted();
      say(`round ${round} of ${rounds}: ${task.name}`);
      samples.push(...(await task.run(random)));
    }
  }
  return samples;
}

/** In a daemon of their own. */
async function operations(options: ScaleOptions, random: Random): Promise<Sample[]> {
  const { signal, say, operations: count } = options;
  say(`${count} random operations`);
  const home = new Home(OPERATIONS_CONFIG);
  try {
    const daemon = await home.daemon(signal);
    const result = await randomOperations({ daemon, count, random, signal });
    for (const failure of result.failures) say(`  failed: ${failure}`);
    const counts = {
      ...{ operations: count, 'wrong bytes': result.wrongBytes, hangs: result.hangs },
      ...{ 'other failures': result.failures.length - result.hangs, 'timed out': result.timedOut },
      ...Object.fromEntries(Object.entries(result.done).map(([kind, n]) => [`of kind ${kind}`, n])),
    };
    return [
      ...Object.entries(counts).map(([metric, value]): Sample => ({
        ...{ case: OPERATIONS, metric, unit: 'count', value },
      })),
      {
        ...{ case: OPERATIONS, metric: 'checked', unit: 'MiB' },
        value: result.checkedBytes / 2 ** 20,
      },
    ];
  } finally {
    await home.dispose();
  }
}
