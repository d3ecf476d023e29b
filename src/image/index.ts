/** The image room: kernels, root file systems and code drives, built from packages and archives. */
export { buildImages, type BuildOptions, type BuildResult } from './build.js';
export { DEFAULT_CODE_LIMITS, type CodeLimits } from './archive/limits.js';
export { buildCodeDrive, type CodeDrive, type CodeDriveOptions } from './code-drive.js';
export { packFolder } from './pack.js';
export type { Progress } from './progress.js';
export { pruneImages, type PruneOptions } from './prune.js';
export {
  resolveImage,
  resolveKernel,
  type ImageSettings,
  type ResolvedImage,
  type ResolvedKernel,
} from './resolve.js';
export type { Built } from './store.js';
