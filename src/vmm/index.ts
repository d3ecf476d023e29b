/** The VMM room's face: drivers, the machine wrapper and accelerator detection. */
export { protectFromOomKiller } from './oom.js';
export type {
  Accelerator,
  Drive,
  MachineSpec,
  MappedRegion,
  MemorySource,
  PagingStats,
  SnapshotFiles,
  VmExit,
  VmHandle,
  VmMarks,
  VmmCapabilities,
  VmmDriver,
  VmState,
  VmStats,
  VmWrites,
} from './driver.js';
export { nearestSize } from './memory-checks.js';
export type {
  BalloonStats,
  BlockState,
  MemoryFeature,
  MemoryLayout,
  MemoryState,
  MemorySteps,
  Populated,
  Resized,
  VmMemory,
} from './memory.js';
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
export { chooseCgroupRoot, findCgroupHost, findCgroupMount, tryCgroupRoot } from './cgroup.js';
export { chooseAccelerator, probe, type AcceleratorChoice } from './detect.js';
export { createQemuDriver, encodePlan, qemuVersion, type QemuOptions } from './qemu/index.js';
export {
  FakeDriver,
  type FakeDevices,
  type FakeFaults,
  type FakeGuest,
  type FakeGuestFactory,
  type FakeHandle,
  type FakeMemory,
  type FakeOptions,
  programGuest,
  type ProgramOptions,
} from './fake/index.js';
