/** Builds the guest kernel and images into the cache folder: what `make images` runs. */
import { performance } from 'node:perf_hooks';
import { join } from 'node:path';
import { buildImages } from '../dist/src/image/index.js';
import { cacheDir } from './cache-dir.mjs';

const started = performance.now();
const say = (step, detail) => {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5);
  console.log(`${seconds} s  ${step}${detail === undefined ? '' : `: ${detail}`}`);
};

try {
  const built = await buildImages({
    cacheDir: cacheDir(),
    repoDir: join(import.meta.dirname, '..'),
    refresh: process.argv.includes('--refresh'),
    onProgress: say,
  });
  for (const [name, { dir }] of Object.entries(built.kernels)) say(`Kernel ${name}`, dir);
  for (const [name, { dir }] of Object.entries(built.images)) say(`Image ${name}`, dir);
} catch (error) {
  console.error(`Images were not built (${error.code ?? 'INTERNAL'}): ${error.message}`);
  process.exitCode = 1;
}
