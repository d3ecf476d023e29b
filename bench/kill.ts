/**
 * Kills a daemon under load at random moments, starts the next one on the same data folder, and
 * looks at what it finds: nothing may be left of the VMs, no snapshot may be damaged or lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type DaemonProcess, Home } from './harness.js';
import { Load, type LoadCounts } from './load.js';
import { randomFrom } from './random.js';
import { HELLO, HELLO_FOLDER, timedHello } from './scenarios.js';

export interface KillOptions {
  readonly rounds: number;
  /** Chooses the moments. */
  readonly seed: number;
  /** The daemon is killed at a random moment of this time under load, ms. Default: 8 s. */
  readonly loadMs?: number;
  /** What is there so long after the next start is a leftover, ms. Default: 10 s. */
  readonly settleMs?: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: KillRound) => void;
}

/** What one kill did. */
export interface KillRound {
  /** From 1. */
  readonly round: number;
  /** How long the daemon was under load, ms. */
  readonly killedAfterMs: number;
  /** What the daemon had done by then. */
  readonly done: LoadCounts;
  /** Requests that failed before the kill: nothing should. */
  readonly problems: readonly string[];
  /** Processes, cgroups and files that belong to no live VM. */
  readonly leftovers: readonly string[];
  /** Snapshots that the next daemon lists. */
  readonly checked: number;
  /** Those that cannot be restored or answer wrongly, and how. */
  readonly damaged: readonly string[];
  /** Snapshots that were answered for, never deleted, and are not listed any more. */
  readonly lost: readonly string[];
}

interface Findings {
  readonly seen: Pick<KillRound, 'leftovers' | 'checked' | 'damaged' | 'lost'>;
  /** Booted meanwhile for the next round. */
  readonly bootedVm: string;
}

/** In software emulation a cold boot under load takes about as long: kills meet one under way. */
const LOAD_MS = 8_000;
const SETTLE_MS = 10_000;
/** Snapshots that stay for the next round. */
const SURVIVORS = 3;

/** Runs the rounds; the daemon, its VMs and its folder are gone afterwards, on every path. */
export async function killLoop(options: KillOptions): Promise<KillRound[]> {
  const { rounds, seed, signal, loadMs = LOAD_MS, onRound } = options;
  const random = randomFrom(seed);
  const home = new Home();
  try {
    let daemon = await home.daemon(signal);
    await daemon.deploy(HELLO_FOLDER, HELLO);
    let bootedVm = await boot(daemon);
    const kept = new Set([(await daemon.client.snapshots.take({ vmId: bootedVm })).ssId]);
    const results: KillRound[] = [];
    for (let round = 1; round <= rounds; round++) {
      const [ssId] = kept;
      if (ssId === undefined) throw new Error('no snapshot is left to go on with');
      const killedAfterMs = random() * loadMs;
      const load = new Load(daemon, { bootedVm, ssId, kept, random, name: `r${round}` });
      try {
        await sleep(killedAfterMs, undefined, { ...(signal && { signal }) });
      } finally {
        load.stop();
        await daemon.kill();
        await load.ended;
      }
      daemon = await home.daemon(signal);
      const found = await inspect(home, daemon, kept, options);
      const { done, problems } = load;
      const result = { round, killedAfterMs, done, problems, ...found.seen };
      bootedVm = found.bootedVm;
      results.push(result);
      onRound?.(result);
    }
    return results;
  } finally {
    await home.dispose();
  }
}

async function boot(daemon: DaemonProcess): Promise<string> {
  return (await timedHello(daemon, 'cold')).result.vmId;
}

/** What the daemon that just started finds. `kept` becomes what it has from now on. */
async function inspect(
  home: Home,
  daemon: DaemonProcess,
  kept: Set<string>,
  { settleMs = SETTLE_MS, signal }: KillOptions,
): Promise<Findings> {
  const until = performance.now() + settleMs;
  const { client } = daemon;
  const listed = (await client.snapshots.list()).map((snapshot) => snapshot.ssId);
  const lost = [...kept].filter((ssId) => !listed.includes(ssId));
  const damaged: string[] = [];
  for (const ssId of listed) {
    const damage = await damageOf(daemon, ssId);
    if (damage !== undefined) damaged.push(`${ssId}: ${damage}`);
  }
  const bootedVm = await boot(daemon);
  const rest = Math.max(0, until - performance.now());
  await sleep(rest, undefined, { ...(signal && { signal }) });
  const live = (await client.vms.list()).map(({ vmId }) => vmId);
  const leftovers = home.leftovers(live);
  // The first one is what the load restores: it stays as long as it is there.
  const survivors = [...new Set([...kept, ...listed])].filter((id) => listed.includes(id));
  for (const ssId of survivors.splice(SURVIVORS)) await client.snapshots.delete(ssId);
  kept.clear();
  for (const ssId of survivors) kept.add(ssId);
  return { bootedVm, seen: { leftovers, checked: listed.length, damaged, lost } };
}

/** Restores the snapshot; undefined when its guest answers as it should. */
async function damageOf(daemon: DaemonProcess, ssId: string): Promise<string | undefined> {
  const { client } = daemon;
  try {
    const params = JSON.stringify({ name: ssId });
    const { result, vmId } = await client.invoke({ func_name: HELLO.func_name, ssId, params });
    await client.vms.delete(vmId);
    const { message } = JSON.parse(result) as { message?: unknown };
    return message === `Hello, ${ssId}!` ? undefined : `answers ${result}`;
  } catch (error) {
    return String(error);
  }
}
