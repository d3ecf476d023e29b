import { describeDriver, type DriverUnderTest } from '../conformance.js';
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
    memMiB: 1,
    limits: LIMITS,
    bootMs: 1000,
    kill: (machine) => driver.vm(machine.spec.vmId).die(),
    leftovers: () => Promise.resolve([...driver.live].map((vm) => vm.spec.vmId)),
    broken: (spec) => ({ ...spec, kernelPath: 'broken' }),
    dispose: () => Promise.resolve(),
  });
}

describeDriver('fake', makeFake);
