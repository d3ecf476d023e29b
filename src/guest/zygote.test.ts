/** Zygotes and several instances over the real agent and runtimes as host processes. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { GuestSession } from './session.js';
import { TEST_CONTEXT } from './testing.js';
import {
  buildAgent,
  LONG_MS,
  makeCgroup,
  makesCgroups,
  RealAgents,
  removeCgroup,
  restore,
} from './testing-agent.js';

const PYTHON = `
import numpy.random, os, random, signal, sys, time, uuid
LOADED_BY = os.getpid()
loads = open(os.path.join(os.environ["LAMBDA_TASK_ROOT"], "loads"), "a")
loads.write("python\\n")
loads.close()
print("loading")
def pids(event, context):
    print("called")
    return [LOADED_BY, os.getpid(), os.getppid(), os.getsid(0), os.environ["COLOUR"], sys.argv[1:]]
def draw(event, context):
    return [random.random(), str(uuid.uuid4()), os.urandom(8).hex(), numpy.random.rand()]
def hide(event, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with open(event, "w") as file: file.write(str(os.getpid()))
            time.sleep(1000)
        os._exit(0)
    os.wait()
    return os.getpid()
def die(event, context): os.kill(os.getpid(), signal.SIGKILL)
def fds(event, context): return sorted(map(int, os.listdir("/proc/self/fd")))
`;

/** A generator that nothing but the runtime reseeds in a process that was forked. */
const NUMPY = `
import os
state = 0
def seed():
    global state
    state = int.from_bytes(os.urandom(6), "big")
def rand():
    global state
    state = state * 6364136223846793005 % 2 ** 53
    return state
seed()
`;

const PYTHON_THREADS = `
import threading, time, os
LOADED_BY = os.getpid()
beats = []
threading.Thread(target=lambda: [(beats.append(1), time.sleep(0.001)) for _ in iter(int, 1)], daemon=True).start()
def handler(event, context):
    seen = len(beats)
    while len(beats) == seen: time.sleep(0.001)
    return LOADED_BY == os.getpid()
`;

const NODE = `
const crypto = require('node:crypto');
console.log('loading');
exports.pids = () => { console.log('called'); return [process.pid, process.pid, process.ppid, process.pid, process.env.COLOUR, []]; };
exports.draw = () => [Math.random(), crypto.randomUUID(), crypto.randomBytes(8).toString('hex'), crypto.randomInt(2 ** 40)];
exports.die = () => process.kill(process.pid, 'SIGKILL');
`;

let task: string;
const agents = new RealAgents(() => task);
const hasCgroups = makesCgroups();
let cgroup: string | undefined;

beforeAll(() => {
  buildAgent();
  task = mkdtempSync(path.join(tmpdir(), 'sparkler-task-'));
  writeFileSync(path.join(task, 'app.py'), PYTHON);
  writeFileSync(path.join(task, 'threads.py'), PYTHON_THREADS);
  mkdirSync(path.join(task, 'numpy'));
  writeFileSync(path.join(task, 'numpy/__init__.py'), '');
  writeFileSync(path.join(task, 'numpy/random.py'), NUMPY);
  writeFileSync(path.join(task, 'app.js'), NODE);
  writeFileSync(path.join(task, 'broken.py'), 'import no_such_thing\n');
  writeFileSync(path.join(task, 'quits.py'), 'import os\nos._exit(3)\n');
}, 60_000);
beforeEach(() => {
  cgroup = makeCgroup('zygote');
});
afterEach(async () => {
  agents.kill();
  // An agent that was killed leaves what stood still.
  if (cgroup !== undefined) await removeCgroup(cgroup);
});
afterAll(() => rmSync(task, { recursive: true, force: true }));

const specOf = (runtime: string, handler: string) => ({
  runtime,
  handler,
  env: { COLOUR: 'blue' },
  cwd: task,
});

async function ask<T>(session: GuestSession, instance: number, event: unknown = null): Promise<T> {
  const { json } = await session.invoke(instance, JSON.stringify(event), TEST_CONTEXT, LONG_MS);
  return JSON.parse(json.toString()) as T;
}

/** Loader's, own and parent's process id, session, a variable, arguments. */
type Pids = [number, number, number, number, string, string[]];

