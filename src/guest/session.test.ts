import { describe, expect, it } from 'vitest';
import { FakeAgent, type FakeAgentOptions } from './fake-agent.js';
import { encodeFrame, FrameDecoder, FrameType } from './frames.js';
import { LogTail } from './log-tail.js';
import { decodeStart, encodeStart, SEED_BYTES } from './messages.js';
import type { GuestOptions } from './options.js';
import { GuestSession } from './session.js';
import { channelPair, TEST_CONTEXT, TEST_OPTIONS } from './testing.js';

const SPEC = { runtime: 'python3', handler: 'app.handler', env: { A: 'b=c' } };
const SEED = Buffer.alloc(SEED_BYTES, 1);

function connect(agent: Partial<FakeAgentOptions> = {}, options: Partial<GuestOptions> = {}) {
  const [host, guest] = channelPair();
  const fake = new FakeAgent(guest, { handler: (_name, event) => event, ...agent });
  const session = new GuestSession(host, { ...TEST_OPTIONS, ...options });
  return { session, fake, guest };
}

async function started(agent: Partial<FakeAgentOptions> = {}, options: Partial<GuestOptions> = {}) {
  const all = connect(agent, options);
  await all.session.hello;
  const { instance } = await all.session.startInstance(SPEC);
  const invoke = (event: string, ms = 20_000) =>
    all.session.invoke(instance, event, TEST_CONTEXT, ms);
  return { ...all, instance, invoke };
}

