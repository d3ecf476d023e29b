/** Guests without a daemon: QEMU, built images and a code drive with the function of touch.py. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statfsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadConfig, type Config } from '../../src/config/index.js';
import { GuestSession, SEED_BYTES } from '../../src/guest/index.js';
import { resolveImage, resolveKernel } from '../../src/image/index.js';
import {
  bootMachine,
  createQemuDriver,
  findCgroupMount,
  type Drive,
  type Machine,
  type MachineSpec,
  type MemoryLayout,
  type VmMemory,
  type VmmDriver,
} from '../../src/vmm/index.js';
import { REPOSITORY } from '../harness.js';
import { TOUCH_HANDLER, TOUCH_PY } from './touch.js';

/** A file system in memory, where the guest's own memory costs no disk. */
const IN_MEMORY = '/dev/shm';
/** What must be free there for it to be used, MiB. */
const IN_MEMORY_FREE_MIB = 4096;
const MIB = 1024 * 1024;

/** Longest boot, start of an instance, answer of the agent, ms: far above what a busy host needs. */
const PATIENCE_MS = 120_000;
const LOG_BYTES = 4096;
const RESULT_BYTES = 1024 * 1024;

/** What the function of touch.py answers. */
export interface Answer {
  readonly ms?: number;
  readonly wrong?: number;
  readonly busyMs?: number;
  readonly kept?: number;
}

/** Where VMs and what they need are made: closed by whoever opened it. */
export class Ground {
  readonly driver: VmmDriver;
  readonly config: Config;
  readonly #dir: string;
  readonly #cgroup: string;
  readonly #parts: Pick<MachineSpec, 'kernelPath' | 'initrdPath' | 'drives'>;
  readonly #open = new Set<Guest>();
  readonly #signal: AbortSignal;

