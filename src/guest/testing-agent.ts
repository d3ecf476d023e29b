/** The real agent, built with sanitizers, as a host program: for this room's tests. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { descendantsOf } from '../../tests/support/processes.js';
import { SEED_BYTES } from './messages.js';
import type { GuestOptions } from './options.js';
import { GuestSession } from './session.js';
import type { InvokeResult } from './instance.js';
import { TEST_CONTEXT, TEST_OPTIONS } from './testing.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const OUT = path.join(ROOT, 'build/guest');

/** A limit that no test meets unless something hangs, milliseconds. */
export const LONG_MS = 20_000;

/** Builds what is not up to date; two test files that do it at once take turns. */
export function buildAgent(): void {
  mkdirSync(OUT, { recursive: true });
  for (const [dir, ...targets] of [['guest/agent', 'test'], ['guest/runtimes/nodejs']]) {
    const make = ['make', '-s', '-C', path.join(ROOT, String(dir)), ...targets];
    const built = spawnSync('flock', [path.join(OUT, 'lock'), ...make], { encoding: 'utf8' });
    const said = built.stderr + built.stdout;
    if (built.status !== 0 || said !== '') throw new TypeError(`make failed: ${said}`);
  }
}

/** The programs themselves: what is on the path may be a wrapper that needs its own environment. */
const PYTHON_PROGRAM = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], {
  encoding: 'utf8',
}).stdout.trim();

interface RawAgent {
  readonly agent: ChildProcess;
  readonly channel: Duplex;
  /** What it has written to its console. */
  readonly said: () => string;
}

/** Agents whose functions lie in the folder that `task` answers. */
export class RealAgents {
  readonly #task: () => string;
  readonly #agents: ChildProcess[] = [];

  constructor(task: () => string) {
    this.#task = task;
  }

  /** `cgroup`: a folder of version 2 in which the agent makes its instances' cgroups. */
  readonly raw = (cgroup?: string): RawAgent => {
    const options = ['--test-socket', '3', '--task', this.#task()];
    options.push('--runtimes', path.join(ROOT, 'guest/runtimes'));
    options.push('--python', PYTHON_PROGRAM, '--node', process.execPath);
    if (cgroup !== undefined) options.push('--cgroup', cgroup);
    const agent = spawn(path.join(OUT, 'agent-test'), options, {
      stdio: ['ignore', 'inherit', 'pipe', 'pipe'],
    });
    this.#agents.push(agent);
    let said = '';
    agent.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    return { agent, channel: agent.stdio[3] as Duplex, said: () => said };
  };

  readonly open = (options: Partial<GuestOptions> = {}, cgroup?: string) => {
    const raw = this.raw(cgroup);
    return { ...raw, session: new GuestSession(raw.channel, { ...TEST_OPTIONS, ...options }) };
  };

  /** An agent with one instance. */
  readonly start = async (
    runtime: string,
    handler: string,
    options: Partial<GuestOptions> = {},
    cgroup?: string,
  ) => {
    const all = this.open(options, cgroup);
    const spec = { runtime, handler, env: { COLOUR: 'blue' }, cwd: this.#task() };
    const { instance } = await all.session.startInstance(spec);
    const invoke = (event: unknown, ms = LONG_MS): Promise<InvokeResult> =>
      all.session.invoke(instance, JSON.stringify(event), TEST_CONTEXT, ms);
    return { ...all, spec, instance, invoke };
  };

  /** Ends them with all that they have started: no kernel does that here, as it does in a guest. */
  kill(): void {
    for (const agent of this.#agents.splice(0)) {
      // It collects orphans, so they are its own to the last; stopped, it starts no more of them.
      if (agent.kill('SIGSTOP') && agent.pid !== undefined) endBelow(agent.pid);
      agent.kill('SIGKILL');
    }
  }
}

/** A process may fork while it is being ended. */
function endBelow(pid: number): void {
  for (let found = descendantsOf(pid); found.length > 0; found = descendantsOf(pid)) {
    for (const one of found) killIfThere(one);
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** RESTORE with a fixed seed. */
export const restore = (session: GuestSession): Promise<void> =>
  session.restore(Buffer.alloc(SEED_BYTES, 9), BigInt(Date.now()) * 1_000_000n);

/** A cgroup of version 2 for the agent's instances; undefined where none can be made. */
export function makeCgroup(name: string): string | undefined {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const mount = mounts
    .map((line) => line.split(' '))
    .find((fields) => fields[2] === 'cgroup2')?.[1];
  if (mount === undefined) return undefined;
  const dir = path.join(mount, `agent-test-${name}-${process.pid}`);
  try {
    mkdirSync(dir);
    return dir;
  } catch {
    return undefined; // not ours to write to: the tests that need it are skipped
  }
}

/** Whether `makeCgroup` can. */
export function makesCgroups(): boolean {
  const dir = makeCgroup('try');
  if (dir !== undefined) rmdirSync(dir);
  return dir !== undefined;
}

/** Waits for the last process to be collected. */
async function removeGroup(dir: string): Promise<void> {
  const deadline = performance.now() + LONG_MS;
  for (;;) {
    try {
      rmdirSync(dir);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Ends all that is left in it. */
export async function removeCgroup(dir: string): Promise<void> {
  writeFileSync(path.join(dir, 'cgroup.kill'), '1');
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(path.join(dir, entry.name));
  }
  await removeGroup(dir);
}
