import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { VmState } from './driver.js';
import { FakeDriver, type FakeFaults } from './fake/index.js';
import { bootMachine, restoreMachine, type Machine, type MachineLimits } from './machine.js';
import { nextState, TRANSITIONS, type MachineOperation } from './transitions.js';

const limitsOf = (ms: number): MachineLimits => ({
  vmmStartMs: ms,
  restoreMs: ms,
  pauseMs: ms,
  snapshotMs: ms,
  closeMs: ms,
});
/** Never met by what ends at all. */
const AMPLE = limitsOf(10_000);
/** For what never ends. */
const SHORT = limitsOf(50);
const STATES: readonly VmState[] = ['running', 'paused', 'failed', 'closed'];
const OPERATIONS = Object.keys(TRANSITIONS) as MachineOperation[];

/** A guest that only keeps its port open. */
const silentGuest = () => ({ save: () => ({}), stop: () => undefined });

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'machine-'))));
afterEach(() => rmSync(dir, { recursive: true }));

function specFor(vmId = 'vm-1') {
  return {
    vmId,
    vcpus: 1,
    memMiB: 1,
    kernelPath: '/k',
    initrdPath: '/i',
    kernelArgs: '',
    drives: [],
    dir,
    memory: { balloon: { freePageReporting: false }, blocks: [{ memMiB: 2 }] },
  };
}

function driverWith(faults: FakeFaults = {}): FakeDriver {
  return new FakeDriver({ guest: silentGuest, faults: () => faults });
}

const files = (name: string) => ({
  memoryPath: join(dir, `${name}-memory`),
  statePath: join(dir, `${name}-state`),
});

/** Brings a new machine to `state`. */
async function machineIn(state: VmState, driver = driverWith(), limits = AMPLE): Promise<Machine> {
  const machine = await bootMachine(driver, specFor(), limits);
  if (state === 'paused') await machine.pause();
  if (state === 'closed') await machine.close();
  if (state === 'failed') {
    driver.vm('vm-1').die('exit code 3');
    await machine.exited;
  }
  expect(machine.state).toBe(state);
  return machine;
}

function perform(machine: Machine, operation: MachineOperation): Promise<unknown> {
  if (operation === 'snapshot') return machine.snapshot(files(`s${Math.random()}`));
  const { memory } = machine;
  if (memory === undefined) throw new TypeError('the machine has no elastic memory');
  if (operation === 'resize') return memory.setBalloon(1, 10);
  if (operation === 'populate') return memory.populate(1, 0, 4096);
  if (operation === 'discard') return memory.discard(1);
  return machine[operation]();
}

describe('the state table', () => {
  const legal: [MachineOperation, VmState, VmState][] = [
    ['pause', 'running', 'paused'],
    ['resume', 'paused', 'running'],
    ['snapshot', 'paused', 'paused'],
    ['stats', 'running', 'running'],
    ['stats', 'paused', 'paused'],
    ['resize', 'running', 'running'],
    ['populate', 'running', 'running'],
    ['discard', 'running', 'running'],
    ['close', 'running', 'closed'],
    ['close', 'paused', 'closed'],
    ['close', 'failed', 'closed'],
    ['close', 'closed', 'closed'],
  ];
  const illegal = OPERATIONS.flatMap((operation) =>
    STATES.filter((state) => !legal.some(([o, s]) => o === operation && s === state)).map(
      (state) => [operation, state] as const,
    ),
  );

  it.each(legal)('%s in %s leads to %s', async (operation, state, after) => {
    expect(nextState(operation, state, 'vm-1')).toBe(after);
    const machine = await machineIn(state);
    await perform(machine, operation);
    expect(machine.state).toBe(after);
  });

  it.each(illegal)('%s in %s is refused and changes nothing', async (operation, state) => {
    const machine = await machineIn(state);
    await expect(perform(machine, operation)).rejects.toMatchObject({
      code: 'VM_WRONG_STATE',
      message: expect.stringContaining(`VM vm-1 is ${state}`) as string,
    });
    expect(machine.state).toBe(state);
  });
});

