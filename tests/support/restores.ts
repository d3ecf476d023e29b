/** Restores by strategy without a daemon: the strategies' own functions over a driver. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { GuestSession, SEED_BYTES } from '../../src/guest/index.js';
import {
  recordedEvent,
  SnapshotStore,
  strategyOf,
  WorkingSets,
  type LoadedSnapshot,
  type PreparedRestore,
  type RegionSettings,
  type RestoreOptions,
  type StrategyName,
} from '../../src/snapshot/index.js';
import {
  bootMachine,
  restoreMachine,
  type Machine,
  type MachineSpec,
} from '../../src/vmm/index.js';
import { REPOSITORY } from './daemon.js';
import type { QemuUnderTest } from './qemu.js';

const LIMIT_MS = 30_000;
const RESULT_BYTES = 1024 * 1024;

/** A VM with the session to its guest. */
export interface LiveVm {
  readonly machine: Machine;
  readonly session: GuestSession;
}

/** A restored VM that stands paused. */
export interface Restored extends LiveVm {
  readonly prepared: PreparedRestore;
}

/** Boots, restores and snapshots the guests of one driver; `end` ends them all. */
export class RestoreBench {
  readonly under: QemuUnderTest;
  readonly memMiB: number;
  readonly store: SnapshotStore;
  /** What was dropped because it was damaged. */
  readonly dropped: string[] = [];
  #open: Machine[] = [];

  constructor(under: QemuUnderTest, memMiB: number) {
    this.under = under;
    this.memMiB = memMiB;
    const tools = { nativeDir: join(REPOSITORY, 'build/native'), limitMs: LIMIT_MS };
    this.store = new SnapshotStore({ dataDir: under.dir, snapshotDirs: [], tools });
  }

  async boot(): Promise<LiveVm> {
    const { driver, config } = this.under;
    const machine = this.#keep(await bootMachine(driver, this.#spec(), config.timeouts));
    const session = this.#session(machine);
    await session.hello;
    await session.startInstance({ runtime: 'python3', handler: 'app.handler', env: {} });
    return { machine, session };
  }

  /** Freezes the guest, as a daemon does, and takes a snapshot; the VM stays paused. */
  async snapshot(
    { machine, session }: LiveVm,
    ssId: string,
    regions: Partial<RegionSettings> = {},
  ): Promise<LoadedSnapshot> {
    const plan = this.store.plan(ssId, { regions });
    await this.store.prepare(plan);
    await session.freeze();
    await machine.pause();
    await machine.snapshot(plan.files);
    const { vmm, version, machine: type, cpuModel, accelerator } = this.under.driver.capabilities;
    await this.store.commit(plan, {
      ...{ vmId: machine.spec.vmId, functionName: 'f', image: 'i', kernel: 'k', codeId: 'c' },
      ...{ imageId: this.under.imageId, kernelId: this.under.kernelId, kernelArgs: '' },
      ...{ vcpus: 1, memMiB: this.memMiB, instances: session.instances },
      vmm: { vmm, version, machine: type, cpuModel, accelerator },
    });
    return this.store.loadAnywhere({ ssId });
  }

  sets(loaded: LoadedSnapshot): WorkingSets {
    return new WorkingSets(loaded, this.store, (message) => this.dropped.push(message));
  }

  /** Restores by a strategy: the VM stands paused. */
  async restore(
    loaded: LoadedSnapshot,
    name: StrategyName,
    options: RestoreOptions = {},
  ): Promise<Restored> {
    const { driver, config } = this.under;
    const spec = this.#spec();
    const prepared = await strategyOf(name, driver.capabilities).prepare({
      sets: this.sets(loaded),
      cache: this.store.cache,
      tools: this.store.tools,
      options,
      event: recordedEvent('{}'),
      dir: spec.dir,
      keepTraces: 8,
      mayRecord: true,
      limitMs: LIMIT_MS,
    });
    const observed = { ...spec, onProcess: (pid: number) => prepared.onProcess?.(pid) };
    const files = { memoryPath: loaded.memoryPath, statePath: loaded.statePath };
    const { memory } = prepared;
    const machine = this.#keep(
      await restoreMachine(driver, observed, files, memory, config.timeouts),
    );
    const session = this.#session(machine);
    session.adopt(loaded.manifest.instances);
    return { machine, session, prepared };
  }

  /** Lets a restored guest run. */
  async wake({ machine, session }: LiveVm): Promise<void> {
    const confirmed = session.restore(randomBytes(SEED_BYTES), BigInt(Date.now()) * 1_000_000n);
    confirmed.catch(() => undefined);
    await machine.resume();
    await confirmed;
  }

  async invoke({ session }: LiveVm, event: object): Promise<unknown> {
    const [instance = 0] = session.instances;
    const context = { requestId: 'r', functionName: 'f', memoryMiB: this.memMiB };
    const { json } = await session.invoke(instance, JSON.stringify(event), context, LIMIT_MS);
    return JSON.parse(json.toString());
  }

  /** Ends all VMs there are. */
  async end(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((machine) => machine.close()));
  }

  #spec(): MachineSpec {
    const { kernelPath, initrdPath, drives, dir } = this.under;
    return {
      vmId: `test-${randomBytes(4).toString('hex')}`,
      ...{ vcpus: 1, memMiB: this.memMiB, kernelPath, initrdPath, kernelArgs: '', drives },
      dir: mkdtempSync(join(dir, 'vm-')),
    };
  }

  #keep(machine: Machine): Machine {
    this.#open.push(machine);
    return machine;
  }

  #session(machine: Machine): GuestSession {
    const { timeouts } = this.under.config;
    return new GuestSession(machine.channel, {
      helloTimeoutMs: timeouts.bootMs,
      startTimeoutMs: timeouts.instanceStartMs,
      restoreTimeoutMs: timeouts.restoreConfirmMs,
      exitTimeoutMs: timeouts.closeMs,
      pingTimeoutMs: timeouts.pauseMs,
      freezeTimeoutMs: timeouts.freezeMs,
      logBytes: 4096,
      resultBytes: RESULT_BYTES,
    });
  }
}