describe('GuestSession', () => {
  it('starts an instance and invokes it', async () => {
    const seen: unknown[] = [];
    const { session, invoke } = await started({
      load: (spec) => seen.push(spec),
      handler: (name, event, context, log) => {
        log('printed\n');
        return { name, event, id: context.requestId };
      },
    });
    const result = await invoke('{"a":1}');
    expect(JSON.parse(result.json.toString())).toEqual({
      name: 'app.handler',
      event: { a: 1 },
      id: 'r-1',
    });
    expect(result.logs).toBe('printed\n');
    expect(seen).toEqual([{ ...SPEC, cwd: '/var/task', memMiB: 0 }]);
    expect(session.instances).toEqual([1]);
  });

  it('passes an event and a result of megabytes', async () => {
    const { invoke } = await started();
    const text = JSON.stringify('x'.repeat(5 << 20));
    expect((await invoke(text)).json.equals(Buffer.from(text))).toBe(true);
  });

  it('rejects what the handler throws, with type, stack and logs, and goes on', async () => {
    const { invoke } = await started({
      handler: (_name, event, _context, log) => {
        log('before\n');
        if (event === 1) throw new RangeError('too far');
        return 2;
      },
    });
    await expect(invoke('1')).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      message: 'RangeError: too far',
      details: { errorType: 'RangeError', logs: 'before\n' },
    });
    expect((await invoke('2')).json.toString()).toBe('2');
  });

  it('rejects a handler that cannot be loaded', async () => {
    const { session } = connect({
      load: () => {
        throw new SyntaxError('line 3');
      },
    });
    await expect(session.startInstance(SPEC)).rejects.toMatchObject({
      code: 'HANDLER_FAILED',
      details: { step: 'start-instance', errorType: 'SyntaxError' },
    });
  });

  it('ends an invocation that runs too long', async () => {
    const { session, invoke } = await started({ handler: () => new Promise(() => undefined) });
    await expect(invoke('1', 20)).rejects.toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(session.instances).toEqual([]);
    await expect(invoke('1')).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
  });

  it('rejects a second invocation of a busy instance', async () => {
    const { invoke } = await started({ handler: () => new Promise(() => undefined) });
    const first = invoke('1');
    await expect(invoke('2')).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    void first.catch(() => undefined);
  });

  it('kills an instance and rejects what it was doing', async () => {
    const { session, instance, invoke } = await started({ handler: () => new Promise(() => 0) });
    const running = expect(invoke('1')).rejects.toMatchObject({
      code: 'HANDLER_EXITED',
      message: expect.stringContaining('signal 9') as string,
    });
    expect(await session.kill(instance)).toEqual({
      code: null,
      signal: 9,
      oom: false,
      limitBytes: null,
    });
    await running;
  });

  it('takes over the instances of a snapshot, invoked right behind the restore', async () => {
    const first = await started();
    const { session, fake } = connect({ instances: first.fake.instances });
    session.adopt([1]);
    const restored = session.restore(SEED, 1n);
    const result = session.invoke(1, '"again"', TEST_CONTEXT, 20_000);
    await restored;
    expect((await result).json.toString()).toBe('"again"');
    expect(fake.restores).toBe(1);
  });

  it('freezes and thaws; an invocation waits', async () => {
    const { session, fake, invoke } = await started();
    await session.freeze();
    expect(fake.frozen).toBe(true);
    let answered = false;
    const result = invoke('1').finally(() => (answered = true));
    await session.ping();
    expect(answered).toBe(false);
    await session.thaw();
    expect((await result).json.toString()).toBe('1');
  });

  it('says why a guest cannot be frozen, and goes on', async () => {
    const { session, fake, invoke } = await started({ unfreezable: () => 'instance 1 is busy' });
    await expect(session.freeze()).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FROZEN',
      message: expect.stringContaining('instance 1 is busy') as string,
    });
    expect(fake.frozen).toBe(false);
    expect((await invoke('1')).json.toString()).toBe('1');
  });

  it('ends with a guest that does not confirm its thaw', async () => {
    const session = new GuestSession(channelPair()[0], { ...TEST_OPTIONS, freezeTimeoutMs: 10 });
    await expect(session.thaw()).rejects.toMatchObject({
      code: 'GUEST_NOT_READY',
      details: { step: 'thaw' },
    });
    expect((await session.closed).code).toBe('GUEST_NOT_READY');
  });

  it('discards what a restored guest still says of its earlier life', async () => {
    const [host, guest] = channelPair();
    const session = new GuestSession(host, TEST_OPTIONS);
    session.adopt([7]);
    const restored = session.restore(SEED, 1n);
    guest.write(encodeFrame(FrameType.LOG, 7, 0, Buffer.alloc(500)).subarray(123));
    new FakeAgent(guest, { handler: () => 1, instances: [[7, SPEC]] });
    await restored;
    expect(session.instances).toEqual([7]);
  });

  it('drops an adopted instance that the restored guest no longer has', async () => {
    const { session } = connect({ instances: [[1, SPEC]] });
    session.adopt([1, 2]);
    await session.restore(SEED, 1n);
    expect(session.instances).toEqual([1]);
  });

  it('rejects all that waits when the channel ends', async () => {
    const { session, guest, invoke } = await started({ handler: () => new Promise(() => 0) });
    const all = [invoke('1'), session.startInstance(SPEC).then(() => new Promise(() => 0))];
    guest.destroy();
    for (const call of all) await expect(call).rejects.toMatchObject({ code: 'VM_DIED' });
    await expect(session.ping()).rejects.toMatchObject({ code: 'VM_DIED' });
    expect((await session.closed).code).toBe('VM_DIED');
  });

  it.each([
    ['garbage', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a frame of no instance', encodeFrame(FrameType.LOG, 9, 0)],
    ['an answer to nothing', encodeFrame(FrameType.RESULT, 1, 77, Buffer.alloc(9))],
    ['a HELLO that is not JSON', encodeFrame(FrameType.HELLO, 0, 0, Buffer.from('{'))],
  ])('gives the channel up on %s', async (_what, bytes) => {
    const { session, guest } = await started();
    guest.write(bytes);
    expect((await session.closed).code).toBe('GUEST_PROTOCOL');
  });

  it('says what the agent failed of', async () => {
    const { session, guest } = await started();
    guest.write(encodeFrame(FrameType.FATAL, 0, 0, Buffer.from('{"message":"no memory"}')));
    expect(await session.closed).toMatchObject({
      code: 'GUEST_PANICKED',
      message: expect.stringContaining('no memory') as string,
    });
  });

  it('rejects when nothing comes up, or nothing takes up its work', async () => {
    const mute = () => channelPair()[0];
    const a = new GuestSession(mute(), { ...TEST_OPTIONS, helloTimeoutMs: 10 });
    await expect(a.hello).rejects.toMatchObject({ code: 'GUEST_NOT_READY' });
    const b = new GuestSession(mute(), { ...TEST_OPTIONS, restoreTimeoutMs: 10 });
    b.adopt([1]);
    await expect(b.restore(SEED, 1n)).rejects.toMatchObject({ code: 'GUEST_NOT_READY' });
  });

  it('refuses variables that the guest cannot be given', async () => {
    const { session } = connect();
    for (const env of [{ 'A=B': '' }, { A: 'x\0y' }, { '': 'x' }]) {
      await expect(session.startInstance({ ...SPEC, env })).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
      });
    }
  });
});