describe('a machine', () => {
  it('does one operation at a time, in order', async () => {
    const machine = await machineIn('running', driverWith({ delayMs: 2 }));
    const steps: string[] = [];
    const note = (name: string) => () => steps.push(`${name} ${machine.state}`);
    await Promise.all([
      machine.pause().then(note('pause')),
      machine.snapshot(files('a')).then(note('snapshot')),
      machine.resume().then(note('resume')),
    ]);
    expect(steps).toEqual(['pause paused', 'snapshot paused', 'resume running']);
  });

  it('goes on after an operation that failed', async () => {
    const machine = await machineIn('running', driverWith({ fail: ['pause'] }));
    await expect(machine.pause()).rejects.toMatchObject({ code: 'VMM_FAILED' });
    expect(machine.state).toBe('running');
    await machine.stats();
  });

  it.each(['pause', 'resume', 'snapshot'] as const)(
    'ends the VM when %s takes too long, and shows the console',
    async (operation) => {
      const driver = driverWith({ hang: [operation] });
      const machine = await machineIn(operation === 'pause' ? 'running' : 'paused', driver, SHORT);
      driver.vm('vm-1').print('the last line');
      await expect(perform(machine, operation)).rejects.toMatchObject({
        code: 'VMM_FAILED',
        details: { step: operation, console: expect.stringContaining('the last line') as string },
      });
      expect(machine.state).toBe('failed');
      await machine.exited;
      expect(driver.live.size).toBe(0);
    },
  );

  it('fails when its VMM dies, also in the middle of an operation', async () => {
    const driver = driverWith({ hang: ['pause'] });
    const machine = await machineIn('running', driver);
    const pausing = machine.pause();
    await Promise.resolve();
    driver.vm('vm-1').die('signal SIGSEGV');
    await expect(pausing).rejects.toMatchObject({
      code: 'VM_DIED',
      message: expect.stringContaining('SIGSEGV') as string,
    });
    expect(machine.state).toBe('failed');
    expect(await machine.exited).toEqual({ expected: false, reason: 'signal SIGSEGV' });
  });

  it('closes in the middle of an operation, which then rejects', async () => {
    const driver = driverWith({ hang: ['snapshot'] });
    const machine = await machineIn('paused', driver);
    const taking = machine.snapshot(files('a'));
    const waiting = machine.resume();
    await Promise.resolve();
    const both = Promise.allSettled([taking, waiting]);
    await machine.close();
    expect(await both).toMatchObject([
      { reason: { code: 'VM_WRONG_STATE' } },
      { reason: { code: 'VM_WRONG_STATE' } },
    ]);
    expect(driver.live.size).toBe(0);
  });

  it('says when it could not be closed in time, and tries again when asked again', async () => {
    const machine = await machineIn('running', driverWith({ hang: ['close'] }), SHORT);
    await expect(machine.close()).rejects.toMatchObject({ details: { step: 'close' } });
    await expect(machine.close()).rejects.toMatchObject({ code: 'VMM_FAILED' });
  });

  it.each(['boot', 'restore'] as const)('gives up a %s that does not end', async (step) => {
    const driver = driverWith({ start: 'hang' });
    const starting =
      step === 'boot'
        ? bootMachine(driver, specFor(), SHORT)
        : restoreMachine(driver, specFor(), files('none'), { kind: 'file' }, SHORT);
    await expect(starting).rejects.toMatchObject({ code: 'VMM_FAILED', details: { step } });
  });

  it('closes a VM that comes up after everyone stopped waiting', async () => {
    const driver = driverWith();
    const boot = driver.boot.bind(driver);
    let late: Promise<unknown> = Promise.resolve();
    driver.boot = (spec) => {
      const slow = new Promise<void>((resolve) => setTimeout(resolve, 2 * SHORT.vmmStartMs));
      const handle = slow.then(() => boot(spec));
      late = handle.then((vm) => vm.exited);
      return handle;
    };
    await expect(bootMachine(driver, specFor(), SHORT)).rejects.toMatchObject({
      code: 'VMM_FAILED',
    });
    expect(await late).toMatchObject({ expected: true });
    expect(driver.live.size).toBe(0);
  });
});
