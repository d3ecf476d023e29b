/** What a function left running in the background runs in no clone before that clone is reseeded. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Home, type TestDaemon } from '../support/daemon.js';

/** By how much a clock jumps when the guest was restored, milliseconds. */
const JUMP_MS = 50;

/**
 * Draws at full speed and keeps the last draws. When the clock has jumped, which is what a restore
 * looks like from inside, `after` more are drawn, and then `publish` gets all that is kept: what was
 * drawn before the snapshot, and the first draws after the restore.
 */
const PYTHON_DRAW = `
import os, random, time
def draw(publish, values, kept=2000, after=500, jump_ns=${JUMP_MS} * 1_000_000):
    drawn, left, before = [], 0, time.time_ns() - time.monotonic_ns()
    while True:
        mono, now = time.monotonic_ns(), time.time_ns()
        drawn.append((mono, now, *values()))
        # Only when this process did not wait between looking at the two clocks.
        if time.monotonic_ns() - mono < jump_ns / 2 and abs(now - mono - before) > jump_ns:
            before, left = now - mono, after
        elif left > 0:
            left -= 1
            if left == 0:
                publish(drawn[:])
                drawn.clear()
        elif len(drawn) > 2 * kept:
            del drawn[:kept]
`;

const PYTHON_THREAD = `
import threading
from draw import *
published = []
threading.Thread(target=draw, args=(published.extend, lambda: (os.urandom(8).hex(), random.random())), daemon=True).start()
def handler(event, context):
    if not event.get("wait"):
        published.clear()
    while event.get("wait") and not published:
        time.sleep(0.01)
    return published
`;

/** A process of its own has no generator that can be reached but the kernel's. */
const PYTHON_CHILD = `
import json
from draw import *
PATH = "/tmp/drawn"
def publish(draws):
    with open(PATH + ".new", "w") as file:
        json.dump(draws, file)
    os.rename(PATH + ".new", PATH)
if os.fork() == 0:
    draw(publish, lambda: (os.urandom(8).hex(),))
def handler(event, context):
    if not event.get("wait"):
        return os.path.exists(PATH) and os.unlink(PATH)
    while not os.path.exists(PATH):
        time.sleep(0.01)
    return json.load(open(PATH))
`;

const NODE_TIMERS = `
const crypto = require('node:crypto');
const KEPT = 2000, AFTER = 500, JUMP_NS = ${JUMP_MS} * 1e6;
const clock = () => Number(process.hrtime.bigint());
let drawn = [], published = [], left = 0, before = Date.now() * 1e6 - clock();
const draw = () => {
  const mono = clock(), now = Date.now() * 1e6;
  drawn.push([mono, now, crypto.randomBytes(8).toString('hex'), crypto.randomUUID(), Math.random()]);
  if (clock() - mono < JUMP_NS / 2 && Math.abs(now - mono - before) > JUMP_NS) {
    before = now - mono;
    left = AFTER;
  } else if (left > 0) {
    if (--left === 0) published.push(...drawn.splice(0));
  } else if (drawn.length > 2 * KEPT) drawn.splice(0, KEPT);
};
setInterval(draw, 1);
const often = () => { draw(); setImmediate(often); };
often();
exports.handler = async (event) => {
  if (!event.wait) published = [];
  while (event.wait && published.length === 0) await new Promise((done) => setTimeout(done, 10));
  return published;
};
`;

/** How many wrong draws a failure shows. */
const SHOWN = 5;

/** When by the guest's monotonic clock, which tells draws apart; its time, ns; what was drawn. */
type Draw = readonly [mono: number, timeNs: number, ...values: (string | number)[]];

interface Clone {
  readonly vmId: string;
  /** All that it published. */
  readonly draws: readonly Draw[];
  /** When it was asked for, ns. */
  readonly askedNs: number;
}

const home = new Home();
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
});
afterAll(async () => {
  await daemon.stop();
  home.remove();
});

async function ask(func_name: string, where: object): Promise<Clone> {
  const askedNs = Date.now() * 1e6;
  const params = JSON.stringify({ wait: true });
  const { result, vmId } = await daemon.client.invoke({ func_name, params, ...where });
  return { draws: JSON.parse(result) as Draw[], askedNs, vmId };
}

/** What the clone drew after its restore: its sibling has all that was drawn before. */
function own({ draws }: Clone, sibling: Clone): Draw[] {
  const before = new Set(sibling.draws.map(([mono]) => mono));
  return draws.filter(([mono]) => !before.has(mono));
}

describe.each([
  {
    name: 'thread',
    runtime: 'python3',
    files: { 'draw.py': PYTHON_DRAW, 'app.py': PYTHON_THREAD },
  },
  { name: 'child', runtime: 'python3', files: { 'draw.py': PYTHON_DRAW, 'app.py': PYTHON_CHILD } },
  { name: 'timers', runtime: 'nodejs', files: { 'app.js': NODE_TIMERS } },
] as const)('clones of a function with a background: $name', ({ name, runtime, files }) => {
  /** Two clones of each snapshot: one started for its invocation, one ahead of it. */
  const siblings: (readonly [Clone, Clone])[] = [];

  async function cloneTwice(vmId: string): Promise<readonly [Clone, Clone]> {
    // Without `wait` it forgets what it has published.
    await daemon.client.invoke({ func_name: name, vmId });
    const { ssId } = await daemon.client.snapshots.take({ vmId });
    await sleep(4 * JUMP_MS); // else a fast restore is no jump of the clock
    const one = await ask(name, { ssId });
    const askedNs = Date.now() * 1e6;
    const vm = await daemon.client.vms.start({ func_name: name, ssId });
    const two = { ...(await ask(name, { vmId: vm.vmId })), askedNs };
    siblings.push([one, two]);
    return [one, two];
  }

  beforeAll(async () => {
    const settings = { func_name: name, runtime, handler: 'app.handler', vcpu: 1, mem_size: 384 };
    await daemon.deployFiles(files, settings);
    const { vmId } = await daemon.client.invoke({ func_name: name, placement: ['cold'] });
    const [clone] = await cloneTwice(vmId);
    await cloneTwice(clone.vmId);
    await cloneTwice(vmId);
    for (const vm of await daemon.client.vms.list()) await daemon.client.vms.delete(vm.vmId);
  });

  it('share what was drawn before, and go on', () => {
    for (const [one, two] of siblings) {
      for (const [clone, other] of [
        [one, two],
        [two, one],
      ] as const) {
        expect(own(clone, other).length).toBeGreaterThan(0);
        expect(own(clone, other).length).toBeLessThan(clone.draws.length);
      }
    }
  });

  it('draw nothing that another draws', () => {
    const seen = new Map<string | number, number>();
    const twice: unknown[] = [];
    for (const [one, two] of siblings) {
      for (const draws of [own(one, two), own(two, one)]) {
        for (const [, , ...values] of draws) {
          for (const value of values) {
            if (seen.has(value)) twice.push(value);
            seen.set(value, 1);
          }
        }
      }
    }
    expect(seen.size).toBeGreaterThan(0);
    expect(twice.slice(0, SHOWN)).toEqual([]);
  });

  it('see no time before their restore', () => {
    for (const [one, two] of siblings) {
      for (const [clone, other] of [
        [one, two],
        [two, one],
      ] as const) {
        const early = own(clone, other).filter(([, timeNs]) => timeNs < clone.askedNs);
        expect(early.slice(0, SHOWN)).toEqual([]);
      }
    }
  });
});
