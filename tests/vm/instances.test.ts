/** Several instances in one guest: from a zygote, each with its own limit, and in clones of it. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GuestSession, SEED_BYTES } from '../../src/guest/index.js';
import {
  bootMachine,
  restoreMachine,
  type Machine,
  type SnapshotFiles,
} from '../../src/vmm/index.js';
import { qemuUnderTest, type QemuUnderTest } from '../support/qemu.js';

const PYTHON = `
import json, os, random, uuid
kept, calls = [], 0
def handler(event, context):
    global calls
    calls += 1
    if "fill" in event:
        kept.append(b"x" * (event["fill"] << 20))
    if event.get("child") and os.fork() == 0:
        kept.append(b"x" * (event["child"] << 20))
    if event.get("leave"):
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    while True: pass
                os._exit(0)
        open("/tmp/left-" + str(os.getpid()), "w").write("x" * (1 << 20))
    return [calls, random.random(), str(uuid.uuid4()), os.urandom(8).hex()]
`;

const NODE = `
const crypto = require('node:crypto');
const kept = [];
let calls = 0;
exports.handler = async (event) => {
  if (event.fill) kept.push(Buffer.alloc(event.fill << 20, 1));
  return [++calls, Math.random(), crypto.randomUUID(), crypto.randomBytes(8).toString('hex')];
};
`;

type Answer = readonly [calls: number, ...drawn: (number | string)[]];
interface Vm {
  readonly machine: Machine;
  readonly session: GuestSession;
}

const INSTANCES = 8;
const MIB = 1024 * 1024;
/** What a guest may take for anything, milliseconds: it shares the machine with others. */
const LIMIT_MS = 60_000;

let under: QemuUnderTest;
const machines: Machine[] = [];

beforeAll(async () => {
  under = await qemuUnderTest('sparkler-instances', { 'app.py': PYTHON, 'app.js': NODE });
});
afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.close()));
});
afterAll(() => under.dispose());

const specOf = (memMiB: number) => ({
  ...{ vmId: `instances-${randomBytes(4).toString('hex')}`, vcpus: 1, memMiB, kernelArgs: '' },
  ...{ kernelPath: under.kernelPath, initrdPath: under.initrdPath, drives: under.drives },
  dir: mkdtempSync(join(under.dir, 'vm-')),
});

function sessionOf(machine: Machine): GuestSession {
  machines.push(machine);
  return new GuestSession(machine.channel, {
    ...{ helloTimeoutMs: LIMIT_MS, startTimeoutMs: LIMIT_MS, restoreTimeoutMs: LIMIT_MS },
    ...{ exitTimeoutMs: LIMIT_MS, pingTimeoutMs: LIMIT_MS, freezeTimeoutMs: LIMIT_MS },
    ...{ logBytes: 64 * 1024, resultBytes: 6 * MIB },
  });
}

const seeded = (session: GuestSession): Promise<void> =>
  session.restore(randomBytes(SEED_BYTES), BigInt(Date.now()) * 1_000_000n);

async function boot(memMiB: number): Promise<Vm> {
  const machine = await bootMachine(under.driver, specOf(memMiB), under.config.timeouts);
  const session = sessionOf(machine);
  await session.hello;
  await seeded(session);
  return { machine, session };
}

async function restore(memMiB: number, files: SnapshotFiles, instances: number[]): Promise<Vm> {
  const source = { kind: 'file' } as const;
  const limits = under.config.timeouts;
  const machine = await restoreMachine(under.driver, specOf(memMiB), files, source, limits);
  const session = sessionOf(machine);
  session.adopt(instances);
  const confirmed = seeded(session);
  await machine.resume();
  await confirmed;
  return { machine, session };
}

async function ask({ session }: Vm, instance: number, event: object = {}): Promise<Answer> {
  const context = { requestId: 'r', functionName: 'f', memoryMiB: 64 };
  const { json } = await session.invoke(instance, JSON.stringify(event), context, LIMIT_MS);
  return JSON.parse(json.toString()) as Answer;
}

