/**
 * A real daemon as its own process, in a data folder and a cgroup of its own, and what it leaves.
 * For benchmarks and for tests that boot microVMs.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerClient, type FunctionSettings } from '../src/client/index.js';
import { packFolder } from '../src/image/index.js';
import { findCgroupMount } from '../src/vmm/index.js';

/** The repository's folder, whether this runs from source or from dist/. */
export const REPOSITORY = join(import.meta.dirname, '..').replace(/\/dist$/, '');

/** How long a daemon may take to say where it listens, ms. The first one may prove KVM. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;
/** How long processes that were killed may take to leave their cgroup, ms. */
const GROUP_LIMIT_MS = 5_000;
const POLL_MS = 50;

/** A daemon's data folder and cgroup: outlives the daemons that run in it one after another. */
export class Home {
  readonly dir = mkdtempSync(join(tmpdir(), 'sparkler-home-'));
  dataDir = join(this.dir, 'data');
  readonly cgroup = join(findCgroupMount() ?? '/nowhere', basename(this.dir));
  readonly #configFile = join(this.dir, 'config.json');
  readonly #started: DaemonProcess[] = [];
  #config: Record<string, unknown> = {};

  constructor(config: Record<string, unknown> = {}) {
    this.configure(config);
  }

  /** Takes effect with the next daemon. */
  configure(config: Record<string, unknown>): void {
    this.#config = config;
    const vmm = { cgroupRoot: this.cgroup, ...(config['vmm'] as object | undefined) };
    // VMs that start by themselves would disturb what is measured, and what a test counts.
    const pool = { maxVms: 0, ...(config['pool'] as object | undefined) };
    writeFileSync(
      this.#configFile,
      JSON.stringify({ ...config, dataDir: this.dataDir, pool, vmm }),
    );
  }

  /** Puts the data folder into `folder`, for the next daemon. */
  moveTo(folder: string): void {
    this.dataDir = join(folder, 'data');
    this.configure(this.#config);
  }

  /** A folder inside this home. */
  folder(name: string): string {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Starts a daemon; `signal` ends all calls of its client, not the daemon. */
  async daemon(signal?: AbortSignal): Promise<DaemonProcess> {
    const command = [join(REPOSITORY, 'bin/sparkler.js'), 'daemon', '--json', '--port', '0'];
    return this.start([...command, '--config', this.#configFile], signal);
  }

  /** Starts a Node.js program that greets as a daemon does: one JSON object with its `url`. */
  async start(args: readonly string[], signal?: AbortSignal): Promise<DaemonProcess> {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, SPARKLER_LOG_LEVEL: 'warn' },
    });
    const daemon = await DaemonProcess.whenUp(child, signal);
    this.#started.push(daemon);
    return daemon;
  }

  /**
   * Processes in our cgroups, cgroups, and files of VMs that are on the host now; those of the VMs
   * `live` are not counted, nor templates of a daemon that runs.
   */
  leftovers(live: readonly string[] = []): string[] {
    const known = [...live, ...groupsIn(this.cgroup).filter(isOfLiveDaemon)];
    const names = groupsIn(this.cgroup).filter((name) => !known.includes(name));
    const files = ['vms', 'tmp']
      .flatMap((name) => list(join(this.dataDir, name)))
      .filter((path) => !live.includes(basename(path)));
    return [...names.map((name) => `cgroup ${name}`), ...files, ...processesIn(this.cgroup, known)];
  }

  /** Waits until nothing is left, at most `limitMs`; answers what is left then. */
  async settled(limitMs: number): Promise<string[]> {
    const deadline = performance.now() + limitMs;
    while (this.leftovers().length > 0 && performance.now() < deadline) await sleep(POLL_MS);
    return this.leftovers();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends the daemons that still run and what they left, and removes the folder. */
  async dispose(): Promise<void> {
    await Promise.all(this.#started.map((daemon) => daemon.stop()));
    for (const name of groupsIn(this.cgroup)) await endGroup(join(this.cgroup, name));
    await rmdir(this.cgroup).catch(() => undefined);
    this.remove();
  }
}

/** A daemon that runs and has said where it listens. */
export class DaemonProcess {
  readonly client: SparklerClient;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;

  private constructor(
    child: ChildProcess,
    readonly url: string,
    readonly info: Readonly<Record<string, unknown>>,
    signal: AbortSignal | undefined,
  ) {
    this.#child = child;
    this.client = new SparklerClient({ baseUrl: url, signal });
    this.#exited =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve(child.exitCode)
        : new Promise((resolve) => child.once('exit', resolve));
  }

  /** Waits for the greeting; a process that does not greet is killed. */
  static async whenUp(child: ChildProcess, signal?: AbortSignal): Promise<DaemonProcess> {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const stdout = child.stdout;
    if (!stdout) throw new Error('no stdout');
    const greeting = new Promise<string>((resolve, reject) => {
      let text = '';
      createInterface(stdout).on('line', (line) => {
        text += line;
        if (line === '}' || line.endsWith('}')) resolve(text);
      });
      child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${said}`)));
      setTimeout(() => reject(new Error(`the daemon is silent: ${said}`)), START_LIMIT_MS).unref();
    });
    try {
      const info = JSON.parse(await greeting) as Record<string, unknown>;
      return new DaemonProcess(child, String(info['url']), info, signal);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Deploys a folder of the repository. */
  async deploy(folder: string, settings: FunctionSettings): Promise<void> {
    await this.client.deploy(settings, await packFolder(join(REPOSITORY, folder)));
  }

  /** Deploys a function made of the given files. */
  async deployFiles(files: Record<string, string>, settings: FunctionSettings): Promise<void> {
    const dir = mkdtempSync(join(tmpdir(), 'sparkler-code-'));
    try {
      for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
      await this.client.deploy(settings, await packFolder(dir));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** Ends it as an operator would; answers its exit code. Harmless when it has ended. */
  async stop(): Promise<number | null> {
    this.client.close();
    this.#child.kill('SIGTERM');
    const late = sleep(STOP_LIMIT_MS, undefined, { ref: false }).then(() => this.#child.kill(9));
    return Promise.race([this.#exited, late.then(() => this.#exited)]);
  }

  /** Ends it as the kernel would when memory is short. */
  async kill(): Promise<void> {
    this.client.close();
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

function list(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir).map((name) => join(dir, name)) : [];
}

function groupsIn(group: string): string[] {
  if (!existsSync(group)) return [];
  const entries = readdirSync(group, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/** Whether it is the cgroup of a template (`template-<pid of its daemon>-…`) that is in use. */
function isOfLiveDaemon(name: string): boolean {
  const [, pid] = /^template-(\d+)-/.exec(name) ?? [];
  return pid !== undefined && existsSync(`/proc/${pid}`);
}

/** Processes whose cgroup is below `group`, by what the kernel says. */
function processesIn(group: string, live: readonly string[]): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .find((entry) => entry.startsWith('0::'));
      const [, vmId] = line?.split(`/${basename(group)}/`) ?? [];
      if (vmId !== undefined && !live.includes(vmId)) found.push(`process ${pid}`);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

async function endGroup(path: string): Promise<void> {
  await writeFile(join(path, 'cgroup.kill'), '1').catch(() => undefined);
  const deadline = performance.now() + GROUP_LIMIT_MS;
  for (;;) {
    try {
      await rmdir(path);
      return;
    } catch {
      if (!existsSync(path) || performance.now() > deadline) return;
    }
    await sleep(POLL_MS);
  }
}
