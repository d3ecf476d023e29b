/**
 * Debian packages of another release, downloaded without touching this machine's own package
 * state: a private configuration, private lists, this machine's mirror.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SparklerError } from '../errors.js';
import { run } from './command.js';
import type { Progress } from './progress.js';

/** apt's own signature check uses these keys and no others. */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const UPDATE_TIMEOUT_MS = 300_000;
const DOWNLOAD_TIMEOUT_MS = 900_000;
const QUERY_TIMEOUT_MS = 60_000;
/** How often apt tries a download again. */
const DOWNLOAD_RETRIES = 3;

/** Where this machine gets its packages. */
export interface Mirrors {
  readonly main: string;
  /** Security updates; undefined when this machine has no such source. */
  readonly security?: string;
}

/**
 * Finds Debian's mirrors in what `apt-get update --print-uris` prints. Others' repositories use
 * the same release names: Debian's own has the updates beside it, or at least says so in its path.
 * @param codename this machine's release: `bookworm`.
 */
export function parseMirrors(printedUris: string, codename: string): Mirrors | undefined {
  const found = [...printedUris.matchAll(/^'([^']+?)\/?\/dists\/([^']+)\/InRelease'/gm)];
  const sources = found.map(([, uri = '', suite = '']) => ({ uri, suite }));
  const rank = (uri: string): number => {
    if (sources.some((s) => s.uri === uri && s.suite.endsWith('-updates'))) return 0;
    return /\/debian(-security)?(\/|$)/.test(uri) ? 1 : 2;
  };
  const uriOf = (suites: readonly string[]): string | undefined => {
    const candidates = suites.flatMap((suite) => sources.filter((s) => s.suite === suite));
    return candidates.map((s) => s.uri).sort((a, b) => rank(a) - rank(b))[0];
  };
  const names = [codename, 'stable', 'oldstable', 'testing'];
  const main = uriOf(names);
  if (main === undefined) return undefined;
  const security = uriOf(names.map((name) => `${name}-security`));
  return security === undefined ? { main } : { main, security };
}

/** @throws SparklerError IMAGE_BUILD_FAILED when this machine has no Debian mirror configured. */
export async function findMirrors(): Promise<Mirrors> {
  const uris = await run('apt-get', ['update', '--print-uris'], { timeoutMs: QUERY_TIMEOUT_MS });
  const release = await readFile('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=["']?([a-z]+)/m.exec(release)?.[1] ?? 'bookworm';
  const mirrors = parseMirrors(uris, codename);
  if (mirrors !== undefined) return mirrors;
  throw new SparklerError(
    'IMAGE_BUILD_FAILED',
    `No Debian mirror for ${codename} is configured in /etc/apt: images are built from Debian packages.`,
  );
}

/** The lines of a sources.list for `suite`. */
export function sourcesFor(suite: string, mirrors: Mirrors): string[] {
  const line = (uri: string, name: string): string =>
    `deb [signed-by=${KEYRING}] ${uri} ${name} main`;
  const lines = [line(mirrors.main, suite)];
  if (mirrors.security !== undefined) lines.push(line(mirrors.security, `${suite}-security`));
  return lines;
}

/** A downloaded package. */
export interface Download {
  readonly name: string;
  readonly version: string;
  /** The `.deb` file. */
  readonly path: string;
}

/** A private apt in `dir`, with the lists of `suite`. */
export class PrivateApt {
  private constructor(
    private readonly dir: string,
    private readonly onProgress: Progress,
  ) {}

  /** @throws SparklerError IMAGE_BUILD_FAILED when the lists cannot be had. */
  static async open(dir: string, suite: string, onProgress: Progress): Promise<PrivateApt> {
    const apt = new PrivateApt(dir, onProgress);
    for (const name of ['lists/partial', 'cache/archives/partial', 'download']) {
      await mkdir(join(dir, name), { recursive: true });
    }
    const sources = sourcesFor(suite, await findMirrors());
    await writeFile(join(dir, 'sources.list'), `${sources.join('\n')}\n`);
    await writeFile(join(dir, 'apt.conf'), configuration(dir));
    onProgress('Reading the package lists', `Debian ${suite}`);
    await apt.run('apt-get', ['update'], UPDATE_TIMEOUT_MS);
    return apt;
  }

  /** Follows `name` through packages that only depend on another of the same kind. */
  async resolve(name: string): Promise<string> {
    const record = await this.run(
      'apt-cache',
      ['show', '--no-all-versions', name],
      QUERY_TIMEOUT_MS,
    );
    const depends = /^Depends: ([a-z0-9][^\s,(]*)/m.exec(record)?.[1];
    const stem = name.replace(/-(cloud-)?amd64$/, '');
    return depends?.startsWith(`${stem}-`) === true ? depends : name;
  }

  /** Downloads one package, checked against the signed lists. */
  async download(name: string): Promise<Download> {
    this.onProgress('Downloading', name);
    const dir = join(this.dir, 'download');
    await this.run('apt-get', ['download', name], DOWNLOAD_TIMEOUT_MS, dir);
    const file = (await readdir(dir)).find((entry) => entry.startsWith(`${name}_`));
    if (file === undefined) {
      throw new SparklerError('IMAGE_BUILD_FAILED', `apt-get did not download ${name}.`);
    }
    const path = join(dir, file);
    const version = await run('dpkg-deb', ['-f', path, 'Version'], { timeoutMs: QUERY_TIMEOUT_MS });
    return { name, version: version.trim(), path };
  }

  private run(program: string, args: string[], timeoutMs: number, cwd = this.dir): Promise<string> {
    return run(program, ['-c', join(this.dir, 'apt.conf'), ...args], { timeoutMs, cwd });
  }
}

/** Read after the machine's own configuration, which may name a proxy that is needed. */
function configuration(dir: string): string {
  return [
    `Dir::Etc::sourcelist "${dir}/sources.list";`,
    'Dir::Etc::sourceparts "-";',
    'Dir::Etc::preferencesparts "-";',
    'Dir::Etc::preferences "-";',
    `Dir::State "${dir}";`,
    `Dir::State::lists "${dir}/lists";`,
    'Dir::State::status "/dev/null";',
    `Dir::Cache "${dir}/cache";`,
    // The unprivileged user that apt downloads as may not reach a cache folder in a home folder.
    'APT::Sandbox::User "root";',
    `Acquire::Retries "${DOWNLOAD_RETRIES}";`,
    'Acquire::Languages "none";',
    // Hooks of this machine that would act on its own state.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '',
  ].join('\n');
}
