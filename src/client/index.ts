/** The client room's face: the SDK. */
export {
  type ClientOptions,
  DEFAULT_URL,
  type FunctionSettings,
  type FunctionView,
  type Info,
  type Invocation,
  type InvocationResult,
  type Snapshot,
  type SnapshotPatch,
  type SnapshotSettings,
  type SnapshotTaken,
  SparklerClient,
  type Vm,
  type VmSettings,
} from './client.js';
