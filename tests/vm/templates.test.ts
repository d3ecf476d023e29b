/** Restores whose VMM is forked from a template, through the real daemon. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SparklerError } from '../../src/errors.js';
import { Home, type TestDaemon } from '../support/daemon.js';
import { Counting } from '../support/counting.js';
import { cgroupOf } from '../support/processes.js';

const home = new Home();
let daemon: TestDaemon;
let all: Counting;

beforeAll(async () => {
  daemon = await home.daemon();
  all = await Counting.begin(daemon);
});
afterAll(async () => {
  await daemon.stop();
  try {
    expect(await home.settled(5000)).toEqual([]);
  } finally {
    await home.dispose();
  }
});

describe('clones from a template', () => {
  it('are gone with it when the daemon is killed, and nothing is left for the next one', async () => {
    const other = new Home();
    try {
      const killed = await other.daemon();
      const its = await Counting.begin(killed);
      const from = await its.template();
      const one = await its.clone();
      expect(one.parent).toBe(from);
      await killed.kill();
      await other.daemon();
      // A killed process is gone at once, but its parent may still have to collect it.
      expect(await other.settled(10_000)).toEqual([]);
      for (const pid of [from, one.pid]) expect(existsSync(`/proc/${pid}/exe`)).toBe(false);
    } finally {
      await other.dispose();
    }
  });

  it('come several at once, from one process, and live apart', async () => {
    const from = await all.template();
    expect(basename(cgroupOf(from))).toMatch(`template-${daemon.pid}-`);
    const clones = await Promise.all([1, 2, 3].map((number) => all.clone(number)));
    expect(clones.map(({ parent }) => parent)).toEqual([from, from, from]);
    expect(clones.map(({ count }) => count)).toEqual([11, 12, 13]);
    const again = await Promise.all(clones.map((one) => all.add(one, 100)));
    expect(again).toEqual([111, 112, 113]);
    await all.end(...clones);
    for (const { pid } of clones) expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(existsSync(`/proc/${from}`)).toBe(true);
  });

  it('are snapshotted and cloned in turn', async () => {
    const from = await all.template();
    const first = await all.clone(5);
    const second = await daemon.client.snapshots.take({ vmId: first.vmId });
    expect(await all.add(first, 1)).toBe(16);
    const [one, two] = await Promise.all([all.clone(20, second.ssId), all.clone(30, second.ssId)]);
    expect([one.count, two.count]).toEqual([35, 45]);
    expect([first.parent, one.parent, two.parent]).toEqual([from, from, from]);
    const third = await daemon.client.snapshots.take({ vmId: one.vmId });
    const last = await all.clone(100, third.ssId);
    expect(last.count).toBe(135);
    await all.end(first, one, two, last);
  });

  it('end with it; the next restores do without, and then there is another', async () => {
    const from = await all.template();
    const one = await all.clone(0);
    const params = JSON.stringify({ seconds: 60 });
    const running = daemon.client
      .invoke({ func_name: 'count', vmId: one.vmId, params })
      .catch((error: unknown) => (error instanceof SparklerError ? error.code : String(error)));
    while (!(await daemon.client.vms.get(one.vmId)).busy) await sleep(10);
    process.kill(from, 'SIGKILL');
    expect(await running).toBe('VM_DIED');
    const next = await all.clone(1);
    expect(next.count).toBe(11);
    expect(next.parent).toBe(daemon.pid);
    await all.end(next);
    expect(await all.template()).not.toBe(from);
  });
});
