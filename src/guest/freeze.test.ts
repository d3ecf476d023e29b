/** FREEZE and THAW over the real agent and runtimes as host processes. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TEST_CONTEXT } from './testing.js';
import {
  buildAgent,
  LONG_MS,
  makeCgroup,
  RealAgents,
  removeCgroup,
  restore,
} from './testing-agent.js';

const PYTHON = `
import os
def echo(event, context): return event
def spin(event, context):
    while True: pass
def background(event, context):
    import threading
    def write(path):
        with open(path, "ab", 0) as file:
            while True: file.write(b".")
    if os.fork() == 0: write(event + ".child")
    threading.Thread(target=write, args=(event + ".thread",), daemon=True).start()
def deaf(event, context):
    import ctypes, threading
    # With the interpreter's lock in hand, so that nothing else runs.
    threading.Timer(0.1, ctypes.PyDLL(None).usleep, (int(event * 1e6),)).start()
    return event
`;

const NODE = `
exports.echo = (event) => event;
exports.background = (path) => void setInterval(() => require('fs').appendFileSync(path, '.'), 1);
`;

let task: string;
const agents = new RealAgents(() => task);
const { open, start } = agents;

beforeAll(() => {
  buildAgent();
  task = mkdtempSync(path.join(tmpdir(), 'sparkler-task-'));
  writeFileSync(path.join(task, 'app.py'), PYTHON);
  writeFileSync(path.join(task, 'app.js'), NODE);
}, 60_000);
afterAll(() => rmSync(task, { recursive: true, force: true }));
afterEach(() => agents.kill());

describe('a freeze', () => {
  const cgroup = makeCgroup('freeze');
  const QUIET_MS = 100;

  afterAll(async () => {
    if (cgroup !== undefined) await removeCgroup(cgroup);
  });

  /** Asserts that none of the files grows, or that all do. */
  async function expectGrowth(files: string[], grows: boolean): Promise<void> {
    const size = (file: string): number => (existsSync(file) ? statSync(file).size : 0);
    const before = files.map(size);
    if (grows) {
      const all = () => files.every((file, i) => size(file) > Number(before[i]));
      await expect.poll(all, { timeout: LONG_MS }).toBe(true);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    expect(files.map(size)).toEqual(before);
  }

  it.skipIf(cgroup === undefined).each([
    ['python3', ['.thread', '.child']],
    ['nodejs', ['']],
  ] as const)('holds all that a function of %s has running', async (runtime, endings) => {
    const { session, spec, invoke } = await start(runtime, 'app.background', {}, cgroup);
    const file = path.join(task, `frozen-${runtime}`);
    const files = endings.map((ending) => file + ending);
    await invoke(file);
    const { instance } = await session.startInstance({ ...spec, handler: 'app.echo' });
    for (const goOn of [() => session.thaw(), () => restore(session), () => session.thaw()]) {
      await expectGrowth(files, true);
      await session.freeze();
      await expectGrowth(files, false);
      await session.ping();
      await goOn();
    }
    const second = session.invoke(instance, '7', TEST_CONTEXT, LONG_MS);
    expect((await second).json.toString()).toBe('7');
  });

  it.skipIf(cgroup === undefined)('lets a frozen instance be ended', async () => {
    const { session, instance, invoke } = await start('python3', 'app.background', {}, cgroup);
    await invoke(path.join(task, 'ended'));
    await session.freeze();
    expect(await session.kill(instance)).toMatchObject({ signal: 9 });
    await session.freeze(); // nothing is left to freeze
    await restore(session);
    expect(session.instances).toEqual([]);
  });

  it('without an instance is answered at once', async () => {
    const { session } = open();
    await session.hello;
    await session.freeze();
    await session.thaw();
    await session.thaw(); // harmless
    await session.ping();
  });

  it('of a busy instance fails, and the others go on', async () => {
    const { session, spec, instance, invoke } = await start('python3', 'app.spin');
    const other = await session.startInstance({ ...spec, handler: 'app.echo' });
    const spinning = invoke(1).catch((error: unknown) => error);
    await expect(session.freeze()).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FROZEN',
      message: expect.stringContaining(`instance ${instance} is busy`) as string,
    });
    const answer = await session.invoke(other.instance, '1', TEST_CONTEXT, LONG_MS);
    expect(answer.json.toString()).toBe('1');
    await session.kill(instance);
    await spinning;
    await session.freeze();
    await session.thaw();
  });

  it('of a function that does not let go fails in time; it is well afterwards', async () => {
    const { session, spec, invoke } = await start('python3', 'app.deaf', { freezeTimeoutMs: 300 });
    const other = await session.startInstance({ ...spec, handler: 'app.echo' });
    await invoke(1.5);
    await new Promise((resolve) => setTimeout(resolve, 200)); // until it is deaf
    for (let i = 0; i < 2; i++) {
      await expect(session.freeze()).rejects.toMatchObject({
        code: 'FUNCTION_NOT_FROZEN',
        message: expect.stringContaining('did not hold still in time') as string,
      });
      const answer = await session.invoke(other.instance, '1', TEST_CONTEXT, LONG_MS);
      expect(answer.json.toString()).toBe('1');
    }
    expect((await invoke(0)).json.toString()).toBe('0');
  });
});
