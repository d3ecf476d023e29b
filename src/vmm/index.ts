/** The VMM room's face: drivers, the machine wrapper and accelerator detection. */
export type {
  Accelerator,
  Drive,
  MachineSpec,
  SnapshotFiles,
  VmExit,
  VmHandle,
  VmMarks,
  VmmCapabilities,
  VmmDriver,
  VmState,
  VmStats,
} from './driver.js';
export { bootMachine, restoreMachine, type Machine, type MachineLimits } from './machine.js';
export { nextState, TRANSITIONS, type MachineOperation } from './transitions.js';
export {
  footprintOf,
  type AheadObserver,
  type FootprintDriver,
  type ObservedSpec,
  type ProcessHandle,
  type VmFootprint,
} from './footprint.js';
export { LimitExpired, within } from './within.js';
export { findCgroupMount } from './cgroup.js';
export { chooseAccelerator, probe, type AcceleratorChoice } from './detect.js';
export { createQemuDriver, qemuVersion, type QemuOptions } from './qemu/index.js';
export {
  FakeDriver,
  type FakeFaults,
  type FakeGuest,
  type FakeGuestFactory,
  type FakeHandle,
  type FakeMemory,
  type FakeOptions,
  programGuest,
  type ProgramOptions,
} from './fake/index.js';
