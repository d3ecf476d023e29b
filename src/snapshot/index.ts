/** The snapshot room's face: folders, manifests, and what may be done to a snapshot's files. */
export {
  SnapshotStore,
  type SnapshotFacts,
  type SnapshotPlan,
  type SnapshotStoreOptions,
} from './store.js';
export type { Fitness } from './checks.js';
export type { LoadedSnapshot } from './files.js';
export type { RegionSettings, SnapshotManifest, VmmIdentity } from './manifest.js';
export { scanSnapshots, type ScanResult } from './scan.js';
export { digHoles, dropCache, exportFile, loadCache } from './patch.js';
export type { PageTools, RecorderPace } from './native.js';
export {
  recordedEvent,
  WORKING_SET_USES,
  WorkingSets,
  type RecordedEvent,
  type WorkingSetUse,
} from './working-sets.js';
export {
  addSharedLayer,
  carryLayers,
  countMincore,
  dropSets,
  emulateLayers,
  trimToRegions,
  warmLayers,
  writeLoadingSet,
} from './mincore.js';
export {
  fileOf,
  pictureOf,
  surveyOf,
  type WorkingSetFileView,
  type WorkingSetView,
} from './survey.js';
export { verifyAll, type Verified } from './verify.js';
export type { MincoreCounts } from './working-set/layers.js';
export type { LoadingSetOptions } from './working-set/loading-set.js';
export { makeReapFile } from './strategies/reap.js';
export { isPossible, STRATEGY_NAMES, strategyOf } from './strategies/index.js';
export type {
  Mappings,
  PreparedRestore,
  RestoreOptions,
  StrategyName,
} from './strategies/strategy.js';
export { measureHostCosts, readHostCosts, writeHostCosts, type HostCosts } from './host-costs.js';
export { combineRecordings, jaccard } from './working-set/combine.js';
export { firstTouches, type Recording } from './working-set/recording.js';
