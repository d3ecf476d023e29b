import { homedir } from 'node:os';
import { join } from 'node:path';

/** The folder for what can be made again: images, kernels, installed npm packages. */
export function cacheDir() {
  const { SPARKLER_CACHE, XDG_CACHE_HOME } = process.env;
  return SPARKLER_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'sparkler');
}
