/** All that a daemon does, at the same time: boots, restores, warm calls, snapshots, uploads. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from './harness.js';
import type { Random } from './random.js';
import { HELLO, timedHello } from './scenarios.js';

export interface LoadOptions {
  /** A booted VM that has served `hello`. */
  readonly bootedVm: string;
  /** The snapshot to restore. */
  readonly ssId: string;
  /** Snapshots that the daemon has answered for: kept up to date, also when it is killed. */
  readonly kept: Set<string>;
  readonly random: Random;
  /** Begins the ids of the snapshots that are taken. */
  readonly name: string;
}

/** How often each thing was done. */
export type LoadCounts = Readonly<Record<Work, number>>;
type Work = 'boots' | 'restores' | 'warm calls' | 'snapshots' | 'uploads';

/** The longest pause between two uploads, and between two snapshots of the same VM, ms. */
const PAUSE_MS = 200;
const WARM_CALLS_BETWEEN = 3;
/** Snapshots that one VM's worker leaves; older ones are deleted. */
const SNAPSHOTS_KEPT = 2;

const UPLOADED = { ...HELLO, func_name: 'uploaded' };

/** Runs from its making until `stop()`. */
export class Load {
  readonly done: Record<Work, number> = {
    ...{ boots: 0, restores: 0, 'warm calls': 0, snapshots: 0, uploads: 0 },
  };
  /** What failed before the load was stopped. */
  readonly problems: string[] = [];
  /** Resolves when no call is under way any more. */
  readonly ended: Promise<unknown>;
  readonly #daemon: DaemonProcess;
  readonly #options: LoadOptions;
  #stopped = false;
  #taken = 0;

  constructor(daemon: DaemonProcess, options: LoadOptions) {
    this.#daemon = daemon;
    this.#options = options;
    const workers = [
      () => this.#bootAndSnapshot(),
      () => this.#restore(),
      () => this.#snapshotRestored(),
      () => this.#snapshotAgain(this.#options.bootedVm),
      () => this.#upload(),
    ];
    this.ended = Promise.all(workers.map((work) => this.#repeat(work)));
  }

  /** Calls that fail from now on are no problem, and no new ones are begun. */
  stop(): void {
    this.#stopped = true;
  }

  async #repeat(work: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      try {
        await work();
      } catch (error) {
        if (this.#running) this.problems.push(String(error));
        await this.#pause();
      }
    }
  }

  /** Asked anew after each wait: it may have been stopped meanwhile. */
  get #running(): boolean {
    return !this.#stopped;
  }

  async #pause(): Promise<void> {
    await sleep(this.#options.random() * PAUSE_MS);
  }

  async #bootAndSnapshot(): Promise<void> {
    const { vmId } = (await timedHello(this.#daemon, 'cold')).result;
    this.done.boots++;
    const ssId = await this.#take(vmId);
    await this.#daemon.client.vms.delete(vmId);
    await this.#forget(ssId);
  }

  async #restore(): Promise<void> {
    const { ssId } = this.#options;
    const { vmId } = (await timedHello(this.#daemon, 'snapshot', { ssId })).result;
    this.done.restores++;
    await this.#daemon.client.vms.delete(vmId);
  }

  /** A restored VM's memory is private to its VMM, a booted one's is a file: both are saved. */
  async #snapshotRestored(): Promise<void> {
    const { ssId } = this.#options;
    const { vmId } = (await timedHello(this.#daemon, 'snapshot', { ssId })).result;
    await this.#snapshotAgain(vmId);
  }

  async #snapshotAgain(vmId: string): Promise<void> {
    const mine: string[] = [];
    while (this.#running) {
      for (let call = 0; call < WARM_CALLS_BETWEEN; call++) {
        await timedHello(this.#daemon, 'warm', { vmId });
        this.done['warm calls']++;
      }
      mine.push(await this.#take(vmId));
      const oldest = mine.length > SNAPSHOTS_KEPT ? mine.shift() : undefined;
      if (oldest !== undefined) await this.#forget(oldest);
      await this.#pause();
    }
  }

  async #upload(): Promise<void> {
    const source = `def handler(event, context):\n    return ${this.#options.random()}\n`;
    await this.#daemon.deployFiles({ 'app.py': source }, UPLOADED);
    this.done.uploads++;
    await this.#pause();
  }

  async #take(vmId: string): Promise<string> {
    const ssId = `${this.#options.name}-${++this.#taken}`;
    await this.#daemon.client.snapshots.take({ vmId, ssId });
    this.#options.kept.add(ssId);
    this.done.snapshots++;
    return ssId;
  }

  /** No promise is left about it once its deletion is asked for. */
  async #forget(ssId: string): Promise<void> {
    this.#options.kept.delete(ssId);
    await this.#daemon.client.snapshots.delete(ssId);
  }
}
