/** `bench start`: how long the ways to start and invoke `hello` take, and what kills leave. */
import { fileURLToPath } from 'node:url';
import { Home } from './harness.js';
import { killLoop, type KillRound } from './kill.js';
import { describeMachine, describeVersions } from './machine.js';
import { randomFrom, shuffled } from './random.js';
import { type Limit, type Report, rowsOf, type Sample } from './report.js';
import {
  HELLO,
  HELLO_FOLDER,
  SCENARIO_NAMES,
  scenarios,
  type Stage,
  timedHello,
} from './scenarios.js';

export interface StartOptions {
  readonly rounds: number;
  readonly kills: number;
  /** Warm invocations in one round. */
  readonly warmCalls: number;
  /** How long an idle daemon rests before its memory is read, ms. */
  readonly restMs: number;
  /** After so long no further round is begun, ms. */
  readonly roundsForMs: number;
  readonly seed: number;
  /** Names of SCENARIO_NAMES and `kill -9`; all when absent. */
  readonly only?: readonly string[] | undefined;
  readonly signal: AbortSignal;
  /** Told what goes on. */
  readonly say: (text: string) => void;
}

/** Warm calls before anything is measured: the client's and the daemon's code is compiled then. */
const WARM_UP_CALLS = 100;

const KILLS = 'kill -9';

/** What may be chosen with `only`. */
export const START_CASES: readonly string[] = [...SCENARIO_NAMES, KILLS];

/** What is promised in software emulation on 2 cores. */
export const START_LIMITS: readonly Limit[] = [
  { case: 'cold boot', metric: 'request', of: 'median', atMost: 6000 },
  { case: 'snapshot', metric: 'request', of: 'median', atMost: 50 },
  { case: 'restore', metric: 'request', of: 'median', atMost: 120 },
  { case: 'restore, VMM ahead', metric: 'request', of: 'median', atMost: 60 },
  { case: 'warm', metric: 'less handler', of: 'median', atMost: 10 },
  { case: 'warm', metric: 'less handler, p99', of: 'median', atMost: 25 },
  { case: "daemon's part of warm", metric: 'less handler', of: 'median', atMost: 1.5 },
  { case: 'daemon at rest', metric: 'resident', of: 'max', atMost: 120 },
  { case: KILLS, metric: 'leftovers', of: 'max', atMost: 0 },
  { case: KILLS, metric: 'damaged snapshots', of: 'max', atMost: 0 },
  { case: KILLS, metric: 'lost snapshots', of: 'max', atMost: 0 },
];

const ORDER = [
  ...['cold boot', 'snapshot', 'second snapshot', 'restore', 'restore, forked'],
  ...['restore, VMM ahead', 'warm'],
  ...["daemon's part of warm", 'daemon at rest', KILLS],
];

/** Runs everything; what it started is gone afterwards, on every path. */
export async function benchStart(options: StartOptions): Promise<Report> {
  const machine = describeMachine();
  const { signal, seed, kills, say } = options;
  const home = new Home();
  const fakeHome = new Home();
  const samples: Sample[] = [];
  let info: Readonly<Record<string, unknown>>;
  try {
    const stage = await setStage(options, home, fakeHome);
    info = stage.daemon.info;
    samples.push(...(await runRounds(options, stage)));
  } finally {
    await Promise.all([home.dispose(), fakeHome.dispose()]);
  }
  if (kills > 0 && wanted(options, KILLS)) {
    const onRound = (round: KillRound): void => say(describeKill(round, kills));
    const rounds = await killLoop({ rounds: kills, seed, signal, onRound });
    samples.push(...rounds.flatMap(killSamples));
  }
  return {
    machine: { ...machine, accelerator: String(info['accelerator']) },
    versions: await describeVersions(info),
    rows: rowsOf(samples, ORDER),
  };
}

async function setStage(options: StartOptions, home: Home, fakeHome: Home): Promise<Stage> {
  const { signal, warmCalls, restMs, say } = options;
  say('preparing: a VM that has served hello, and a snapshot of it');
  const daemon = await home.daemon(signal);
  await daemon.deploy(HELLO_FOLDER, HELLO);
  const warmVm = (await timedHello(daemon, 'cold')).result.vmId;
  const { ssId } = await daemon.client.snapshots.take({ vmId: warmVm });
  const program = fileURLToPath(import.meta.resolve('./fake-daemon.js'));
  const fake = await fakeHome.start([program, fakeHome.dataDir], signal);
  await fake.deploy(HELLO_FOLDER, HELLO);
  const fakeVm = (await timedHello(fake, 'cold')).result.vmId;
  for (let call = 0; call < WARM_UP_CALLS; call++) {
    await timedHello(daemon, 'warm', { vmId: warmVm });
    await timedHello(fake, 'warm', { vmId: fakeVm });
  }
  const parts = { warmCalls, restMs, signal, fake: { daemon: fake, vmId: fakeVm } };
  return { daemon, warmVm, ssId, ...parts };
}

/** Every scenario once in each round, in an order of its own: what drifts, drifts for all. */
async function runRounds(options: StartOptions, stage: Stage): Promise<Sample[]> {
  const { rounds, roundsForMs, seed, signal, say } = options;
  const chosen = scenarios(stage).filter(({ name }) => wanted(options, name));
  const random = randomFrom(seed);
  const began = performance.now();
  const samples: Sample[] = [];
  for (let round = 1; round <= rounds && chosen.length > 0; round++) {
    const elapsed = performance.now() - began;
    if (round > 1 && elapsed + elapsed / (round - 1) > roundsForMs) {
      say(`no time for more than ${round - 1} of ${rounds} rounds`);
      break;
    }
    for (const scenario of shuffled(chosen, random)) {
      signal.throwIfAborted();
      say(`round ${round} of ${rounds}: ${scenario.name}`);
      samples.push(...(await scenario.run()));
    }
  }
  return samples;
}

function wanted({ only }: StartOptions, name: string): boolean {
  return only?.includes(name) ?? true;
}

function killSamples({ leftovers, damaged, lost, checked }: KillRound): Sample[] {
  const counts = {
    leftovers: leftovers.length,
    'damaged snapshots': damaged.length,
    'lost snapshots': lost.length,
    'snapshots checked': checked,
  };
  return Object.entries(counts).map(([metric, value]) => ({
    ...{ case: KILLS, metric, unit: 'count', value },
  }));
}

function describeKill(round: KillRound, of: number): string {
  const { killedAfterMs, done, checked } = round;
  const work = Object.entries(done).map(([name, count]) => `${count} ${name}`);
  const trouble = [
    ...round.leftovers.map((what) => `  left: ${what}`),
    ...round.damaged.map((what) => `  damaged: ${what}`),
    ...round.lost.map((what) => `  lost: ${what}`),
    ...round.problems.map((what) => `  failed under load: ${what}`),
  ];
  const first = `kill ${round.round} of ${of}: after ${killedAfterMs.toFixed(0)} ms under load`;
  return [`${first} (${work.join(', ')}), ${checked} snapshots checked`, ...trouble].join('\n');
}
