/**
 * What a driver's VM takes of the host outside its own folder, for those who journal it. All of it
 * is optional: a driver without processes (the fake) has none of it.
 */
import type { MachineSpec, VmHandle, VmmDriver } from './driver.js';

/** Known before anything is made, so that it can be journaled first. */
export interface VmFootprint {
  /** The VM's own cgroup, as an absolute folder whose last part contains the VM's id. */
  readonly cgroup?: string;
}

/** A driver that says beforehand what it will make. A pure function of the spec. */
export interface FootprintDriver extends VmmDriver {
  footprint(spec: MachineSpec): VmFootprint;
}

/** A spec whose maker wants to know each process of the VM, at once after it was spawned. */
export interface ObservedSpec extends MachineSpec {
  readonly onProcess?: (pid: number) => void;
}

/** Told of each process that a driver starts ahead of VMs, so that it can be journaled. */
export interface AheadObserver {
  /** Before anything of it is made. `id` is part of its cgroup's name. */
  begin(id: string, footprint: VmFootprint): AheadWatch;
  /** Something of it went wrong; VMs start without it, only slower. */
  warn(reason: string): void;
}

export interface AheadWatch {
  /** At once after it was spawned. */
  onProcess(pid: number): void;
  /** When nothing is left of it. */
  gone(): void;
}

/** A handle that knows its VMM's process id. */
export interface ProcessHandle extends VmHandle {
  readonly pid: number;
}

/** The footprint that `driver` announces for `spec`; empty when it announces none. */
export function footprintOf(driver: VmmDriver, spec: MachineSpec): VmFootprint {
  const announces = driver as Partial<FootprintDriver> & VmmDriver;
  return announces.footprint?.(spec) ?? {};
}

/** The VMM's process id, undefined where the driver has no process. */
export function pidOf(handle: VmHandle): number | undefined {
  return (handle as Partial<ProcessHandle>).pid;
}
