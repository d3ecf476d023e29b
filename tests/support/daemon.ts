/** A real daemon as its own process, in a data folder and a cgroup of its own, and what it leaves. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeFileSync } from 'node:fs';
import { SparklerClient, type FunctionSettings } from '../../src/client/index.js';
import { packFolder } from '../../src/image/index.js';
import { findCgroupMount } from '../../src/vmm/index.js';

export const REPOSITORY = join(import.meta.dirname, '..', '..').replace(/\/dist$/, '');

/** How long a daemon may take to say where it listens, ms. The first one may prove KVM. */
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;

/** A daemon's data folder and cgroup: outlives the daemons that run in it one after another. */
export class Home {
  readonly dir = mkdtempSync(join(tmpdir(), 'sparkler-home-'));
  readonly dataDir = join(this.dir, 'data');
  readonly cgroup = join(findCgroupMount() ?? '/nowhere', basename(this.dir));
  readonly #configFile = join(this.dir, 'config.json');

  constructor(config: Record<string, unknown> = {}) {
    const vmm = { cgroupRoot: this.cgroup, ...(config['vmm'] as object | undefined) };
    writeFileSync(this.#configFile, JSON.stringify({ ...config, dataDir: this.dataDir, vmm }));
  }

  /** A folder inside this home. */
  folder(name: string): string {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  async daemon(): Promise<TestDaemon> {
    const command = [join(REPOSITORY, 'bin/sparkler.js'), 'daemon', '--json', '--port', '0'];
    const child = spawn(process.execPath, [...command, '--config', this.#configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, SPARKLER_LOG_LEVEL: 'warn' },
    });
    return TestDaemon.whenUp(child);
  }

  /** Processes in our cgroups, cgroups, and files of VMs that are on the host now. */
  leftovers(): string[] {
    const groups = existsSync(this.cgroup)
      ? readdirSync(this.cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory())
      : [];
    const files = ['vms', 'tmp'].flatMap((name) => list(join(this.dataDir, name)));
    const processes = processesIn(this.cgroup);
    return [...groups.map(({ name }) => `cgroup ${name}`), ...files, ...processes];
  }

  /** Waits until nothing is left, at most `limitMs`; answers what is left then. */
  async settled(limitMs: number): Promise<string[]> {
    const deadline = performance.now() + limitMs;
    while (this.leftovers().length > 0 && performance.now() < deadline) await sleep(50);
    return this.leftovers();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export class TestDaemon {
  readonly client: SparklerClient;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;

  private constructor(
    child: ChildProcess,
    readonly url: string,
    readonly info: Readonly<Record<string, unknown>>,
  ) {
    this.#child = child;
    this.client = new SparklerClient({ baseUrl: url });
    this.#exited = new Promise((resolve) => child.once('exit', resolve));
  }

  static async whenUp(child: ChildProcess): Promise<TestDaemon> {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const stdout = child.stdout;
    if (!stdout) throw new Error('no stdout');
    const greeting = new Promise<string>((resolve, reject) => {
      createInterface(stdout).once('line', resolve);
      child.once('exit', (code) => reject(new Error(`the daemon ended with ${code}: ${said}`)));
      setTimeout(() => reject(new Error(`the daemon is silent: ${said}`)), START_LIMIT_MS).unref();
    });
    const info = JSON.parse(await greeting) as Record<string, unknown>;
    return new TestDaemon(child, String(info['url']), info);
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

  /** Ends it as an operator would; answers its exit code. */
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

/** Processes whose cgroup is below `group`, by what the kernel says. */
function processesIn(group: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .find((entry) => entry.startsWith('0::'));
      if (line?.includes(`/${basename(group)}/`)) found.push(`process ${pid}`);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