describe.each([
  ['python3', true],
  ['nodejs', false],
] as const)('a zygote of %s', (runtime, forks) => {
  it('is what instances come from, one after the other and many at once', async () => {
    const logs: [number, string][] = [];
    const { agent, session } = agents.open(
      { onLog: (instance, chunk) => logs.push([instance, chunk.toString()]) },
      cgroup,
    );
    const spec = specOf(runtime, 'app.pids');
    await session.startZygote(spec);
    expect(session.instances).toEqual([]);
    const first = await session.startInstance(spec);
    expect(first).toMatchObject({ instance: 1, fromZygote: true });
    const starts = Array.from({ length: 7 }, () => session.startInstance(spec));
    const all = [first, ...(await Promise.all(starts))];
    const seen = await Promise.all(all.map(({ instance }) => ask<Pids>(session, instance)));
    expect(new Set(seen.map(([, own]) => own)).size).toBe(8);
    for (const [loader, own, parent, sid, colour, argv] of seen) {
      expect([own === loader, parent, sid, colour, argv]).toEqual([
        !forks,
        agent.pid,
        own,
        'blue',
        [],
      ]);
    }
    if (forks) {
      expect(new Set(seen.map(([loader]) => loader)).size).toBe(1);
      expect(all.every(({ fromZygote }) => fromZygote)).toBe(true);
      // What it printed is the zygote's, once; what an instance prints its own.
      expect(logs.filter(([, text]) => text.includes('loading'))).toEqual([[0, 'loading\n']]);
    }
    const called = logs.filter(([, text]) => text.includes('called')).map(([instance]) => instance);
    expect(called.sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(session.instances).toHaveLength(8);
  });

  it('gives each instance generators of its own', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf(runtime, 'app.draw');
    await session.startZygote(spec);
    const drawn: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const { instance, fromZygote } = await session.startInstance(spec);
      expect(fromZygote || !forks).toBe(true);
      drawn.push(...(await ask<unknown[]>(session, instance)));
    }
    expect(new Set(drawn).size).toBe(16);
  });

  it('goes on when an instance dies, and is there again when it dies itself', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf(runtime, 'app.die');
    await session.startZygote(spec);
    const neighbour = await session.startInstance(spec);
    const victim = await session.startInstance(spec);
    await expect(ask(session, victim.instance)).rejects.toMatchObject({ code: 'HANDLER_EXITED' });
    const next = await session.startInstance(spec);
    expect(next.fromZygote || !forks).toBe(true);
    expect(session.instances).toEqual([neighbour.instance, next.instance]);
    await session.endZygote();
    const alone = await session.startInstance(spec);
    expect(alone.fromZygote).toBe(false);
    await session.endZygote(); // there is none: nothing to do
    await session.startZygote(spec);
    expect((await session.startInstance(spec)).fromZygote).toBe(true);
  });

  it('stands still with the instances, and starts others after', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf(runtime, 'app.draw');
    await session.startZygote(spec);
    const one = await session.startInstance(spec);
    const drawn: unknown[] = [];
    for (const goOn of [() => session.thaw(), () => restore(session), () => restore(session)]) {
      await session.freeze();
      await goOn();
      drawn.push(...(await ask<unknown[]>(session, one.instance)));
      const { instance, fromZygote } = await session.startInstance(spec);
      expect(fromZygote || !forks).toBe(true);
      drawn.push(...(await ask<unknown[]>(session, instance)));
      await session.kill(instance);
    }
    await session.freeze(); // also what was not woken since the restore
    await restore(session);
    expect(session.instances).toEqual([one.instance]);
    expect(new Set(drawn).size).toBe(24);
  });

  it('serves no other handler, environment or folder', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf(runtime, 'app.pids');
    await session.startZygote(spec);
    const others = [
      { ...spec, handler: 'app.draw' },
      { ...spec, env: { COLOUR: 'red' } },
      { ...spec, env: { COLOUR: 'blue', SIZE: '1' } },
      { ...spec, cwd: tmpdir() },
    ];
    for (const other of others) {
      expect((await session.startInstance(other)).fromZygote).toBe(false);
      await expect(session.startZygote(other)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    }
    await session.startZygote(spec);
    expect((await session.startInstance(spec)).fromZygote).toBe(true);
  });
});

