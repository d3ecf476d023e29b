/** What the driver suite works with: a driver under test, its VMs, and their end. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { GuestSession, SEED_BYTES } from '../guest/index.js';
import type {
  Drive,
  MachineSpec,
  MemorySource,
  SnapshotFiles,
  VmmDriver,
  VmState,
} from './driver.js';
import { bootMachine, restoreMachine, type Machine, type MachineLimits } from './machine.js';
import type { MemoryLayout } from './memory.js';

/** A driver and what its guests are made of. */
export interface DriverUnderTest {
  readonly driver: VmmDriver;
  readonly kernelPath: string;
  readonly initrdPath: string;
  /**
   * The root, and a code drive whose `app.handler` (runtime `runtime`) counts: it keeps a number
   * in memory, adds `event.add`, and returns `{"count": n}`.
   */
  readonly drives: readonly Drive[];
  readonly runtime: string;
  readonly memMiB: number;
  /** How long each step may take, milliseconds; a boot until HELLO and READY `bootMs` each. */
  readonly limits: MachineLimits;
  readonly bootMs: number;
  /** Makes a guest's VMM end from outside, as by `kill -9`. */
  readonly kill: (machine: Machine) => void;
  /** Things of this driver's that are left on the host: processes, cgroups. None: empty. */
  readonly leftovers: () => Promise<readonly string[]>;
  /** A spec that cannot boot: a kernel that is none, a file that is missing. */
  readonly broken: (spec: MachineSpec) => MachineSpec;
  readonly dispose: () => Promise<void>;
}

export interface Vm {
  readonly machine: Machine;
  readonly session: GuestSession;
}

/** The source that every driver has. */
export const PLAIN = { kind: 'file' } as const;

/** Makes what the tests need and ends it afterwards. */
export class Bench {
  readonly #make: () => Promise<DriverUnderTest>;
  #under: DriverUnderTest | undefined;
  #dir = '';
  #open: Machine[] = [];
  /** A snapshot that most tests begin with; outlives them. */
  #base: Promise<{ files: SnapshotFiles; instances: readonly number[] }> | undefined;

  constructor(make: () => Promise<DriverUnderTest>) {
    this.#make = make;
  }

