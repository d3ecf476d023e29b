/** The client room's face: the SDK. */
export { DEFAULT_URL, SparklerClient } from './client.js';
export type {
  /** @public */
  ClientOptions,
  FunctionSettings,
  FunctionView,
  /** @public */
  Info,
  /** @public */
  Invocation,
  InvocationResult,
  Snapshot,
  SnapshotPatch,
  /** @public */
  SnapshotSettings,
  /** @public */
  SnapshotTaken,
  Vm,
  /** @public */
  VmSettings,
} from './client.js';
