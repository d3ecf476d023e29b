/** `bench restore`: all strategies over the benchmark functions, and what clones cost. */
import { describeMachine, describeVersions } from '../machine.js';
import { GvisorYardstick } from '../gvisor.js';
import { Home, type DaemonProcess } from '../harness.js';
import { randomFrom, shuffled } from '../random.js';
import { rowsOf, type Report, type Sample } from '../report.js';
import { clonesAtRest, privateOfTen, sustained } from './clones.js';
import { cellName, cellsOf, type BenchmarkFunction } from './cells.js';
import { derivedSamples } from './derived.js';
import { againstGvisor, withSource } from './yardstick.js';
import { benchmarkFunctions, prepare, runCell, type Prepared } from './stage.js';

export interface RestoreOptions {
  readonly rounds: number;
  /** Names of the benchmark functions; all when absent. */
  readonly functions?: readonly string[] | undefined;
  /** Clones that are alive at once; 0: this is not measured. */
  readonly clones: number;
  /** How long restores come one after the other, ms; 0: this is not measured. */
  readonly sustainedMs: number;
  /** After so long no further round is begun, ms. */
  readonly roundsForMs: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** VMs that the daemon must allow. */
const MAX_VMS = 128;

/** The function that the host's own costs are measured with. */
const SMALLEST = 'hello';

/** Runs everything; what it started is gone afterwards, on every path. */
export async function benchRestore(options: RestoreOptions): Promise<Report> {
  const machine = describeMachine();
  const chosen = choose(options.functions);
  const home = new Home({
    limits: { maxVms: MAX_VMS },
    pool: { maxVms: 0 },
    // Many clones at once, which share nearly all of their memory: that is what is measured.
    admission: { chargePercent: 10 },
  });
  try {
    const daemon = await home.daemon(options.signal);
    const prepared = await prepareAll(daemon, chosen, options);
    const cells = await runRounds(daemon, prepared, options);
    const gvisor = await compareWithGvisor(daemon, prepared, options);
    const rest = await costsOfClones(daemon, prepared, options);
    const samples = [...cells, ...gvisor.samples, ...rest];
    const names = chosen.map(({ name }) => name);
    return {
      machine: { ...machine, accelerator: String(daemon.info['accelerator']) },
      versions: { ...(await describeVersions(daemon.info)), ...gvisor.version },
      rows: rowsOf([...samples, ...derivedSamples(samples, names)]),
    };
  } finally {
    await home.dispose();
  }
}

function choose(names: readonly string[] | undefined): BenchmarkFunction[] {
  const all = benchmarkFunctions();
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

async function prepareAll(
  daemon: DaemonProcess,
  functions: readonly BenchmarkFunction[],
  { say, signal }: RestoreOptions,
): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  for (const fn of functions) {
    signal.throwIfAborted();
    say(`preparing ${fn.name}: a snapshot after two invocations, and recordings of it`);
    prepared.push(await prepare(daemon, fn));
  }
  return prepared;
}

/** Every cell once in each round, in an order of its own: what drifts, drifts for all. */
async function runRounds(
  daemon: DaemonProcess,
  prepared: readonly Prepared[],
  options: RestoreOptions,
): Promise<Sample[]> {
  const { rounds, roundsForMs, seed, signal, say } = options;
  const random = randomFrom(seed);
  const began = performance.now();
  const samples = prepared.map(({ fn, onDemandFaults }): Sample => ({
    case: cellName(fn.name, 'on demand', 'dropped'),
    ...{ metric: 'faults served', unit: 'count', value: onDemandFaults },
  }));
  const cells = cellsOf(prepared.map(({ fn }) => fn));
  for (let round = 1; round <= rounds; round++) {
    const elapsed = performance.now() - began;
    if (round > 1 && elapsed + elapsed / (round - 1) > roundsForMs) {
      say(`no time for more than ${round - 1} of ${rounds} rounds`);
      break;
    }
    say(`round ${round} of ${rounds}: ${cells.length} restores`);
    for (const cell of shuffled(cells, random)) {
      signal.throwIfAborted();
      const of = prepared.find(({ fn }) => fn === cell.fn);
      if (of) samples.push(...(await runCell(daemon, of, cell)));
    }
  }
  return samples;
}

/** Restores of `hello` and gVisor's in turn; nothing where gVisor cannot run, and why. */
async function compareWithGvisor(
  daemon: DaemonProcess,
  prepared: readonly Prepared[],
  { rounds, signal, say }: RestoreOptions,
): Promise<{ samples: Sample[]; version: { runsc?: string } }> {
  const hello = prepared.find(({ fn }) => fn.name === SMALLEST);
  if (hello === undefined) return { samples: [], version: {} };
  const gvisor = await GvisorYardstick.prepare({ signal, say });
  if ('unavailable' in gvisor) {
    say(`no comparison with gVisor: ${gvisor.unavailable}`);
    return { samples: [], version: {} };
  }
  const samples: Sample[] = [];
  try {
    for (let round = 1; round <= 2 * rounds; round++) {
      say(`gVisor, round ${round} of ${2 * rounds}`);
      const measured = await againstGvisor(daemon, hello, gvisor);
      // The first one finds nothing of runsc in the page cache.
      if (round > 1) samples.push(...measured);
    }
  } finally {
    await gvisor.dispose();
  }
  return { samples, version: { runsc: gvisor.version } };
}

async function costsOfClones(
  daemon: DaemonProcess,
  prepared: readonly Prepared[],
  { clones, sustainedMs, say }: RestoreOptions,
): Promise<Sample[]> {
  const hello = prepared.find(({ fn }) => fn.name === SMALLEST);
  if (hello === undefined) return [];
  const samples: Sample[] = [];
  if (clones > 0) {
    say(`${clones} clones of ${SMALLEST} at once`);
    samples.push(...(await clonesAtRest(daemon, hello, clones)));
    const forks = (): Promise<Sample[]> => clonesAtRest(daemon, hello, clones, 'forks at rest');
    samples.push(...(await withSource(daemon, hello, forks)));
    samples.push(...(await privateOfTen(daemon, hello)));
  }
  if (sustainedMs > 0) {
    say(`restores of ${SMALLEST} one after the other for ${sustainedMs} ms`);
    const { cores } = describeMachine();
    samples.push(...(await sustained(daemon, hello, sustainedMs, cores)));
    const forks = (): Promise<Sample[]> =>
      sustained(daemon, hello, sustainedMs, cores, 'sustained, forked');
    samples.push(...(await withSource(daemon, hello, forks)));
  }
  return samples;
}
