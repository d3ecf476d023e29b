/** Loads the configuration: defaults, then the file, then the environment, then the flags. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SparklerError, isErrno } from '../errors.js';
import { type Problem, checkConsistency, checkSchema } from './check.js';
import { LEAVES, type Leaf } from './leaves.js';
import { isLoopback } from './loopback.js';
import { translateOriginal } from './original.js';
import { type Config, defaultCacheDir } from './schema.js';

/** Where the configuration comes from; all of it is optional. */
export interface ConfigSources {
  /** Path of a JSON file; default: `SPARKLER_CONFIG` of the environment, else none. */
  readonly file?: string | undefined;
  /** Default: the process's environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Fields by path, as flags give them: `{ port: 0, 'limits.maxVms': 3 }`. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

type Content = Record<string, unknown>;

/** Variables of the environment that are Sparkler's but not fields of the configuration. */
const OTHER_VARIABLES = /^SPARKLER_(?:URL|CACHE|CONFIG|SEED|(?:TEST|BENCH)(?:_.*)?)$/;

function readFile(path: string): Content {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = isErrno(error, 'ENOENT') ? 'does not exist' : 'cannot be read';
    throw invalid([{ field: 'config', reason: `the file ${path} ${reason}` }], error);
  }
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content === 'object' && content !== null && !Array.isArray(content)) {
      return content as Content;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid([{ field: 'config', reason: `the file ${path} is not JSON: ${reason}` }], error);
  }
  throw invalid([{ field: 'config', reason: `the file ${path} must hold a JSON object` }]);
}

/** Sets `value` at `path`, unless something that is not a group is in the way (the check says so). */
function put(content: Content, path: readonly string[], value: unknown): void {
  let group = content;
  for (const name of path.slice(0, -1)) {
    const next = (group[name] ??= {});
    if (typeof next !== 'object') return;
    group = next as Content;
  }
  group[path.at(-1) ?? ''] = value;
}

/** A number or a map that cannot be read stays text, which the schema then refuses by name. */
function fromText(leaf: Leaf, text: string): unknown {
  if (leaf.kind === 'integer') return /^-?\d+$/.test(text) ? Number(text) : text;
  if (leaf.kind === 'list') return text.split(':').filter((part) => part !== '');
  if (leaf.kind === 'text') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function applyEnvironment(content: Content, env: NodeJS.ProcessEnv): Problem[] {
  const byName = new Map(LEAVES.map((leaf) => [leaf.env, leaf]));
  const problems: Problem[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('SPARKLER_') || OTHER_VARIABLES.test(name)) continue;
    const leaf = byName.get(name);
    if (leaf) put(content, leaf.path, fromText(leaf, value ?? ''));
    else problems.push({ field: name, reason: 'is not a variable that Sparkler knows' });
  }
  return problems;
}

/** Paths are taken from the working directory, so that the rest of the daemon sees only absolute ones. */
function complete(content: Content, env: NodeJS.ProcessEnv): Config {
  const config = content as unknown as Config;
  return {
    ...config,
    dataDir: resolve(config.dataDir),
    cacheDir: resolve((content['cacheDir'] as string | undefined) ?? defaultCacheDir(env)),
    snapshotDirs: config.snapshotDirs.map((dir) => resolve(dir)),
    vmm: { ...config.vmm, cgroupRoot: config.vmm.cgroupRoot && resolve(config.vmm.cgroupRoot) },
  };
}

function hostProblems(config: Config, flags: Content): Problem[] {
  if (isLoopback(config.host) || 'host' in flags) return [];
  const reason =
    `${config.host} is not a loopback address, and whoever reaches the daemon may use it: ` +
    `there is no authentication. If that is meant, give the flag --host ${config.host}`;
  return [{ field: 'host', reason }];
}

function invalid(problems: readonly Problem[], cause?: unknown): SparklerError {
  const lines = problems.map(({ field, reason }) => `${field}: ${reason}`);
  const message =
    lines.length === 1
      ? `The configuration is wrong: ${lines[0] ?? ''}.`
      : `The configuration is wrong:\n${lines.map((line) => `  ${line}`).join('\n')}`;
  return new SparklerError('INVALID_CONFIG', message, { field: problems[0]?.field ?? '' }, cause);
}

/**
 * Loads and checks the configuration. What comes later wins: file, environment, flags.
 * @throws SparklerError INVALID_CONFIG that names every mistake at once.
 */
export function loadConfig(sources: ConfigSources = {}): Config {
  const env = sources.env ?? process.env;
  const file = sources.file ?? (env['SPARKLER_CONFIG'] || undefined);
  const flags = Object.fromEntries(
    Object.entries(sources.flags ?? {}).filter(([, value]) => value !== undefined),
  );
  const { content, problems: original } = translateOriginal(
    file === undefined ? {} : readFile(file),
  );
  const problems = original.map((line) => {
    const [field = '', reason = ''] = line.split(': ', 2);
    return { field, reason };
  });
  problems.push(...applyEnvironment(content, env));
  for (const [path, value] of Object.entries(flags)) put(content, path.split('.'), value);
  const wrong = checkSchema(content);
  problems.push(...wrong);
  if (wrong.length > 0) throw invalid(problems);
  const config = complete(content, env);
  problems.push(...checkConsistency(config), ...hostProblems(config, flags));
  if (problems.length > 0) throw invalid(problems);
  return config;
}