/** Fails when a value was drawn before. */
class Draws {
  readonly #seen: unknown[] = [];
  add(...answers: readonly Answer[]): void {
    for (const [, ...drawn] of answers) this.#seen.push(...drawn);
    expect(new Set(this.#seen).size).toBe(this.#seen.length);
  }
}

describe.each([
  { runtime: 'python3', limitMiB: 64, memMiB: 512, shares: true },
  { runtime: 'nodejs', limitMiB: 160, memMiB: 1024, shares: false },
] as const)('a guest of $runtime', ({ runtime, limitMiB, memMiB, shares }) => {
  it('holds eight instances of a zygote; one meets its limit, clones start others', async () => {
    const vm = await boot(memMiB);
    const spec = { runtime, handler: 'app.handler', env: {} };
    const draws = new Draws();
    await vm.session.startZygote(spec);
    const all: number[] = [];
    for (let i = 0; i < INSTANCES; i++) {
      const started = await vm.session.startInstance({ ...spec, memMiB: limitMiB });
      if (shares || i === 0) expect(started.fromZygote).toBe(true);
      all.push(started.instance);
    }
    draws.add(...(await Promise.all(all.map((instance) => ask(vm, instance)))));

    const memory = await vm.session.memory();
    expect(memory.instances.map(({ instance }) => instance).sort()).toEqual(all);
    for (const { currentBytes, peakBytes, limitBytes } of memory.instances) {
      expect(limitBytes).toBe(limitMiB * MIB);
      expect(currentBytes).toBeGreaterThan(0);
      expect(peakBytes).toBeGreaterThanOrEqual(currentBytes);
      // What it shares with its zygote is the zygote's.
      if (shares) expect(currentBytes).toBeLessThan(memory.zygoteBytes!);
    }
    expect(memory.nodes).toHaveLength(1);
    expect(memory.nodes[0]!.freeKiB).toBeLessThan(memory.nodes[0]!.managedKiB);
    expect(memory.availableKiB).toBeLessThan(memory.totalKiB);

    const [victim, ...others] = all as [number, ...number[]];
    const filling = ask(vm, victim, { fill: limitMiB });
    const meanwhile = Promise.all(others.map((instance) => ask(vm, instance)));
    await expect(filling).rejects.toMatchObject({
      code: 'HANDLER_OUT_OF_MEMORY',
      details: { limitMiB },
    });
    draws.add(...(await meanwhile));
    expect(vm.session.instances).toEqual(others);
    const after = await Promise.all(others.map((instance) => ask(vm, instance)));
    expect(after.map(([calls]) => calls)).toEqual(others.map(() => 3));

    await vm.session.freeze();
    await vm.machine.pause();
    const files = {
      memoryPath: join(under.dir, `${runtime}.memory`),
      statePath: join(under.dir, `${runtime}.state`),
    };
    await vm.machine.snapshot(files);
    await vm.machine.close();
    for (let i = 0; i < 2; i++) {
      const clone = await restore(memMiB, files, others);
      expect(clone.session.instances).toEqual(others);
      draws.add(await ask(clone, others[0]!));
      const next = await clone.session.startInstance({ ...spec, memMiB: limitMiB });
      expect(next.fromZygote).toBe(true);
      draws.add(await ask(clone, next.instance), await ask(clone, others[1]!));
      const more = await clone.session.startInstance({ ...spec, memMiB: limitMiB });
      draws.add(await ask(clone, more.instance));
      await clone.machine.close();
    }
  });
});

it('an instance is ended with its children, whatever they do, and its memory is free', async () => {
  const vm = await boot(384);
  const spec = { runtime: 'python3', handler: 'app.handler', env: {}, memMiB: 64 };
  await vm.session.startZygote(spec);
  const { instance: neighbour } = await vm.session.startInstance(spec);
  const { instance: hider } = await vm.session.startInstance(spec);
  await ask(vm, hider, { leave: true, fill: 8 });
  expect(await vm.session.kill(hider)).toMatchObject({ signal: 9, oom: false });
  // Children count for the limit, and end all of it: a child that is killed is not the end of it.
  const { instance: parent } = await vm.session.startInstance(spec);
  await expect(
    (async () => {
      await ask(vm, parent, { child: 70 });
      for (;;) await ask(vm, parent);
    })(),
  ).rejects.toMatchObject({ code: expect.stringMatching(/OUT_OF_MEMORY|WRONG_STATE/) as string });
  expect((await ask(vm, neighbour))[0]).toBe(1);
  const { instances } = await vm.session.memory();
  expect(instances.map(({ instance }) => instance)).toEqual([neighbour]);
});
