/** The control room's face: the platform and its types. */
export { createPlatform, type PlatformDeps } from './platform.js';
export { journalAhead, journalVm, type JournaledVm } from './journaling.js';
export type { BuiltCode, ImageInfo, ImagePort, KernelInfo } from './ports.js';
export { STRATEGY_CHOICES, type StrategyChoice } from './chooser.js';
export type { HostMemory } from './host-memory.js';
export type { Passed, Place, PlacementRules } from './placement.js';
export type * from './types.js';
export type * from './working-set-types.js';
