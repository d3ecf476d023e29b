/** A QEMU that was started ahead and forks a VMM for each restore; see native/qemu-preload/template.c. */
import { spawn, type ChildProcess } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import type { Duplex, Readable } from 'node:stream';
import { SparklerError } from '../../errors.js';
import { VmCgroup } from '../cgroup.js';
import { Tail } from '../tail.js';
import { within } from '../within.js';
import { FD, type QemuCommand } from './command.js';

/** What a template needs of its driver. */
export interface TemplateOptions {
  readonly qemuPath: string;
  readonly nativeDir: string;
  readonly cgroupRoot: string | undefined;
  /** What is kept of a template's stderr, bytes. */
  readonly consoleBytes: number;
  /** How long it may take until it is ready, ms. */
  readonly startMs: number;
  /** How long ending it and removing its cgroup may take, ms. */
  readonly closeMs: number;
}

/** A template that found something in its QEMU that its children could not share. */
export class TemplateUnsuitable extends SparklerError {
  constructor(why: string) {
    super('VMM_FAILED', `This QEMU cannot be a template: ${why}`);
  }
}

/**
 * The descriptors that each VMM gets for itself, by the number under which it has them: standard
 * error and all that are inherited but the preload and the drives.
 */
function slotsOf(command: QemuCommand): number[] {
  const { qmp, channel, console, control, memory, stateOut, memoryRead } = FD;
  const { pages, userfault, plan, workingSet, firstFile } = FD;
  const own = command.files.flatMap(({ isDrive }, index) => (isDrive ? [] : [firstFile + index]));
  const always = [2, qmp, channel, console, control, memory, stateOut, memoryRead];
  return [...always, pages, userfault, plan, workingSet, ...own];
}

/** A QEMU that forks VMMs. */
export interface ForkSource {
  /** Requests go in here. Nothing comes out: it is there to be inherited by vmm-handover. */
  readonly requests: Duplex;
  /** The descriptors that each VMM gets for itself, as the QEMU was told. */
  readonly slots: readonly number[];
}

export class Template implements ForkSource {
  readonly pid: number;
  readonly slots: readonly number[];
  /** Requests go in here. Nothing comes out: it is there to be inherited by vmm-handover. */
  readonly requests: Duplex;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #cgroup: VmCgroup | undefined;
  readonly #closeMs: number;
  readonly #stderr: Tail;
  #ended = false;

  private constructor(
    child: ChildProcess,
    requests: Duplex,
    slots: readonly number[],
    cgroup: VmCgroup | undefined,
    options: TemplateOptions,
  ) {
    this.slots = slots;
    this.pid = child.pid ?? 0;
    this.requests = requests;
    this.#child = child;
    this.#cgroup = cgroup;
    this.#closeMs = options.closeMs;
    this.#stderr = new Tail(options.consoleBytes);
    child.stderr?.on('data', (chunk: Buffer) => this.#stderr.append(chunk));
    // An end that breaks is a template that ends: `exited` says so.
    requests.on('error', () => undefined);
    this.exited = new Promise((resolve) => child.once('exit', () => resolve()));
    void this.exited.then(() => (this.#ended = true));
  }

  /**
   * Starts the process; `ready` tells when it can be asked. `onProcess` is told its pid at once.
   * @throws SparklerError VMM_FAILED; nothing is left behind then.
   */
  static async start(
    id: string,
    command: QemuCommand,
    options: TemplateOptions,
    onProcess: (pid: number) => void,
  ): Promise<Template> {
    const cgroup = options.cgroupRoot ? new VmCgroup(options.cgroupRoot, id) : undefined;
    const opened: FileHandle[] = [];
    let template: Template | undefined;
    try {
      await cgroup?.create();
      const preload = await open(`${options.nativeDir}/qemu-preload.so`, 'r');
      opened.push(preload);
      const files: (FileHandle | undefined)[] = [];
      for (const { path, flags, isDrive } of command.files) {
        const file = isDrive ? await open(path, flags) : undefined;
        files.push(file);
        if (file) opened.push(file);
      }
      const child = launch(command, preload, files, cgroup, options);
      const requests = child.stdio[requestsFd(command) as 0] as unknown as Duplex;
      template = new Template(child, requests, slotsOf(command), cgroup, options);
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      onProcess(template.pid);
      await within(template.#ready(child.stdout as Readable), options.startMs);
      return template;
    } catch (error) {
      await (template ?? { close: () => cgroup?.remove(options.closeMs) }).close();
      throw error;
    } finally {
      await Promise.allSettled(opened.map((file) => file.close()));
    }
  }

  /** It takes no more requests, and ends by itself when the last VMM that it forked is gone. */
  retire(): void {
    this.requests.destroy();
  }

  /** Ends it now, and with it what it forked. Harmless when called again. */
  async close(): Promise<void> {
    this.requests.destroy();
    if (!this.#ended && this.#child.pid !== undefined) {
      this.#child.kill('SIGKILL');
      await this.exited;
    }
    await this.#cgroup?.kill();
    await this.#cgroup?.remove(this.#closeMs);
  }

  async #ready(stdout: Readable): Promise<void> {
    let said = '';
    for await (const chunk of stdout) {
      said += String(chunk);
      if (said.endsWith('\n')) break;
    }
    if (said === 'ready\n') return;
    const [, why] = /^unsuitable: (.*)\n$/.exec(said) ?? [];
    if (why !== undefined) throw new TemplateUnsuitable(why);
    const message = `A template did not start: ${this.#stderr.toString() || said}`.trim();
    throw new SparklerError('VMM_FAILED', message);
  }
}

/** The number under which the template has its end of `requests`: the one after all others. */
const requestsFd = (command: QemuCommand): number => FD.firstFile + command.files.length;

function launch(
  command: QemuCommand,
  preload: FileHandle,
  files: readonly (FileHandle | undefined)[],
  cgroup: VmCgroup | undefined,
  options: TemplateOptions,
): ChildProcess {
  const before = new Array<'ignore'>(FD.preload - FD.qmp).fill('ignore');
  const after = new Array<'ignore'>(FD.firstFile - FD.memoryRead).fill('ignore');
  // It stays the daemon's user: each of its children becomes its VM's.
  const identity = [String(process.pid), cgroup?.path ?? '-', '-'];
  return spawn(
    `${options.nativeDir}/vmm-launch`,
    [...identity, options.qemuPath, ...command.args],
    {
      cwd: '/',
      stdio: [
        ...(['ignore', 'pipe', 'pipe'] as const),
        ...before,
        preload.fd,
        ...after,
        ...files.map((file) => file?.fd ?? ('ignore' as const)),
        'pipe',
      ],
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        LD_PRELOAD: `/proc/self/fd/${FD.preload}`,
        SPARKLER_TEMPLATE_FD: String(requestsFd(command)),
        SPARKLER_SLOTS: slotsOf(command).join(','),
      },
    },
  );
}