describe('a zygote', () => {
  it('of Python is loaded once, and an instance has no descriptor of its own left open', async () => {
    const loads = path.join(task, 'loads');
    rmSync(loads, { force: true });
    const { session } = agents.open({}, cgroup);
    const spec = specOf('python3', 'app.fds');
    await session.startZygote(spec);
    for (let i = 0; i < 3; i++) {
      const { instance } = await session.startInstance(spec);
      const open = await ask<number[]>(session, instance);
      expect(open.slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
      expect(open.length).toBe(6); // and the one that lists them
    }
    expect(readFileSync(loads, 'utf8')).toBe('python\n');
  });

  it('that was killed is started again; its instances go on', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf('python3', 'app.pids');
    await session.startZygote(spec);
    const { instance } = await session.startInstance(spec);
    const [zygote, own] = await ask<Pids>(session, instance);
    process.kill(zygote, 'SIGKILL');
    await expect.poll(() => existsSync(`/proc/${zygote}`)).toBe(false);
    expect((await ask<Pids>(session, instance))[1]).toBe(own);
    const loaders = async (): Promise<number> => {
      const next = await session.startInstance(spec);
      const [loader] = await ask<Pids>(session, next.instance);
      await session.kill(next.instance);
      return next.fromZygote ? loader : zygote;
    };
    await expect.poll(loaders, { timeout: LONG_MS }).not.toBe(zygote);
  });

  it('with Python threads becomes the instance itself: a fork would lose them', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf('python3', 'threads.handler');
    await session.startZygote(spec);
    const { instance, fromZygote } = await session.startInstance(spec);
    expect(fromZygote).toBe(true);
    expect(await ask(session, instance)).toBe(true);
    await session.freeze();
    await restore(session);
    expect(await ask(session, instance)).toBe(true);
  });

  it.each([
    ['python3', 'broken.f', 'HANDLER_FAILED'],
    ['python3', 'quits.f', 'HANDLER_EXITED'],
    ['python3', 'app.nope', 'HANDLER_NOT_FOUND'],
    ['nodejs', 'app.nope', 'HANDLER_NOT_FOUND'],
    ['cobol', 'app.nope', 'GUEST_NOT_READY'],
  ])(
    'of %s that cannot load %s rejects %s, and another may follow',
    async (runtime, handler, code) => {
      const { session } = agents.open({}, cgroup);
      await expect(session.startZygote(specOf(runtime, handler))).rejects.toMatchObject({ code });
      const spec = specOf('python3', 'app.pids');
      expect((await session.startInstance(spec)).fromZygote).toBe(false);
      await session.startZygote(spec);
      expect((await session.startInstance(spec)).fromZygote).toBe(true);
    },
  );

  it('that does not load in time is ended', async () => {
    writeFileSync(path.join(task, 'slow.py'), 'import time\ntime.sleep(1000)\n');
    const { session } = agents.open({ startTimeoutMs: 500 }, cgroup);
    await expect(session.startZygote(specOf('python3', 'slow.f'))).rejects.toMatchObject({
      code: 'HANDLER_TIMEOUT',
      details: { stack: expect.stringContaining('slow.py') as string },
    });
    await session.ping();
  });
});

