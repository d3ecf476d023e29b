/** `bench gvisor`: how long gVisor takes to restore `hello`, to hold our own figures against. */
import { GvisorYardstick, type RestoreOptions } from './gvisor.js';
import { describeMachine, sparklerVersion } from './machine.js';
import { randomFrom, shuffled } from './random.js';
import { type Report, rowsOf, type Sample } from './report.js';

export interface GvisorBenchOptions {
  readonly rounds: number;
  /** Chooses the order of the cases in each round. */
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Told what goes on. */
  readonly say: (text: string) => void;
}

const CASES: Readonly<Record<string, RestoreOptions>> = {
  'gvisor restore': { cold: false },
  'gvisor restore, not cached': { cold: true },
  'gvisor restore, sandbox ahead': { cold: false, ahead: true },
};

/**
 * Runs everything; what it started is gone afterwards, on every path.
 * @throws Error that says why, when gVisor cannot run on this host
 */
export async function benchGvisor(options: GvisorBenchOptions): Promise<Report> {
  const { rounds, seed, signal, say } = options;
  const machine = describeMachine();
  const yardstick = await GvisorYardstick.prepare({ signal, say });
  if ('unavailable' in yardstick) throw new Error(`no yardstick: ${yardstick.unavailable}`);
  const { version: runsc, platform } = yardstick;
  const random = randomFrom(seed);
  const samples: Sample[] = [];
  try {
    // The first one finds nothing of runsc in the page cache: it does not count.
    await yardstick.restoreOnce({ cold: false });
    for (let round = 1; round <= rounds; round++) {
      say(`round ${round} of ${rounds}`);
      for (const [name, restore] of shuffled(Object.entries(CASES), random)) {
        samples.push(...samplesOf(name, await yardstick.restoreOnce(restore)));
      }
    }
  } finally {
    await yardstick.dispose();
  }
  return {
    machine: { ...machine, accelerator: `gVisor ${platform}` },
    versions: { sparkler: sparklerVersion(), node: process.versions.node, runsc },
    rows: rowsOf(samples, Object.keys(CASES)),
  };
}

type Restored = Awaited<ReturnType<GvisorYardstick['restoreOnce']>>;

function samplesOf(name: string, restored: Restored): Sample[] {
  const ms = (metric: string, value: number): Sample => ({ case: name, metric, unit: 'ms', value });
  return [
    ms('firstResponse', restored.firstResponseMs),
    ms('restored', restored.restoredMs),
    ms('teardown', restored.teardownMs),
    { case: name, metric: 'resident', unit: 'MiB', value: restored.residentMiB },
    { case: name, metric: 'own', unit: 'MiB', value: restored.ownMiB },
  ];
}
