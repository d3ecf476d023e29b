/** Makes a folder of TypeScript into one that Node.js in the guest runs, with its source lines. */
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { type BuildFailure, build as esbuild, formatMessages } from 'esbuild';
import { SparklerError } from '../errors.js';
import type { Entry } from './guess.js';

/** The oldest Node.js that a guest may have. */
const TARGET = 'node20';

/** Part of building, not of what runs: bundled, or of no use in the guest. */
const LEFT_OUT =
  /(?:^|\/)(?:node_modules|\.git|tsconfig[^/]*\.json|package(?:-lock)?\.json)$|\.[cm]?tsx?$/;

export interface Bundle {
  readonly dir: string;
  remove(): void;
}

function temporaryFolder(dir: string): Bundle {
  const remove = () => rmSync(dir, { recursive: true, force: true });
  // Also when Ctrl-C ends the process.
  process.once('exit', remove);
  return {
    dir,
    remove: () => {
      process.off('exit', remove);
      remove();
    },
  };
}

async function failureOf(error: BuildFailure): Promise<SparklerError> {
  const lines = await formatMessages(error.errors, { kind: 'error', color: false });
  return new SparklerError(
    'INVALID_REQUEST',
    `folder: the TypeScript does not build:\n${lines.join('').trimEnd()}`,
    { field: 'folder' },
    error,
  );
}

async function build(folder: string, entry: Entry, outfile: string): Promise<void> {
  try {
    await esbuild({
      absWorkingDir: folder,
      entryPoints: [entry.file],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: TARGET,
      keepNames: true,
      sourcemap: 'linked',
      sourcesContent: false,
      logLevel: 'silent',
    });
  } catch (error) {
    throw await failureOf(error as BuildFailure);
  }
}

/** Stacks shall name the files as they would lie in the guest, not where they were built. */
async function nameSources(outfile: string, folder: string, entry: Entry): Promise<void> {
  const path = `${outfile}.map`;
  const map = JSON.parse(await readFile(path, 'utf8')) as { sources: string[] };
  const own = resolve(folder, dirname(entry.file));
  map.sources = map.sources.map((source) => relative(own, resolve(dirname(outfile), source)));
  await writeFile(path, JSON.stringify(map));
}

/**
 * Bundles `entry` of `folder` and its packages into one CommonJS file; the folder's other files
 * are kept beside it.
 * @throws SparklerError INVALID_REQUEST with the compiler's messages
 */
export async function bundleTypeScript(folder: string, entry: Entry): Promise<Bundle> {
  const root = resolve(folder);
  const bundle = temporaryFolder(await mkdtemp(join(tmpdir(), 'sparkler-deploy-')));
  try {
    await cp(root, bundle.dir, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !LEFT_OUT.test(relative(root, source)),
    });
    const base = entry.file.replace(/\.m?ts$/, '');
    const outfile = join(bundle.dir, `${base}.bundle.js`);
    await mkdir(dirname(outfile), { recursive: true });
    await build(root, entry, outfile);
    await nameSources(outfile, root, entry);
    const load = `module.exports = require('./${basename(base)}.bundle.js');\n`;
    // Source maps count only for what is loaded after they were switched on.
    await writeFile(join(bundle.dir, `${base}.js`), `process.setSourceMapsEnabled(true);\n${load}`);
    await writeFile(join(bundle.dir, 'package.json'), '{ "type": "commonjs" }\n');
    return bundle;
  } catch (error) {
    bundle.remove();
    throw error;
  }
}