describe('an instance', () => {
  it.skipIf(!hasCgroups)('is ended with all that it hid', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = specOf('python3', 'app.hide');
    await session.startZygote(spec);
    const { instance } = await session.startInstance(spec);
    const file = path.join(task, 'hidden.pid');
    await ask(session, instance, file);
    await expect.poll(() => existsSync(file) && readFileSync(file, 'utf8')).toMatch(/^\d+$/);
    const hidden = Number(readFileSync(file, 'utf8'));
    const groups = () => readdirSync(String(cgroup)).filter((name) => /^i\d+$/.test(name)).length;
    const before = groups();
    expect(await session.kill(instance)).toMatchObject({ signal: 9 });
    // EXITED says that it is over: nothing of it is left by then.
    expect(existsSync(`/proc/${hidden}`)).toBe(false);
    expect(groups()).toBeLessThan(before + 1);
  });

  it('cannot be bound to a node that there is not', async () => {
    const { session } = agents.open({}, cgroup);
    const spec = { ...specOf('python3', 'app.pids'), nodes: [1000] };
    await expect(session.startInstance(spec)).rejects.toMatchObject({
      code: 'GUEST_NOT_READY',
      message: expect.stringContaining('bind it to these nodes') as string,
    });
    await session.startZygote(specOf('python3', 'app.pids'));
    await expect(session.startInstance(spec)).rejects.toMatchObject({ code: 'GUEST_NOT_READY' });
    await expect.poll(() => session.instances).toEqual([]);
    const { fromZygote } = await session.startInstance(specOf('python3', 'app.pids'));
    expect(fromZygote).toBe(true);
  });

  it('is not in the report where memory is not counted; the nodes are', async () => {
    const { session } = agents.open({}, cgroup);
    const memory = await session.memory();
    expect(memory.totalKiB).toBeGreaterThan(memory.availableKiB);
    expect(memory.nodes[0]).toMatchObject({ node: 0 });
    expect(memory.nodes[0]!.managedKiB).toBeGreaterThan(memory.nodes[0]!.freeKiB);
    const proof = await session.proveFree(0);
    expect(proof.free).toBe(false);
    expect(proof.usedKiB).toBeGreaterThan(0);
    await expect(session.proveFree(1000)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
  });
});

/** A folder that looks like a cgroup with memory, as far as the agent writes and reads. */
function fakeCgroup(files: Readonly<Record<string, string>>): { dir: string; read: Read } {
  const dir = mkdtempSync(path.join(task, 'cgroup-'));
  const group = path.join(dir, 'i1');
  mkdirSync(group);
  const all = { 'cgroup.procs': '', 'memory.max': 'max', 'memory.oom.group': '0', ...files };
  for (const [name, text] of Object.entries(all)) writeFileSync(path.join(group, name), text);
  writeFileSync(path.join(dir, 'cgroup.subtree_control'), '');
  return { dir, read: (name) => readFileSync(path.join(group, name), 'utf8') };
}
type Read = (name: string) => string;

describe('an instance’s memory', () => {
  const limited = { memMiB: 100 };

  it('is limited as a whole, and reported', async () => {
    const { dir, read } = fakeCgroup({ 'memory.current': '4096\n', 'memory.peak': '8192\n' });
    const { session } = agents.open({}, dir);
    const spec = { ...specOf('python3', 'app.pids'), ...limited };
    const { instance } = await session.startInstance(spec);
    expect([read('memory.max'), read('memory.oom.group')]).toEqual([String(100 << 20), '1']);
    expect((await session.memory()).instances).toEqual([
      { instance, currentBytes: 4096, peakBytes: 8192, limitBytes: 100 << 20, nodes: [] },
    ]);
  });

  it('that ran out is said to have, by its own counters; a signal alone is not', async () => {
    const events = (kills: number) => ({ 'memory.events': `low 0\noom 9\noom_kill ${kills}\n` });
    const die = async (files: Readonly<Record<string, string>>): Promise<unknown> => {
      const { session } = agents.open({}, fakeCgroup(files).dir);
      const spec = { ...specOf('python3', 'app.die'), ...limited };
      const { instance } = await session.startInstance(spec);
      return ask(session, instance).catch((error: unknown) => error);
    };
    const details = { limitMiB: 100 };
    expect(await die(events(1))).toMatchObject({ code: 'HANDLER_OUT_OF_MEMORY', details });
    expect(await die(events(0))).toMatchObject({ code: 'HANDLER_EXITED' });
  });

  it('is taken from Faascale’s kernel before it starts, and given back after its end', async () => {
    const files = { 'memory.faascale.size': '', 'memory.faascale.free': '' };
    const { dir, read } = fakeCgroup(files);
    const { session } = agents.open({}, dir);
    const spec = { ...specOf('python3', 'app.pids'), ...limited };
    const { instance } = await session.startInstance(spec);
    expect([read('memory.faascale.size'), read('memory.faascale.free')]).toEqual(['100M', '']);
    await session.kill(instance);
    expect(read('memory.faascale.free')).toBe('1');
  });
});
