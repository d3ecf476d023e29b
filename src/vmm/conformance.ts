/**
 * What every driver must do, as tests: the same suite runs over the fake and over real VMMs. A test
 * file calls `describeDriver` with how to make the driver and a guest that counts.
 */
import { stat } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Bench, PLAIN, type DriverUnderTest } from './conformance-bench.js';
import { elasticMemory } from './conformance-memory.js';
import type { VmState } from './driver.js';
import { restoreMachine } from './machine.js';
import { TRANSITIONS, type MachineOperation } from './transitions.js';

export type { DriverUnderTest };

const STATES: readonly VmState[] = ['running', 'paused', 'failed', 'closed'];
const OPERATIONS = Object.keys(TRANSITIONS) as MachineOperation[];
/** Those of a machine's memory; see conformance-memory.ts. */
const OF_MEMORY = ['resize', 'populate', 'discard'] as const;
type OfMemory = (typeof OF_MEMORY)[number];
const isOfMemory = (operation: MachineOperation): operation is OfMemory =>
  OF_MEMORY.some((name) => name === operation);

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
    elasticMemory(bench);
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
      if (isOfMemory(operation)) continue;
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
