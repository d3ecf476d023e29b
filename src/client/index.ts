/** The client room's face: the SDK. */
export { DEFAULT_URL, SparklerClient } from './client.js';
export type {
  /** @public */
  ClientOptions,
  FunctionSettings,
  FunctionView,
  /** @public */
  Info,
  Invocation,
  InvocationResult,
  /** @public */
  Mincore,
  /** @public */
  MincoreLayer,
  /** @public */
  MincorePatch,
  /** @public */
  Reap,
  Snapshot,
  /** @public */
  SnapshotCopy,
  SnapshotPatch,
  /** @public */
  SnapshotSettings,
  /** @public */
  SnapshotTaken,
  Verification,
  Vm,
  /** @public */
  VmSettings,
  WorkingSet,
  WorkingSetStrategy,
} from './client.js';
