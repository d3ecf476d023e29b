/** The real agent and runtimes as host processes, the agent built with sanitizers. */
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeFrame, FrameType, MAX_PAYLOAD_BYTES } from './frames.js';
import { seededRandom, TEST_CONTEXT, TEST_OPTIONS } from './testing.js';
import { buildAgent, LONG_MS, RealAgents, restore } from './testing-agent.js';

const PYTHON = `
import os, subprocess, sys, time
def echo(event, context):
    print("got", context.aws_request_id)
    return event
def fail(event, context):
    print("before")
    raise ValueError("bad " + event)
def nan(event, context): return float("nan")
def a_set(event, context): return {"a": {1}}
def circle(event, context):
    a = []
    a.append(a)
    return a
def nothing(event, context): pass
def leave(event, context): sys.exit(3)
def spin(event, context):
    while True: pass
def long(event, context): return "x" * (7 << 20)
def noisy(event, context):
    for _ in range(event): print("y" * 999)
    return "done"
def family(event, context):
    child = subprocess.Popen(["sleep", "1000"])
    with open(event, "w") as file: file.write(str(child.pid))
    time.sleep(1000)
def scribble(event, context):
    os.write(3, bytes.fromhex(event))
    time.sleep(1000)
def verbose(event, context): raise ValueError("m" * (9 << 20))
def crash(event, context):
    import ctypes
    ctypes.string_at(0)
not_a_function = 3
`;

const NODE = `
exports.echo = async (event, context) => { console.log('got', context.awsRequestId); return event; };
exports.calls = (event, context, callback) => setTimeout(() => callback(null, event), 1);
exports.fail = () => { throw new TypeError('bad'); };
exports.bigint = () => 5n;
exports.circle = () => { const a = {}; a.a = a; return a; };
exports.nothing = () => undefined;
exports.leave = () => process.exit(3);
exports.spin = () => { for (;;); };
exports.wait = () => new Promise((resolve) => setTimeout(resolve, 1e6));
exports.long = () => 'x'.repeat(7 << 20);
exports.random = () => Math.random();
`;

let task: string;
const agents = new RealAgents(() => task);
const { raw, open, start } = agents;

beforeAll(() => {
  buildAgent();
  task = mkdtempSync(path.join(tmpdir(), 'sparkler-task-'));
  writeFileSync(path.join(task, 'app.py'), PYTHON);
  writeFileSync(path.join(task, 'app.js'), NODE);
  writeFileSync(path.join(task, 'module.mjs'), 'export const echo = (event) => event;');
  writeFileSync(path.join(task, 'broken.py'), 'import no_such_thing\n');
  mkdirSync(path.join(task, 'lib'));
  writeFileSync(path.join(task, 'lib/deep.py'), 'def f(event, context): return "deep"\n');
  writeFileSync(path.join(task, 'lib/package.json'), '{"type":"module"}');
  writeFileSync(path.join(task, 'lib/deep.js'), 'export const f = () => "deep";');
}, 60_000);

afterAll(() => rmSync(task, { recursive: true, force: true }));

afterEach(() => agents.kill());

describe.each([
  ['python3', 'app.echo'],
  ['nodejs', 'app.echo'],
  ['nodejs', 'module.echo'],
])('%s %s', (runtime, handler) => {
  it('answers with what it got, small and long, before and after restores', async () => {
    const { session, invoke } = await start(runtime, handler);
    const events: unknown[] = [null, 0, 'ü€😀', { a: [1.5, true, { b: '' }] }, 'x'.repeat(5 << 20)];
    for (const event of events) {
      expect(JSON.parse((await invoke(event)).json.toString())).toEqual(event);
    }
    for (let i = 0; i < 20; i++) {
      if (i % 2 === 0) await session.freeze();
      if (i % 4 === 0) await session.thaw();
      const restored = restore(session);
      const result = invoke(i); // right behind, as a start from a snapshot does
      await restored;
      expect((await result).json.toString()).toBe(String(i));
    }
    if (handler === 'app.echo') expect((await invoke(1)).logs).toBe('got r-1\n');
  });
});

