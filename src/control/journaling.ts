import { identify, type Intent, type Journal } from '../registry/index.js';
import {
  footprintOf,
  type AheadObserver,
  type MachineSpec,
  type ObservedSpec,
  type VmmDriver,
} from '../vmm/index.js';

export interface JournaledVm {
  /** The spec to start the VM with: it tells the journal of the process. */
  readonly spec: ObservedSpec;
  /** To be crossed out when the VM and its folder are gone. */
  readonly ids: readonly number[];
}

/** Names a VM's folder, cgroup and process in one transaction, before any of them exists. */
export function journalVm(journal: Journal, driver: VmmDriver, spec: MachineSpec): JournaledVm {
  const { vmId, dir } = spec;
  const { cgroup } = footprintOf(driver, spec);
  const { hasProcess } = driver.capabilities;
  const intents: Intent[] = [{ kind: 'vm-dir', name: dir, vmId }];
  if (cgroup !== undefined) intents.push({ kind: 'cgroup', name: cgroup, vmId });
  if (hasProcess) intents.push({ kind: 'process', name: 'vmm', vmId });
  const ids = journal.intendAll(intents);
  const processId = hasProcess ? ids.at(-1) : undefined;
  const onProcess = (pid: number): void => {
    const identity = identify(pid);
    if (identity && processId !== undefined) journal.attach(processId, identity);
  };
  return { spec: { ...spec, onProcess }, ids };
}

/** Journals what the driver starts ahead of VMs, and says what goes wrong with it. */
export function journalAhead(journal: Journal, warn: (reason: string) => void): AheadObserver {
  return {
    begin: (vmId, { cgroup }) => {
      const intents: Intent[] =
        cgroup === undefined ? [] : [{ kind: 'cgroup', name: cgroup, vmId }];
      const ids = journal.intendAll([...intents, { kind: 'process', name: 'template', vmId }]);
      const onProcess = (pid: number): void => {
        const [identity, id] = [identify(pid), ids.at(-1)];
        if (identity && id !== undefined) journal.attach(id, identity);
      };
      return { onProcess, gone: () => journal.doneAll(ids) };
    },
    warn,
  };
}
