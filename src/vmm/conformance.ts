/**
 * What every driver must do, as tests: the same suite runs over the fake and over real VMMs. A test
 * file calls `describeDriver` with how to make the driver and a guest that counts.
 */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createHash, randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
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
import { TRANSITIONS, type MachineOperation } from './transitions.js';

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

const STATES: readonly VmState[] = ['running', 'paused', 'failed', 'closed'];
const OPERATIONS = Object.keys(TRANSITIONS) as MachineOperation[];
interface Vm {
  readonly machine: Machine;
  readonly session: GuestSession;
}

/** Registers the suite. `make` runs once, before the tests. */
export function describeDriver(name: string, make: () => Promise<DriverUnderTest>): void {
  describe(`driver ${name}`, () => {
    const bench = new Bench(make);
    beforeAll(() => bench.open());
    afterEach(() => bench.tidy());
    afterAll(() => bench.dispose());
    lifeCycle(bench);
    snapshots(bench);
    failures(bench);
    forks(bench);
  });
}

/** Clones that go on where a VM stands that was restored before them. */
function forks(bench: Bench): void {
  const can = (): boolean => bench.under.driver.capabilities.memorySources.includes('fork');

  it('forks clones of a restored VM, which live apart', async ({ skip }) => {
    skip(!can(), 'the driver cannot fork');
    const source = await bench.withClones();
    const vms = await Promise.all([1, 2, 3].map(() => bench.fork(source)));
    expect(await Promise.all(vms.map((vm, n) => bench.add(vm, n)))).toEqual([7, 8, 9]);
    expect(await Promise.all(vms.map((vm) => bench.add(vm, 10)))).toEqual([17, 18, 19]);
    const late = await bench.fork(source);
    expect(await bench.add(late, 0)).toBe(7);
    for (const { machine } of vms) await machine.close();
    expect(await bench.add(late, 1)).toBe(8);
  });

  it('takes snapshots of a forked clone', async ({ skip }) => {
    skip(!can(), 'the driver cannot fork');
    const source = await bench.withClones();
    const vm = await bench.fork(source);
    expect(await bench.add(vm, 5)).toBe(12);
    const files = await bench.snapshot(vm);
    await vm.machine.resume();
    expect(await bench.add(vm, 1)).toBe(13);
    const again = await bench.restore(files, vm.session.instances);
    expect(await bench.add(again, 100)).toBe(112);
  });

  it('says that the VM to be forked is gone', async ({ skip }) => {
    skip(!can(), 'the driver cannot fork');
    const source = await bench.withClones();
    await source.machine.close();
    await expect(bench.fork(source)).rejects.toMatchObject({ code: 'VM_DIED' });
  });
}

function lifeCycle(bench: Bench): void {
  it('boots, serves, stands still, goes on, and ends', async () => {
    const vm = await bench.boot();
    expect(vm.machine.marks.vmmUp).toBeGreaterThanOrEqual(vm.machine.marks.requested);
    expect(await bench.add(vm, 2)).toBe(2);
    await vm.machine.pause();
    const late = bench.add(vm, 3);
    expect(await Promise.race([late, bench.moment()])).toBe('a moment');
    await vm.machine.resume();
    expect(await late).toBe(5);
    await vm.machine.close();
    expect(vm.machine.state).toBe('closed');
    expect(await vm.machine.exited).toMatchObject({ expected: true });
  });

  it('can be closed twice, and twice at once', async () => {
    const { machine } = await bench.vm();
    await Promise.all([machine.close(), machine.close()]);
    await machine.close();
    expect(machine.state).toBe('closed');
  });

  it('can be closed while an operation is under way', async () => {
    const { machine } = await bench.vm();
    const pausing = Promise.allSettled([machine.pause(), machine.snapshot(bench.files())]);
    await machine.close();
    // The first may have been quicker than the close; neither may be left waiting.
    const [, snapshot] = await pausing;
    expect(snapshot.status).toBe('rejected');
    expect(machine.state).toBe('closed');
  });

  it('reports a VMM that ends by itself, and ends the channel', async () => {
    const { machine, session } = await bench.vm();
    bench.under.kill(machine);
    expect(await machine.exited).toMatchObject({ expected: false });
    expect(machine.state).toBe('failed');
    expect(await session.closed).toMatchObject({ code: 'VM_DIED' });
    await machine.close();
    expect(machine.state).toBe('closed');
  });

  it.each(STATES)('refuses what the table does not allow when %s', async (state) => {
    const { machine } = await bench.vm();
    await bench.bring(machine, state);
    for (const operation of OPERATIONS.filter((o) => TRANSITIONS[o][state] === undefined)) {
      const done =
        operation === 'snapshot' ? machine.snapshot(bench.files()) : machine[operation]();
      await expect(done, operation).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
      expect(machine.state).toBe(state);
    }
  });

  it('keeps the console, also after the end', async () => {
    const { machine } = await bench.boot();
    expect(machine.consoleTail()).not.toBe('');
    const before = machine.consoleTail();
    await machine.close();
    expect(machine.consoleTail()).toContain(before.slice(-20));
  });

  it('says what the VMM has cost', async () => {
    const { machine } = await bench.vm();
    const { minorFaults, residentBytes } = await machine.stats();
    const { hasProcess } = bench.under.driver.capabilities;
    expect(minorFaults > 0).toBe(hasProcess);
    expect(residentBytes > 0).toBe(hasProcess);
  });
}