  private constructor(
    driver: VmmDriver,
    config: Config,
    dir: string,
    cgroup: string,
    parts: Pick<MachineSpec, 'kernelPath' | 'initrdPath' | 'drives'>,
    /** Told what is worth knowing. */
    readonly say: (text: string) => void,
    signal: AbortSignal,
  ) {
    this.#signal = signal;
    // What waits for a guest hears that it is gone.
    signal.addEventListener('abort', () => void this.#endAll());
    this.driver = driver;
    this.config = config;
    this.#dir = dir;
    this.#cgroup = cgroup;
    this.#parts = parts;
  }

  static async open(
    accelerator: 'kvm' | 'tcg',
    say: (text: string) => void,
    signal: AbortSignal,
  ): Promise<Ground> {
    const config = loadConfig({ env: process.env, flags: {} });
    const dir = await mkdtemp(join(folder(), 'sparkler-scale-'));
    try {
      const code = await codeDrive(dir);
      const cgroup = join(findCgroupMount() ?? '/nowhere', basename(dir));
      const kernel = await resolveKernel(config, config.defaultKernel);
      const image = await resolveImage(config, config.defaultImage);
      const { vmm, timeouts } = config;
      const driver = await createQemuDriver({
        ...{ accelerator, cgroupRoot: cgroup, nativeDir: join(REPOSITORY, 'build/native') },
        ...{ qemuPath: vmm.qemuPath, firstUid: vmm.firstUid, uidCount: vmm.uidCount },
        ...{ tbSizeMiB: vmm.tbSizeMiB, templates: 0 },
        consoleBytes: config.limits.consoleBytes,
        closeMs: timeouts.closeMs,
        startMs: timeouts.vmmStartMs,
        restoreMs: timeouts.restoreMs,
        pageServerMs: timeouts.pageServerMs,
      });
      const drives: Drive[] = [
        { id: 'root', path: image.rootPath },
        { id: 'code', path: code },
      ];
      const { kernelPath, initrdPath } = kernel;
      const parts = { kernelPath, initrdPath, drives };
      return new Ground(driver, config, dir, cgroup, parts, say, signal);
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** A guest that has said hello and keeps the function ready. */
  async boot(memMiB: number, memory: MemoryLayout): Promise<Guest> {
    const vmId = `scale-${randomBytes(4).toString('hex')}`;
    const dir = join(this.#dir, vmId);
    await mkdir(dir, { mode: 0o700 });
    const spec = { vmId, vcpus: 1, memMiB, memory, kernelArgs: '', dir, ...this.#parts };
    const machine = await bootMachine(this.driver, spec, {
      ...this.config.timeouts,
      vmmStartMs: PATIENCE_MS,
    });
    const guest = new Guest(machine, dir);
    this.#open.add(guest);
    try {
      this.#signal.throwIfAborted();
      await guest.ready();
    } catch (error) {
      await this.end(guest);
      throw error;
    }
    return guest;
  }

  async end(guest: Guest): Promise<void> {
    this.#open.delete(guest);
    guest.session.close();
    await guest.machine.close();
    await rm(guest.dir, { recursive: true, force: true });
  }

  async #endAll(): Promise<void> {
    await Promise.all([...this.#open].map((guest) => this.end(guest)));
  }

  /** Ends what is open and removes all that was made. */
  async close(): Promise<void> {
    await this.#endAll();
    await this.driver.close?.();
    await rm(this.#dir, { recursive: true, force: true });
    if (!existsSync(this.#cgroup)) return;
    const left = await readdir(this.#cgroup, { withFileTypes: true });
    const groups = left.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    if (groups.length > 0) throw new Error(`cgroups are left: ${groups.join(', ')}`);
    await rmdir(this.#cgroup);
  }
}

/** A running VM without a policy. */
export class Guest {
  readonly session: GuestSession;
  readonly memory: VmMemory;

  constructor(
    readonly machine: Machine,
    readonly dir: string,
  ) {
    if (!machine.memory) throw new Error('the machine has no elastic memory');
    this.memory = machine.memory;
    this.session = new GuestSession(machine.channel, {
      helloTimeoutMs: PATIENCE_MS,
      startTimeoutMs: PATIENCE_MS,
      restoreTimeoutMs: PATIENCE_MS,
      exitTimeoutMs: PATIENCE_MS,
      pingTimeoutMs: PATIENCE_MS,
      freezeTimeoutMs: PATIENCE_MS,
      logBytes: LOG_BYTES,
      resultBytes: RESULT_BYTES,
    });
  }

  get pid(): number {
    return this.machine.pid ?? 0;
  }

  async ready(): Promise<void> {
    await this.session.hello;
    const now = BigInt(Date.now()) * 1_000_000n;
    await this.session.restore(randomBytes(SEED_BYTES), now);
    await this.session.startZygote({ runtime: 'python3', handler: TOUCH_HANDLER, env: {} });
  }

  /** An instance from the zygote. @param limitMiB 0: none. */
  async start(limitMiB: number, nodes?: readonly number[]): Promise<number> {
    const { instance, fromZygote } = await this.session.startInstance({
      ...{ runtime: 'python3', handler: TOUCH_HANDLER, env: {}, memMiB: limitMiB },
      ...(nodes && { nodes }),
    });
    if (!fromZygote) throw new Error('the instance did not come from the zygote');
    return instance;
  }

  async ask(instance: number, event: object): Promise<Answer> {
    const context = { requestId: 'scale', functionName: 'touch', memoryMiB: 0 };
    const text = JSON.stringify(event);
    const { json } = await this.session.invoke(instance, text, context, 10 * PATIENCE_MS);
    const answer = JSON.parse(json.toString()) as Answer;
    if ((answer.wrong ?? 0) > 0) throw new Error(`${answer.wrong} bytes of a function are wrong`);
    return answer;
  }

  /** Page faults of the VMM so far. */
  async faults(): Promise<number> {
    const { minorFaults, majorFaults } = await this.machine.stats();
    return minorFaults + majorFaults;
  }
}

function folder(): string {
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY);
    if ((bavail * bsize) / MIB >= IN_MEMORY_FREE_MIB) return IN_MEMORY;
  } catch {
    // There is none.
  }
  return tmpdir();
}

async function codeDrive(dir: string): Promise<string> {
  const task = await mkdtemp(join(tmpdir(), 'sparkler-task-'));
  try {
    await copyFile(TOUCH_PY, join(task, 'touch.py'));
    // The function's user is not root.
    await chmod(task, 0o755);
    await chmod(join(task, 'touch.py'), 0o644);
    const code = join(dir, 'code.erofs');
    execFileSync('mkfs.erofs', ['--quiet', code, task], { stdio: 'ignore' });
    return code;
  } finally {
    await rm(task, { recursive: true });
  }
}