describe('a zygote', () => {
  it('is what instances of the same handler come from, and no instance itself', async () => {
    const loaded: unknown[] = [];
    const { session } = connect({ load: (spec) => loaded.push(spec.handler) });
    await session.startZygote(SPEC);
    const same = await session.startInstance({ ...SPEC, memMiB: 64, nodes: [2] });
    const other = await session.startInstance({ ...SPEC, handler: 'app.other' });
    expect([same.fromZygote, other.fromZygote]).toEqual([true, false]);
    expect(loaded).toEqual(['app.handler', 'app.other']);
    expect(session.instances).toEqual([same.instance, other.instance]);
    await session.startZygote(SPEC); // the same again: nothing to do
    await session.endZygote();
    expect(session.instances).toEqual([same.instance, other.instance]);
    expect((await session.startInstance(SPEC)).fromZygote).toBe(false);
  });

  it('is in a snapshot, unseen by who takes it over', async () => {
    const first = connect();
    await first.session.startZygote(SPEC);
    const { session } = connect({ instances: first.fake.instances });
    session.adopt([]);
    await session.restore(SEED, 1n);
    expect(session.instances).toEqual([]);
    expect((await session.startInstance(SPEC)).fromZygote).toBe(true);
  });

  it('that cannot be loaded, or is another’s, rejects', async () => {
    let broken = true;
    const { session } = connect({
      load: () => {
        if (broken) throw new SyntaxError('line 3');
      },
    });
    await expect(session.startZygote(SPEC)).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    broken = false;
    await session.startZygote(SPEC);
    await expect(session.startZygote({ ...SPEC, handler: 'b.c' })).rejects.toMatchObject({
      code: 'VM_WRONG_STATE',
      message: expect.stringContaining('a zygote of something else') as string,
    });
    expect((await session.startInstance(SPEC)).fromZygote).toBe(true);
  });
});

describe('memory', () => {
  const nodes = [
    { node: 0, managedKiB: 1000, freeKiB: 10 },
    { node: 1, managedKiB: 500, freeKiB: 500 },
    { node: 2, managedKiB: 500, freeKiB: 460 },
  ];

  it('is reported by node and by instance, and proved free by node', async () => {
    const { session } = await started({ nodes: () => nodes });
    const { instance } = await session.startInstance({ ...SPEC, memMiB: 64, nodes: [1] });
    const memory = await session.memory();
    expect(memory).toMatchObject({ totalKiB: 2000, freeKiB: 970, nodes, zygoteBytes: null });
    expect(memory.instances).toMatchObject([
      { instance: 1, limitBytes: null, nodes: [] },
      { instance, limitBytes: 64 << 20, nodes: [1] },
    ]);
    expect(await session.proveFree(2)).toEqual({ free: false, usedKiB: 40 });
    expect(await session.proveFree(1)).toEqual({ free: false, usedKiB: 0 });
    await session.kill(instance);
    expect(await session.proveFree(1)).toEqual({ free: true, usedKiB: 0 });
    await expect(session.proveFree(7)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    await expect(session.proveFree(-1)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('that an instance runs out of ends it, with its limit', async () => {
    const { session } = connect({ takesMiB: (event) => Number(event) });
    await session.hello;
    const { instance } = await session.startInstance({ ...SPEC, memMiB: 64 });
    const invoke = (event: string) => session.invoke(instance, event, TEST_CONTEXT, 20_000);
    expect((await invoke('64')).json.toString()).toBe('64');
    await expect(invoke('65')).rejects.toMatchObject({
      code: 'HANDLER_OUT_OF_MEMORY',
      message: expect.stringContaining('64 MiB') as string,
      details: { limitMiB: 64 },
    });
    expect(session.instances).toEqual([]);
  });

  it('is not reported in words that cannot be understood', async () => {
    const [host, guest] = channelPair();
    const session = new GuestSession(host, TEST_OPTIONS);
    guest.on('data', (chunk: Buffer) => {
      const { request } = new FrameDecoder('host').push(chunk)[0]!;
      guest.write(encodeFrame(FrameType.REPORT, 0, request, Buffer.from('{"totalKiB":-1}')));
    });
    await expect(session.memory()).rejects.toMatchObject({ code: 'GUEST_PROTOCOL' });
  });
});

describe('START', () => {
  it.each([
    [{}, 0, undefined],
    [{ memMiB: 128 }, 128, undefined],
    [{ memMiB: 128, nodes: [] }, 128, undefined],
    [{ memMiB: 300, nodes: [1, 12] }, 300, [1, 12]],
  ])('carries %j', (place, memMiB, nodes) => {
    const spec = decodeStart(encodeStart({ ...SPEC, ...place }));
    expect([spec.memMiB, spec.nodes, spec.env]).toEqual([memMiB, nodes, SPEC.env]);
  });
});

describe('LogTail', () => {
  it('keeps the last bytes and says how many it left out', () => {
    for (const size of [1, 3, 10, 25, 100]) {
      const tail = new LogTail(10);
      const all = 'abcdefghij'.repeat(10);
      for (let at = 0; at < all.length; at += size)
        tail.push(Buffer.from(all.slice(at, at + size)));
      expect(tail.toString()).toBe('[90 earlier bytes left out]\nabcdefghij');
    }
    const short = new LogTail(10);
    short.push(Buffer.from('abc'));
    expect(short.toString()).toBe('abc');
  });
});
