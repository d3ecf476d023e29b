/** The in-memory driver, for unit tests and for measuring the daemon without a VMM. */
export { FakeDriver, type FakeOptions } from './driver.js';
export type { FakeFaults } from './faults.js';
export {
  programGuest,
  type FakeGuest,
  type FakeGuestFactory,
  type FakeMemory,
  type ProgramOptions,
} from './guest.js';
export type { FakeHandle } from './handle.js';
export type { FakeDevices } from './devices.js';
