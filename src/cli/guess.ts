/** What a folder's function is: which runtime, which handler, whether it needs bundling. */
import { readdir } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { SparklerError } from '../errors.js';

export type Runtime = 'python3' | 'nodejs';

export interface Entry {
  readonly runtime: Runtime;
  /** `file.function`. */
  readonly handler: string;
  /** The file, relative to the folder. */
  readonly file: string;
  /** TypeScript: the guest cannot run it as it is. */
  readonly bundled: boolean;
}

/** What the user said; nothing of it is guessed. */
export interface Said {
  readonly runtime?: Runtime | undefined;
  readonly handler?: string | undefined;
}

const NAMES = ['app', 'index', 'main', 'handler'];
const ENDINGS: Readonly<Record<string, Runtime>> = {
  '.py': 'python3',
  '.ts': 'nodejs',
  '.mts': 'nodejs',
  '.js': 'nodejs',
  '.mjs': 'nodejs',
  '.cjs': 'nodejs',
};
const FUNCTION = 'handler';

function refuse(field: string, message: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${message}`, { field });
}

async function filesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (cause) {
    throw refuse('folder', `${dir} cannot be read: ${(cause as Error).message}.`);
  }
}

/** Splits `src/app.run` into the module `src/app` and the function `run`. */
function splitHandler(handler: string): [string, string] {
  const dot = handler.lastIndexOf('.');
  if (dot > 0) return [handler.slice(0, dot), handler.slice(dot + 1)];
  throw refuse('handler', `${handler} is not written file.function, like app.handler.`);
}

function entryOf(module: string, ending: string, name: string): Entry {
  const bundled = ending.endsWith('ts');
  const runtime = ENDINGS[ending] ?? 'nodejs';
  return { runtime, handler: `${module}.${name}`, file: `${module}${ending}`, bundled };
}

/** Python writes a module in a package with dots, a path has slashes. */
function modulePaths(module: string): string[] {
  return module.includes('.') ? [module, module.replaceAll('.', '/')] : [module];
}

/** Where to look: the modules, and the function in them. */
function wanted(handler: string | undefined): { modules: readonly string[]; name: string } {
  if (handler === undefined) return { modules: NAMES, name: FUNCTION };
  const [module, name] = splitHandler(handler);
  return { modules: modulePaths(module), name };
}

async function candidates(dir: string, said: Said): Promise<Entry[]> {
  const { modules, name } = wanted(said.handler);
  const found: Entry[] = [];
  for (const module of modules) {
    // A folder that is missing below `dir` only means that the module is not there.
    const files = module.includes('/')
      ? await filesIn(join(dir, dirname(module))).catch((): string[] => [])
      : await filesIn(dir);
    for (const [ending, runtime] of Object.entries(ENDINGS)) {
      const matches = said.runtime === undefined || runtime === said.runtime;
      if (matches && files.includes(posix.basename(module) + ending)) {
        found.push(entryOf(module, ending, name));
      }
    }
  }
  return found.map((entry) => ({ ...entry, handler: said.handler ?? entry.handler }));
}

/**
 * Finds the function's entry in `dir`.
 * @throws SparklerError INVALID_REQUEST when there is none, or several of different runtimes
 */
export async function findEntry(dir: string, said: Said): Promise<Entry> {
  const found = await candidates(dir, said);
  const [entry] = found;
  if (!entry) {
    const looked =
      said.handler === undefined
        ? `${NAMES.join(', ')} with one of ${Object.keys(ENDINGS).join(' ')}`
        : `the file of the handler ${said.handler}`;
    throw refuse('handler', `${dir} does not hold ${looked}. Say --handler file.function.`);
  }
  const other = found.find(({ runtime }) => runtime !== entry.runtime);
  if (other) {
    throw refuse(
      'runtime',
      `${dir} holds ${entry.file} and ${other.file}: say --runtime ${entry.runtime} or ${other.runtime}.`,
    );
  }
  return entry;
}