describe('what a handler does wrong', () => {
  it.each([
    ['python3', 'app.fail', 'HANDLER_FAILED', 'ValueError: bad x'],
    ['python3', 'app.verbose', 'HANDLER_FAILED', 'ValueError: mmm'],
    ['python3', 'app.nan', 'RESULT_NOT_JSON', 'Out of range'],
    ['python3', 'app.a_set', 'RESULT_NOT_JSON', 'type set'],
    ['python3', 'app.circle', 'RESULT_NOT_JSON', 'Circular'],
    ['python3', 'app.long', 'RESULT_TOO_LARGE', '7340034 bytes'],
    ['python3', 'app.leave', 'HANDLER_EXITED', 'exit code 3'],
    ['nodejs', 'app.fail', 'HANDLER_FAILED', 'TypeError: bad'],
    ['nodejs', 'app.bigint', 'RESULT_NOT_JSON', 'BigInt'],
    ['nodejs', 'app.circle', 'RESULT_NOT_JSON', 'circular'],
    ['nodejs', 'app.long', 'RESULT_TOO_LARGE', '7340034 bytes'],
    ['nodejs', 'app.leave', 'HANDLER_EXITED', 'exit code 3'],
  ])('%s %s: %s', async (runtime, handler, code, message) => {
    const { invoke } = await start(runtime, handler);
    await expect(invoke('x')).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });

  it.each([
    ['python3', 'app.fail', 'app.py'],
    ['nodejs', 'app.fail', 'app.js'],
  ])('%s: the stack is the function’s own', async (runtime, handler, file) => {
    const { invoke } = await start(runtime, handler);
    const error = (await invoke('x').catch((e: unknown) => e)) as { details: { stack: string } };
    expect(error.details.stack).toContain(path.join(task, file));
    expect(error.details.stack).not.toContain('bootstrap');
  });

  it.each(['python3', 'nodejs'])('%s: nothing returned is null', async (runtime) => {
    const { invoke } = await start(runtime, 'app.nothing');
    expect((await invoke(1)).json.toString()).toBe('null');
  });

  it('Node.js may call back', async () => {
    const { invoke } = await start('nodejs', 'app.calls');
    expect((await invoke([1])).json.toString()).toBe('[1]');
  });

  it.each(['python3', 'nodejs'])('%s finds a handler in a folder', async (runtime) => {
    const { invoke } = await start(runtime, 'lib/deep.f');
    expect((await invoke(1)).json.toString()).toBe('"deep"');
  });

  it.each([
    ['python3', 'app.nope', 'HANDLER_NOT_FOUND', /function 'nope' in .*app\.py.*echo/],
    ['python3', 'nope.f', 'HANDLER_NOT_FOUND', /module 'nope'.*app\.py/],
    ['python3', 'app.not_a_function', 'HANDLER_NOT_FOUND', /is not a function/],
    ['python3', 'app', 'HANDLER_NOT_FOUND', /file\.function/],
    ['python3', 'broken.f', 'HANDLER_FAILED', /no_such_thing/],
    ['nodejs', 'app.nope', 'HANDLER_NOT_FOUND', /function 'nope' exported by .*app\.js.*echo/],
    ['nodejs', 'nope.f', 'HANDLER_NOT_FOUND', /needs a file nope\.js.*app\.js/],
    ['nodejs', '../../etc/x.f', 'HANDLER_NOT_FOUND', /file\.function/],
    ['cobol', 'app.f', 'GUEST_NOT_READY', /knows no runtime/],
  ])('%s %s cannot be loaded: %s', async (runtime, handler, code, message) => {
    await expect(start(runtime, handler)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  it('Python says where it was when its time was up', async () => {
    const { session, invoke } = await start('python3', 'app.spin');
    await expect(invoke(1, 100)).rejects.toMatchObject({
      code: 'HANDLER_TIMEOUT',
      details: { stack: expect.stringMatching(/app\.py", line \d+ in spin/) as string },
    });
    expect(session.instances).toEqual([]);
  });

  it('Node.js is ended, busy or waiting; waiting it says for what', async () => {
    const busy = await start('nodejs', 'app.spin');
    await expect(busy.invoke(1, 100)).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    const waiting = await start('nodejs', 'app.wait');
    await expect(waiting.invoke(1, 100)).rejects.toMatchObject({
      code: 'HANDLER_TIMEOUT',
      details: { stack: expect.stringContaining('waiting for: Timeout') as string },
    });
  });

  it('a crash of the interpreter shows its stack', async () => {
    const { invoke } = await start('python3', 'app.crash');
    await expect(invoke(1)).rejects.toMatchObject({
      code: 'HANDLER_EXITED',
      details: { stack: expect.stringContaining('Segmentation fault') as string },
    });
  });

  it('a frame of the function’s own making ends its instance, not the agent', async () => {
    for (const bytes of ['ffffffff840000000000000', '00000000840000000000000'].map(
      (b) => b + '0',
    )) {
      const { session, spec, invoke } = await start('python3', 'app.scribble');
      await expect(invoke(bytes)).rejects.toMatchObject({ code: 'HANDLER_EXITED' });
      await expect(session.startInstance(spec)).resolves.toMatchObject({ instance: 2 });
    }
  });
});

describe('the agent', () => {
  it('slows a function that prints megabytes, and loses nothing', async () => {
    let bytes = 0;
    const { channel, invoke } = await start('python3', 'app.noisy', {
      onLog: (_instance, chunk) => (bytes += chunk.length),
    });
    const running = invoke(20_000);
    channel.pause();
    // Longer than the function needs to fill every buffer on the way.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const early = bytes;
    channel.resume();
    const result = await running;
    expect(early).toBeLessThan(20_000_000);
    expect(bytes).toBe(20_000_000);
    expect(result.logs.length).toBeLessThan(TEST_OPTIONS.logBytes + 100);
  });

  it('ends what an instance has started', async () => {
    const { session, instance, invoke } = await start('python3', 'app.family');
    const file = path.join(task, 'child.pid');
    const running = invoke(file).catch((e: unknown) => e);
    while (!existsSync(file) || readFileSync(file, 'utf8') === '') {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const child = Number(readFileSync(file, 'utf8'));
    await session.kill(instance);
    expect(await running).toMatchObject({ code: 'HANDLER_EXITED' });
    // Reaped by the agent as well: a zombie would still be there.
    await expect.poll(() => existsSync(`/proc/${child}`)).toBe(false);
  });

  it('holds several instances, one of them hanging', async () => {
    const { session, spec, invoke } = await start('python3', 'app.spin');
    const hanging = invoke(1).catch((e: unknown) => e);
    const second = await session.startInstance({ ...spec, handler: 'app.echo' });
    const answer = await session.invoke(second.instance, '5', TEST_CONTEXT, LONG_MS);
    expect(answer.json.toString()).toBe('5');
    await restore(session); // the hanging one does not reseed: it is ended
    expect(session.instances).toEqual([second.instance]);
    expect(await hanging).toMatchObject({ code: 'HANDLER_EXITED' });
  });

  it('answers a ping and ends when it is told to', async () => {
    const { agent, session } = open();
    expect(await session.hello).toMatchObject({ protocol: 1 });
    await session.ping();
    session.powerOff();
    expect(await once(agent, 'exit')).toEqual([0, null]);
  });

  it.each([
    ['a length over the limit', Buffer.from([1, 0, 0x80, 0, 6, 0, 0, 0, 0, 0, 0, 0])],
    ['a reserved byte', Buffer.from([0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0])],
    ['an unknown type', Buffer.from([0, 0, 0, 0, 0x66, 0, 0, 0, 0, 0, 0, 0])],
    ['a RESTORE that is too short', encodeFrame(FrameType.RESTORE, 0, 1, Buffer.alloc(9))],
    ['a FREEZE without a limit', encodeFrame(FrameType.FREEZE, 0, 1)],
  ])('gives up on %s from the host and says so', async (_what, bytes) => {
    const { agent, channel, said } = raw();
    channel.resume();
    channel.write(bytes);
    expect(await once(agent, 'exit')).toEqual([70, null]);
    expect(said()).toContain('sparkler-agent: fatal: ');
  });

  it('takes the longest frame', async () => {
    const { channel } = raw();
    channel.write(encodeFrame(FrameType.PING, 0, 1, Buffer.alloc(MAX_PAYLOAD_BYTES, 5)));
    let bytes = 0;
    for await (const chunk of channel) {
      bytes += (chunk as Buffer).length;
      if (bytes > MAX_PAYLOAD_BYTES) break;
    }
    expect(bytes).toBeGreaterThan(MAX_PAYLOAD_BYTES);
  });

  it('survives or refuses whatever the host sends, without a sanitizer’s word', async () => {
    const random = seededRandom('agent');
    const types = [1, 2, 3, 4, 6, 6, 6, 8, 9, 0x0a, 0x0b, 0x0c, 0x20, 0x84];
    for (let round = 0; round < 60; round++) {
      const { agent, channel, said } = raw();
      channel.on('error', () => undefined);
      channel.resume();
      for (let i = 0; i < 20; i++) {
        const payload = random.bytes(random.below(60));
        const type = types[random.below(types.length)] as FrameType;
        const frame = encodeFrame(type, random.below(4), random.below(99), payload);
        if (random.below(8) === 0) frame[random.below(12)] = random.below(256);
        channel.write(frame);
      }
      channel.end();
      const [code] = (await once(agent, 'exit')) as [number | null];
      expect([0, 70], `SPARKLER_TEST_SEED=${random.seed}: ${said()}`).toContain(code);
    }
  });
});
