/** Instances that are bound to blocks: where their pages lie, and what is left when they end. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestSession, SEED_BYTES, type GuestNode } from '../../src/guest/index.js';
import { startBlockGuest, type BlockGuest } from '../support/block-guest.js';
import { qemuUnderTest, type QemuUnderTest } from '../support/qemu.js';

const PYTHON = `
import ctypes, glob, mmap, os, random, subprocess, sys, threading
kept = []
def touch(mib): kept.append(b"x" * (mib << 20))
def handler(event, context):
    if "touch" in event: touch(event["touch"])
    if "thread" in event:
        thread = threading.Thread(target=touch, args=(event["thread"],))
        thread.start()
        thread.join()
    if "file" in event:
        with open("/tmp/file-%d" % os.getpid(), "wb") as file: file.write(b"x" * (event["file"] << 20))
    if "shared" in event:
        room = mmap.mmap(-1, event["shared"] << 20)
        room.write(b"x" * (event["shared"] << 20))
        kept.append(room)
    if "read" in event:
        return sum(len(open(path, "rb").read()) for path in sorted(glob.glob(event["read"]))[:400])
    if "pipe" in event:
        return subprocess.run(["cat"], input=b"y" * event["pipe"], capture_output=True).stdout.decode()
    if "undo" in event:
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.syscall(238, 0, None, 0), ctypes.get_errno()]
    return sum(map(len, kept))
`;

const NODE = `
const fs = require('node:fs/promises');
const kept = [];
exports.handler = async (event) => {
  if (event.touch) kept.push(Buffer.alloc(event.touch << 20, 1));
  if (event.objects) for (let i = 0; i < event.objects; i++) kept.push({ i, text: 'n' + i });
  await fs.readFile('/etc/passwd');
  return kept.length;
};
`;

const BLOCK_MIB = 128;
const BLOCKS = 5;
const KIB = 1024;
const LIMIT_MS = 60_000;
const EPERM = 1;

let under: QemuUnderTest;
let guest: BlockGuest;
let session: GuestSession;

beforeAll(async () => {
  under = await qemuUnderTest('sparkler-blocks', { 'app.py': PYTHON, 'app.js': NODE });
  const { config, kernelPath, initrdPath, drives } = under;
  const qemuPath = config.vmm.qemuPath;
  const size = { vcpus: 2, memMiB: 512, blockMiB: BLOCK_MIB, blocks: BLOCKS };
  guest = startBlockGuest({ qemuPath, kernelPath, initrdPath, drives, ...size });
  session = new GuestSession(guest.channel, {
    ...{ helloTimeoutMs: LIMIT_MS, startTimeoutMs: LIMIT_MS, restoreTimeoutMs: LIMIT_MS },
    ...{ exitTimeoutMs: LIMIT_MS, pingTimeoutMs: LIMIT_MS, freezeTimeoutMs: LIMIT_MS },
    ...{ logBytes: 64 * KIB, resultBytes: 6 * KIB * KIB },
  });
  await session.hello;
  await session.restore(randomBytes(SEED_BYTES), BigInt(Date.now()) * 1_000_000n);
});
afterAll(async () => {
  session.close();
  await guest.close();
  await under.dispose();
});

async function ask(instance: number, event: object): Promise<unknown> {
  const context = { requestId: 'r', functionName: 'f', memoryMiB: 64 };
  const { json } = await session.invoke(instance, JSON.stringify(event), context, LIMIT_MS);
  return JSON.parse(json.toString());
}

const usedMiB = async (): Promise<number[]> =>
  (await session.memory()).nodes.map(({ managedKiB, freeKiB }: GuestNode) =>
    Math.round((managedKiB - freeKiB) / KIB),
  );

async function expectAllFree(): Promise<void> {
  for (let node = 1; node <= BLOCKS; node++) {
    expect(await session.proveFree(node), `node ${node}`).toEqual({ free: true, usedKiB: 0 });
  }
}

describe.each([
  ['python3', true],
  ['python3', false],
  ['nodejs', true],
] as const)('instances of %s, from a zygote: %s', (runtime, zygote) => {
  const spec = { runtime, handler: 'app.handler', env: {}, memMiB: 100 };

  it('leave the blocks free while none is bound to one', async () => {
    if (zygote) await session.startZygote(spec);
    const { instance } = await session.startInstance(spec);
    await ask(instance, { touch: 8 });
    await expectAllFree();
    await session.kill(instance);
  });

  it('touch memory of their own block only, and leave it free', async () => {
    if (zygote) await session.startZygote(spec); // until the next is ready
    const before = await usedMiB();
    const { instance, fromZygote } = await session.startInstance({ ...spec, nodes: [2] });
    expect(fromZygote).toBe(zygote);
    await ask(instance, { touch: 40 });
    const during = await usedMiB();
    expect(during[2]).toBeGreaterThanOrEqual(40);
    expect(during[0]! - before[0]!).toBeLessThan(zygote ? 20 : 60);
    expect([during[1], during[3], during[4]]).toEqual([0, 0, 0]);
    const proof = await session.proveFree(2);
    expect(proof.free).toBe(false);
    expect(proof.usedKiB).toBeGreaterThanOrEqual(40 * KIB);
    const { instances } = await session.memory();
    expect(instances).toMatchObject([{ instance, nodes: [2], limitBytes: 100 << 20 }]);
    await session.kill(instance);
    await expectAllFree();
  });

  it('take several blocks when one is too small', async () => {
    if (zygote) await session.startZygote(spec);
    const large = { ...spec, memMiB: 240, nodes: [1, 3] };
    const { instance, fromZygote } = await session.startInstance(large);
    expect(fromZygote).toBe(zygote);
    await ask(instance, { touch: 170 });
    const during = await usedMiB();
    expect(during[1]! + during[3]!).toBeGreaterThanOrEqual(170);
    expect([during[2], during[4], during[5]]).toEqual([0, 0, 0]);
    await session.kill(instance);
    const huge = await session.startInstance({ ...spec, memMiB: 480, nodes: [1, 2, 3, 4] });
    expect(huge.fromZygote).toBe(false);
    await ask(huge.instance, { touch: 400 });
    expect((await usedMiB()).slice(1, 5).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(400);
    await session.kill(huge.instance);
    await expectAllFree();
    if (zygote) await session.endZygote();
  });
});

describe('an instance in a block', () => {
  const spec = { runtime: 'python3', handler: 'app.handler', env: {}, memMiB: 100 };

  beforeAll(async () => {
    await session.startZygote(spec);
  });

  it('meets its limit, or the end of its block; its neighbours do not notice', async () => {
    const neighbour = await session.startInstance({ ...spec, nodes: [1] });
    await ask(neighbour.instance, { touch: 30 });
    const small = await session.startInstance({ ...spec, nodes: [2] });
    await expect(ask(small.instance, { touch: 110 })).rejects.toMatchObject({
      code: 'HANDLER_OUT_OF_MEMORY',
      details: { limitMiB: 100 },
    });
    const wide = await session.startInstance({ ...spec, memMiB: 300, nodes: [3] });
    await expect(ask(wide.instance, { touch: 140 })).rejects.toMatchObject({
      code: 'HANDLER_OUT_OF_MEMORY',
    });
    expect(await ask(neighbour.instance, {})).toBe(30 << 20);
    expect((await session.startInstance(spec)).fromZygote).toBe(true);
    await session.kill(neighbour.instance);
    await expectAllFree();
  });

  it('may use pipes, files, threads and shared memory, and leaves none of it', async () => {
    const { instance } = await session.startInstance({ ...spec, nodes: [4] });
    expect(await ask(instance, { pipe: 200_000 })).toBe('y'.repeat(200_000));
    const before = await usedMiB();
    await ask(instance, { thread: 20, shared: 10 });
    const during = await usedMiB();
    expect(during[4]! - before[4]!).toBeGreaterThanOrEqual(30);
    await ask(instance, { file: 12 });
    const after = await usedMiB();
    expect(after[0]! - during[0]!).toBeGreaterThanOrEqual(10); // a file outlives who wrote it
    await session.kill(instance);
    await expectAllFree();
  });

  it('gives up what it has read when it ends', async () => {
    const { instance } = await session.startInstance({ ...spec, nodes: [5] });
    expect(await ask(instance, { read: '/usr/lib/python3*/**/*.py' })).toBeGreaterThan(1 << 20);
    expect((await usedMiB())[5]).toBeGreaterThan(1);
    await session.kill(instance);
    await expectAllFree();
  });

  it('cannot undo where its memory lies', async () => {
    const { instance } = await session.startInstance({ ...spec, nodes: [1] });
    expect(await ask(instance, { undo: true })).toEqual([-1, EPERM]);
  });

  it('is refused a block that there is not', async () => {
    await expect(session.startInstance({ ...spec, nodes: [BLOCKS + 1] })).rejects.toMatchObject({
      code: 'GUEST_NOT_READY',
      message: expect.stringContaining('nodes') as string,
    });
    await expect(session.proveFree(BLOCKS + 1)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
  });
});
