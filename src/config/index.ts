/** The configuration room's face: one schema, filled from file, environment and flags. */
export { configurationDocument } from './document.js';
export { LEAVES } from './leaves.js';
export { type ConfigSources, loadConfig } from './load.js';
export { isLoopback } from './loopback.js';
export type { Config } from './schema.js';