  get under(): DriverUnderTest {
    if (this.#under === undefined) throw new TypeError('the driver under test was not made');
    return this.#under;
  }

  async open(): Promise<void> {
    this.#dir = await mkdtemp(join(tmpdir(), 'conformance-'));
    this.#under = await this.#make();
  }

  async tidy(): Promise<void> {
    await Promise.all(this.#open.map((machine) => machine.close()));
    this.#open = [];
    for (const name of await readdir(this.#dir)) {
      if (name.startsWith(BASE)) continue;
      await rm(join(this.#dir, name), { recursive: true, force: true });
    }
  }

  async dispose(): Promise<void> {
    await this.#under?.dispose();
    await rm(this.#dir, { recursive: true, force: true });
  }

  async spec(): Promise<MachineSpec> {
    const { kernelPath, initrdPath, drives, memMiB } = this.under;
    const dir = await mkdtemp(join(this.#dir, 'vm-'));
    const vmId = `conformance-${randomBytes(4).toString('hex')}`;
    return { vmId, vcpus: 1, memMiB, kernelPath, initrdPath, kernelArgs: '', drives, dir };
  }

  /** A running VM with a live instance, its count 0, in the quickest way: a clone. */
  async vm(): Promise<Vm> {
    this.#base ??= this.#makeBase();
    const { files, instances } = await this.#base;
    return this.restore(files, instances);
  }

  /** The same, booted. */
  async boot(memory?: MemoryLayout): Promise<Vm> {
    const spec = { ...(await this.spec()), ...(memory && { memory }) };
    const machine = await this.#keep(bootMachine(this.under.driver, spec, this.under.limits));
    const session = this.#session(machine);
    await session.hello;
    await session.startInstance({ runtime: this.under.runtime, handler: 'app.handler', env: {} });
    return { machine, session };
  }

  /** Boots `spec` and waits for HELLO; on failure all is closed. */
  async bootAs(spec: MachineSpec): Promise<void> {
    const machine = await this.#keep(bootMachine(this.under.driver, spec, this.under.limits));
    try {
      await this.#session(machine).hello;
    } finally {
      await machine.close();
    }
  }

  async restorePaused(files: SnapshotFiles, memory?: MemoryLayout): Promise<Machine> {
    const spec = { ...(await this.spec()), ...(memory && { memory }) };
    const { driver, limits } = this.under;
    return this.#keep(restoreMachine(driver, spec, files, PLAIN, limits));
  }

  /** A VM that has counted to 7, restored, paused after it has confirmed that, and to be forked. */
  async withClones(): Promise<Vm & { readonly files: SnapshotFiles }> {
    const vm = await this.vm();
    await this.add(vm, 7);
    const files = await this.snapshot(vm);
    const spec = { ...(await this.spec()), hasClones: true };
    const machine = await this.#keep(
      restoreMachine(this.under.driver, spec, files, PLAIN, this.under.limits),
    );
    const session = await this.#adopt(machine, vm.session.instances);
    await session.freeze();
    await machine.pause();
    return { machine, session, files };
  }

  async fork(source: Vm & { readonly files: SnapshotFiles }): Promise<Vm> {
    const from: MemorySource = { kind: 'fork', vmId: source.machine.spec.vmId };
    const machine = await this.#keep(
      restoreMachine(this.under.driver, await this.spec(), source.files, from, this.under.limits),
    );
    return { machine, session: await this.#adopt(machine, source.session.instances) };
  }

  async #adopt(machine: Machine, instances: readonly number[]): Promise<GuestSession> {
    const session = this.#session(machine);
    session.adopt(instances);
    const confirmed = session.restore(randomBytes(SEED_BYTES), BigInt(Date.now()) * 1_000_000n);
    await machine.resume();
    await confirmed;
    return session;
  }

  async restore(
    files: SnapshotFiles,
    instances: readonly number[],
    memory?: MemoryLayout,
  ): Promise<Vm> {
    const machine = await this.restorePaused(files, memory);
    return { machine, session: await this.#adopt(machine, instances) };
  }

  /** Pauses the VM and takes a snapshot; it stays paused. */
  async snapshot(vm: Vm): Promise<SnapshotFiles> {
    await vm.machine.pause();
    return this.take(vm.machine);
  }

  async take(machine: Machine): Promise<SnapshotFiles> {
    const files = this.files();
    await machine.snapshot(files);
    return files;
  }

  files(name = randomBytes(4).toString('hex')): SnapshotFiles {
    return {
      memoryPath: join(this.#dir, `${name}.memory`),
      statePath: join(this.#dir, `${name}.state`),
    };
  }

  async digest({ memoryPath, statePath }: SnapshotFiles): Promise<string[]> {
    const contents = await Promise.all([readFile(memoryPath), readFile(statePath)]);
    return contents.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
  }

  /** Invokes the counting handler. */
  async add(vm: Vm, add: number): Promise<number> {
    const [instance] = vm.session.instances;
    if (instance === undefined) throw new TypeError('the guest has no instance');
    const context = { requestId: 'r', functionName: 'count', memoryMiB: this.under.memMiB };
    const { json } = await vm.session.invoke(
      instance,
      JSON.stringify({ add }),
      context,
      this.under.bootMs,
    );
    return (JSON.parse(json.toString()) as { count: number }).count;
  }

  async bring(machine: Machine, state: VmState): Promise<void> {
    if (state === 'paused') await machine.pause();
    if (state === 'closed') await machine.close();
    if (state === 'failed') {
      this.under.kill(machine);
      await machine.exited;
    }
    expect(machine.state).toBe(state);
  }

  /** Long enough for a running guest to have answered. */
  moment(): Promise<string> {
    return new Promise((resolve) => setTimeout(resolve, MOMENT_MS, 'a moment'));
  }

  async #makeBase(): Promise<{ files: SnapshotFiles; instances: readonly number[] }> {
    const { machine, session } = await this.boot();
    const instances = session.instances;
    const files = this.files(BASE);
    await machine.pause();
    await machine.snapshot(files);
    await machine.close();
    return { files, instances };
  }

  async #keep(starting: Promise<Machine>): Promise<Machine> {
    const machine = await starting;
    this.#open.push(machine);
    return machine;
  }

  #session(machine: Machine): GuestSession {
    const { bootMs, limits } = this.under;
    return new GuestSession(machine.channel, {
      helloTimeoutMs: bootMs,
      startTimeoutMs: bootMs,
      restoreTimeoutMs: bootMs,
      exitTimeoutMs: limits.closeMs,
      pingTimeoutMs: limits.pauseMs,
      freezeTimeoutMs: limits.pauseMs,
      logBytes: LOG_BYTES,
      resultBytes: 6 * 1024 * 1024,
    });
  }
}

/** A warm answer takes a hundredth of it. */
const MOMENT_MS = 300;
const LOG_BYTES = 4096;
/** Name of the snapshot that most tests begin with. */
const BASE = 'base';
