/** The snapshot room's face: folders, manifests, and what may be done to a snapshot's files. */
export {
  SnapshotStore,
  type Fitness,
  type LoadedSnapshot,
  type SnapshotFacts,
  type SnapshotPlan,
  type SnapshotStoreOptions,
} from './store.js';
export type { RegionSettings, SnapshotManifest, VmmIdentity } from './manifest.js';
export { scanSnapshots, type ScanResult } from './scan.js';
export { digHoles, dropCache, loadCache } from './patch.js';
export type { PageTools, RecorderPace } from './native.js';
export { recordedEvent, WorkingSets, type RecordedEvent } from './working-sets.js';
export { isPossible, STRATEGY_NAMES, strategyOf } from './strategies/index.js';
export type {
  Mappings,
  PreparedRestore,
  RestoreOptions,
  StrategyName,
} from './strategies/strategy.js';
export { measureHostCosts, readHostCosts, writeHostCosts, type HostCosts } from './host-costs.js';
