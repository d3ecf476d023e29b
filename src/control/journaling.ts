import { identify, type Intent, type Journal } from '../registry/index.js';
import { footprintOf, type MachineSpec, type ObservedSpec, type VmmDriver } from '../vmm/index.js';

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
