/**
 * The npm packages. One of them is compiled, which takes minutes: a finished node_modules is kept
 * in the cache folder, by lock file and Node.js version, for the next clone.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir } from '../cache-dir.mjs';
import { output, say, show } from './run.mjs';

const REPO = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const MODULES = join(REPO, 'node_modules');
const LOCK = join(REPO, 'package-lock.json');
/** Older ones are removed from the cache. */
const KEPT_COPIES = 3;

export async function installNodeModules() {
  if (isComplete()) return;
  const copy = join(cacheDir(), 'npm', `${cacheKey()}.tar.zst`);
  if (existsSync(copy) && restore(copy)) return;
  say('installing npm packages; one is compiled, which takes a minute or two');
  show('npm', ['ci', '--no-fund', '--no-audit'], headersEnvironment());
  keep(copy);
}

/** node_modules holds what the lock file says, and its compiled part loads in this Node.js. */
function isComplete() {
  const hidden = join(MODULES, '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const { packages: installed } = JSON.parse(readFileSync(hidden, 'utf8'));
  const { packages: locked } = JSON.parse(readFileSync(LOCK, 'utf8'));
  const fits = Object.entries(locked).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true;
    const found = installed[path];
    // Optional ones are for other systems, mostly.
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
  return fits && compiledPartLoads();
}

function compiledPartLoads() {
  const script = "new (require('better-sqlite3'))(':memory:').close()";
  return output('env', ['-C', REPO, process.execPath, '-e', script]) !== undefined;
}

function cacheKey() {
  const { version, arch } = process;
  return createHash('sha256').update(readFileSync(LOCK)).update(`${version} ${arch}`).digest('hex');
}

function restore(copy) {
  say('taking the npm packages of an earlier installation');
  const temporary = temporaryName(MODULES);
  rmSync(MODULES, { recursive: true, force: true });
  mkdirSync(temporary);
  try {
    show('tar', ['--zstd', '-x', '-f', copy, '-C', temporary]);
    renameSync(temporary, MODULES);
    if (isComplete()) return true;
    say('they are damaged');
  } catch (error) {
    say(error.message);
  }
  rmSync(temporary, { recursive: true, force: true });
  rmSync(copy, { force: true });
  return false;
}

function keep(copy) {
  const folder = dirname(copy);
  mkdirSync(folder, { recursive: true });
  const temporary = temporaryName(copy);
  try {
    show('tar', ['--zstd', '-c', '-f', temporary, '-C', MODULES, '.']);
    renameSync(temporary, copy);
  } catch (error) {
    // Only the next clone is slower for it.
    rmSync(temporary, { force: true });
    say(`the npm packages could not be kept for other clones: ${error.message}`);
  }
  const copies = readdirSync(folder)
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const old of copies.slice(KEPT_COPIES)) rmSync(old, { force: true });
}

function temporaryName(path) {
  return `${path}.${randomBytes(6).toString('hex')}`;
}

/** Node.js' own headers, where they are installed: downloading them may be impossible. */
function headersEnvironment() {
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'node.h'))
    ? { npm_config_nodedir: prefix }
    : {};
}