function snapshots(bench: Bench): void {
  it('restores a snapshot with the state that it was taken in', async () => {
    const vm = await bench.boot();
    expect(await bench.add(vm, 7)).toBe(7);
    const files = await bench.snapshot(vm);
    expect((await stat(files.memoryPath)).size).toBe(bench.under.memMiB * 1024 * 1024);
    const { instances } = vm.session;
    await vm.machine.close();
    const clone = await bench.restore(files, instances);
    expect(clone.machine.marks.stateLoaded).toBeGreaterThanOrEqual(clone.machine.marks.vmmUp);
    expect(await bench.add(clone, 1)).toBe(8);
  });

  it('stands paused after a restore until it is resumed', async () => {
    const vm = await bench.vm();
    const files = await bench.snapshot(vm);
    const machine = await bench.restorePaused(files);
    expect(machine.state).toBe('paused');
    await expect(machine.pause()).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
  });

  it('gives clones lives of their own, and leaves the files as they were', async () => {
    const vm = await bench.vm();
    await bench.add(vm, 10);
    const files = await bench.snapshot(vm);
    const before = await bench.digest(files);
    const instances = vm.session.instances;
    const one = await bench.restore(files, instances);
    const two = await bench.restore(files, instances);
    expect(await bench.add(one, 1)).toBe(11);
    expect(await bench.add(two, 2)).toBe(12);
    expect(await bench.add(one, 1)).toBe(12);
    await one.machine.close();
    await two.machine.close();
    expect(await bench.digest(files)).toEqual(before);
  });

  it('takes a good snapshot after one that failed', async () => {
    const vm = await bench.vm();
    expect(await bench.add(vm, 4)).toBe(4);
    await vm.machine.pause();
    const nowhere = { ...bench.files(), statePath: '/nowhere/at/all/state' };
    await expect(vm.machine.snapshot(nowhere)).rejects.toThrow();
    await vm.machine.resume();
    const files = await bench.snapshot(vm);
    expect(await bench.add(await bench.restore(files, vm.session.instances), 1)).toBe(5);
  });

  it('lets the original go on without changing its snapshot', async (context) => {
    if (!bench.under.driver.capabilities.continuesAfterSnapshot) context.skip();
    const vm = await bench.boot();
    await bench.add(vm, 1);
    const files = await bench.snapshot(vm);
    const before = await bench.digest(files);
    await vm.machine.resume();
    expect(await bench.add(vm, 99)).toBe(100);
    expect(await bench.digest(files)).toEqual(before);
    const clone = await bench.restore(files, vm.session.instances);
    expect(await bench.add(clone, 1)).toBe(2);
    // And once more, of a VM that has a snapshot already, and of a clone.
    await vm.machine.pause();
    const second = await bench.take(vm.machine);
    await clone.machine.pause();
    const third = await bench.take(clone.machine);
    expect(await bench.add(await bench.restore(second, vm.session.instances), 0)).toBe(100);
    expect(await bench.add(await bench.restore(third, clone.session.instances), 0)).toBe(2);
  });
}

/** The source that every driver has. */
const PLAIN = { kind: 'file' } as const;

function failures(bench: Bench): void {
  it('leaves nothing behind when a boot fails', async () => {
    const spec = await bench.spec();
    await expect(bench.bootAs(bench.under.broken(spec))).rejects.toMatchObject({
      name: 'SparklerError',
    });
    expect(await bench.under.leftovers()).toEqual([]);
  });

  it('leaves nothing behind when a restore fails', async () => {
    const spec = await bench.spec();
    const restoring = restoreMachine(
      bench.under.driver,
      spec,
      bench.files(),
      PLAIN,
      bench.under.limits,
    );
    await expect(restoring).rejects.toThrow();
    expect(await bench.under.leftovers()).toEqual([]);
  });

  it('leaves nothing behind when VMs end', async () => {
    const vms = await Promise.all([bench.vm(), bench.vm()]);
    await Promise.all(vms.map(({ machine }) => machine.close()));
    expect(await bench.under.leftovers()).toEqual([]);
  });
}

/** Makes what the tests need and ends it afterwards. */
class Bench {
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
  async boot(): Promise<Vm> {
    const machine = await this.#keep(
      bootMachine(this.under.driver, await this.spec(), this.under.limits),
    );
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

  restorePaused(files: SnapshotFiles): Promise<Machine> {
    return this.#keep(
      this.spec().then((spec) =>
        restoreMachine(this.under.driver, spec, files, PLAIN, this.under.limits),
      ),
    );
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

  async restore(files: SnapshotFiles, instances: readonly number[]): Promise<Vm> {
    const machine = await this.restorePaused(files);
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
