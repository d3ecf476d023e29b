import { describe, expect, it } from 'vitest';
import { describeDriver, type DriverUnderTest } from '../conformance.js';
import { bootMachine } from '../machine.js';
import { FakeDriver, programGuest } from './index.js';

const LIMITS = {
  vmmStartMs: 1000,
  restoreMs: 1000,
  pauseMs: 1000,
  snapshotMs: 1000,
  closeMs: 1000,
};

function makeFake(): Promise<DriverUnderTest> {
  const driver = new FakeDriver({
    capabilities: { memorySources: ['file', 'layers', 'userfault', 'fork'] },
    guest: programGuest({
      program: (memory) => (_name, event) => {
        const { add } = event as { add: number };
        memory['count'] = Number(memory['count'] ?? 0) + add;
        return { count: memory['count'] };
      },
    }),
    faults: (spec) => (spec.kernelPath === 'broken' ? { guest: 'die' } : undefined),
  });
  return Promise.resolve({
    driver,
    kernelPath: 'kernel',
    initrdPath: 'initrd',
    drives: [],
    runtime: 'python3',
    memMiB: 32,
    limits: LIMITS,
    bootMs: 1000,
    kill: (machine) => driver.vm(machine.spec.vmId).die(),
    leftovers: () => Promise.resolve([...driver.live].map((vm) => vm.spec.vmId)),
    broken: (spec) => ({ ...spec, kernelPath: 'broken' }),
    dispose: () => Promise.resolve(),
  });
}

describeDriver('fake', makeFake);

describe('a guest that does not answer its devices', () => {
  it.each(['balloon', 'hotplug', 'blocks'] as const)('keeps its memory: %s', async (device) => {
    const driver = new FakeDriver({
      guest: () => ({ save: () => ({}), stop: () => undefined }),
      faults: () => ({ deaf: [device] }),
    });
    const memory = {
      balloon: { freePageReporting: true },
      hotplug: { maxMiB: 8 },
      blocks: [{ memMiB: 2 }],
    };
    const paths = { kernelPath: 'k', initrdPath: 'i', kernelArgs: '', drives: [], dir: '/nowhere' };
    const machine = await bootMachine(
      driver,
      { vmId: 'v', vcpus: 1, memMiB: 4, memory, ...paths },
      LIMITS,
    );
    const made = machine.memory;
    const asked = {
      balloon: () => made?.setBalloon(2, 5),
      hotplug: () => made?.setPlugged(4, 5),
      blocks: () => made?.ready(5),
    };
    const before = { balloon: 4, hotplug: 0, blocks: 0 };
    expect(await asked[device]()).toMatchObject({ reached: false, mib: before[device] });
    expect(machine.state).toBe('running');
    await machine.close();
  });
});
