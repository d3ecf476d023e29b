/** The snapshot room's face: folders, manifests, and what may be done to a snapshot's files. */
export {
  SnapshotStore,
  type Fitness,
  type SnapshotFacts,
  type SnapshotPlan,
  type SnapshotStoreOptions,
} from './store.js';
export type { SnapshotManifest, VmmIdentity } from './manifest.js';
export { scanSnapshots, type ScanResult } from './scan.js';
export { digHoles, dropCache, loadCache } from './patch.js';
export { measureHostCosts, readHostCosts, writeHostCosts, type HostCosts } from './host-costs.js';
