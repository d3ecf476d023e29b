/** Debian packages, QEMU from bookworm-backports among them. docs/dependencies.md says why each. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { SetupError, output, say, show } from './run.mjs';

const PACKAGES = [
  ['gcc', 'g++', 'libc6-dev', 'make', 'python3'],
  ['mmdebstrap', 'mount', 'erofs-utils', 'xz-utils', 'zstd'],
  ['ca-certificates', 'debian-archive-keyring'],
].flat();
/** The keys of the release that images are made from; old keyring packages lack them. */
const TRIXIE_KEYS = '/usr/share/keyrings/debian-archive-trixie-stable.gpg';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const QEMU = 'qemu-system-x86';
/** The first QEMU that restores without copying memory (x-ignore-shared with private maps). */
const NEEDED_QEMU = [10, 0];
/** gVisor: benchmarks compare with it. */
const YARDSTICK = 'runsc';
/** The first release, a date, whose options bench/gvisor.ts knows; Debian 12's own is older. */
const NEEDED_RUNSC = 20240729;
const BACKPORTS = 'bookworm-backports';
const SOURCE_FILE = '/etc/apt/sources.list.d/sparkler-backports.sources';
const APT_ENVIRONMENT = { DEBIAN_FRONTEND: 'noninteractive' };

export async function installPackages() {
  const missing = missingPackages();
  const qemu = qemuVersion();
  const qemuMissing = !isEnough(qemu);
  if (missing.length === 0 && !qemuMissing) return;
  const wanted = [...missing, ...(qemuMissing ? [QEMU] : [])];
  const release = debianRelease(wanted);
  if (process.getuid() !== 0) {
    throw new SetupError(`run as root once, to install the Debian packages ${wanted.join(', ')}.`);
  }
  if (qemuMissing && release === '12') addBackports();
  say('reading the package lists');
  show('apt-get', ['-q', 'update'], APT_ENVIRONMENT);
  if (missing.length > 0) install(missing, []);
  if (qemuMissing) install([QEMU], release === '12' ? ['-t', BACKPORTS] : []);
  if (!isEnough(qemuVersion())) {
    throw new SetupError(
      `QEMU ${NEEDED_QEMU.join('.')} or later is needed; there is ${qemuVersion()}.`,
    );
  }
}

/** What benchmarks compare with. Without it they still run: a failure is said, not thrown. */
export function installYardsticks() {
  const version = /(?:^|\D)(\d{8})(?:\D|$)/.exec(output(YARDSTICK, ['--version']) ?? '')?.[1];
  if (Number(version ?? 0) >= NEEDED_RUNSC) return;
  try {
    const release = debianRelease([YARDSTICK]);
    if (process.getuid() !== 0) throw new SetupError('run as root once, to install it.');
    if (release === '12') addBackports();
    say('reading the package lists');
    show('apt-get', ['-q', 'update'], APT_ENVIRONMENT);
    install([YARDSTICK], release === '12' ? ['-t', BACKPORTS] : []);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`there will be no comparison with gVisor (${YARDSTICK}): ${error.message}`);
  }
}

function missingPackages() {
  const format = '${Package} ${db:Status-Status}\\n';
  // Fails as soon as one is unknown, and still prints the others: asked one by one.
  const installed = (name) =>
    output('dpkg-query', ['-W', '-f', format, name])?.includes(' installed');
  const missing = PACKAGES.filter((name) => !installed(name));
  const keyring = 'debian-archive-keyring';
  if (!existsSync(TRIXIE_KEYS) && !missing.includes(keyring)) missing.push(keyring);
  return missing;
}

/** The version of QEMU as `10.0.2`; undefined when there is none. */
function qemuVersion() {
  return /version (\d+\.\d+(\.\d+)?)/.exec(output('qemu-system-x86_64', ['--version']) ?? '')?.[1];
}

function isEnough(version) {
  const [major, minor] = (version ?? '0.0').split('.').map(Number);
  return major > NEEDED_QEMU[0] || (major === NEEDED_QEMU[0] && minor >= NEEDED_QEMU[1]);
}

function debianRelease(wanted) {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const field = (name) => new RegExp(`^${name}="?([^"\\n]*)`, 'm').exec(text)?.[1];
  const [id, version] = [field('ID'), field('VERSION_ID')];
  if (id === 'debian' && (version === '12' || version === '13')) return version;
  throw new SetupError(
    `only Debian 12 and 13 are set up automatically; this is ${field('PRETTY_NAME') ?? 'unknown'}. ` +
      `Install these yourself, then run make again: ${wanted.join(', ')} ` +
      `(QEMU ${NEEDED_QEMU.join('.')} or later).`,
  );
}

/** Adds bookworm-backports from the mirror that this machine uses, unless it has it already. */
function addBackports() {
  const uris = output('apt-get', ['update', '--print-uris']) ?? '';
  if (uris.includes(`/dists/${BACKPORTS}/InRelease'`)) return;
  const mirror = debianMirror(uris);
  if (mirror === undefined) {
    throw new SetupError(
      'no Debian mirror is configured in /etc/apt: QEMU comes from its backports.',
    );
  }
  say(`adding ${BACKPORTS} to the package sources (${SOURCE_FILE})`);
  const lines = ['Types: deb', `URIs: ${mirror}`, `Suites: ${BACKPORTS}`, 'Components: main'];
  writeFileSync(SOURCE_FILE, `${[...lines, `Signed-By: ${KEYRING}`].join('\n')}\n`);
}

/** As src/image/apt.ts finds it: others' repositories may use the same release name. */
function debianMirror(uris) {
  const of = (suite) =>
    [...uris.matchAll(new RegExp(`^'([^']+?)/?/dists/${suite}/InRelease'`, 'gm'))].map((m) => m[1]);
  const candidates = ['bookworm', 'stable', 'oldstable'].flatMap(of);
  const updated = [...of('bookworm-updates'), ...of('stable-updates')];
  return (
    candidates.find((uri) => updated.includes(uri)) ??
    candidates.find((uri) => /\/debian(\/|$)/.test(uri)) ??
    candidates[0]
  );
}

function install(names, options) {
  say(`installing ${names.join(', ')}`);
  const quiet = ['-q', '-y', '-o', 'Dpkg::Use-Pty=0', '--no-install-recommends'];
  show('apt-get', ['install', ...quiet, ...options, ...names], APT_ENVIRONMENT);
}
