/** VMs that are forked, guest and all, from one that stands in the pool; through the real daemon. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SparklerError } from '../../src/errors.js';
import { Counting, type Clone } from '../support/counting.js';
import { Home, type TestDaemon } from '../support/daemon.js';
import { cgroupOf, descriptorsOf, statusOf } from '../support/processes.js';

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

/** The process of the VM that stands in the pool; one is asked for when there is none. */
async function source(of = all, ssId = of.ssId): Promise<number> {
  const { client } = of.daemon;
  for (;;) {
    const pooled = (await client.vms.list()).filter((vm) => vm.pooled && vm.ssId === ssId);
    const ready = pooled.find(({ state }) => state === 'paused');
    if (ready) return Number(ready.pid);
    if (pooled.length === 0) await client.vms.pool({ ssId });
    else await sleep(LOOK_AGAIN_MS);
  }
}
const LOOK_AGAIN_MS = 20;

const failure = (error: unknown): string =>
  error instanceof SparklerError ? error.code : String(error);

describe('forked VMs', () => {
  it('come many at once, from one process, and live apart', async () => {
    const from = await source();
    const numbers = Array.from({ length: 8 }, (_, number) => number);
    const clones = await Promise.all(numbers.map((number) => all.clone(number)));
    expect(clones.map(({ parent }) => parent)).toEqual(numbers.map(() => from));
    expect(clones.map(({ count }) => count)).toEqual(numbers.map((number) => 10 + number));
    const again = await Promise.all(clones.map((one) => all.add(one, 100)));
    expect(again).toEqual(numbers.map((number) => 110 + number));
    await all.end(...clones);
    for (const { pid } of clones) expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(await source()).toBe(from);
  });

  it('are snapshotted, and cloned and forked in turn', async () => {
    await source();
    const first = await all.clone(5);
    const second = await daemon.client.snapshots.take({ vmId: first.vmId });
    expect(await all.add(first, 1)).toBe(16);
    const direct = await all.clone(20, second.ssId);
    expect(direct.count).toBe(35);
    const from = await source(all, second.ssId);
    const forked = await all.clone(30, second.ssId);
    expect([forked.count, forked.parent]).toEqual([45, from]);
    await all.end(first, direct, forked);
  });

  it('go on when their source leaves the pool', async () => {
    const from = await source();
    const one = await all.clone(0);
    expect(one.parent).toBe(from);
    const { vmId = '' } = (await daemon.client.vms.list()).find(({ pid }) => pid === from) ?? {};
    await expect(daemon.client.vms.delete(vmId)).rejects.toMatchObject({ code: 'VM_WRONG_STATE' });
    const params = JSON.stringify({ add: 7 });
    const named = await daemon.client.invoke({ func_name: 'count', vmId, params });
    expect(named.result).toBe('17');
    expect(await all.add(one, 1)).toBe(11);
    const direct = await all.clone(2);
    expect(direct.parent).not.toBe(from);
    await all.end(one, direct);
    await daemon.client.vms.delete(vmId);
  });

  it('end with it; the next ones do without', async () => {
    const from = await source();
    const one = await all.clone(0);
    const params = JSON.stringify({ seconds: 60 });
    const running = daemon.client
      .invoke({ func_name: 'count', vmId: one.vmId, params })
      .catch(failure);
    while (!(await daemon.client.vms.get(one.vmId)).busy) await sleep(LOOK_AGAIN_MS);
    process.kill(from, 'SIGKILL');
    expect(await running).toBe('VM_DIED');
    const next = await all.clone(1);
    expect(next.count).toBe(11);
    await all.end(next);
    expect(await source()).not.toBe(from);
  });

  it('are gone with it when the daemon is killed, and nothing is left for the next one', async () => {
    const other = new Home();
    try {
      const killed = await other.daemon();
      const its = await Counting.begin(killed);
      const from = await source(its);
      const one = await its.clone();
      expect(one.parent).toBe(from);
      await killed.kill();
      await other.daemon();
      expect(await other.settled(10_000)).toEqual([]);
      for (const pid of [from, one.pid]) expect(existsSync(`/proc/${pid}/exe`)).toBe(false);
    } finally {
      await other.dispose();
    }
  });
});

describe('a forked VMM is confined', () => {
  let booted: number;
  let from: number;
  let forked: Clone;
  beforeAll(async () => {
    // The pool may hold more than one: the last one is forked.
    do {
      from = await source();
      forked = await all.clone(0);
    } while (forked.parent !== from);
    booted = Number((await daemon.client.vms.get(all.booted)).pid);
  });
  afterAll(() => all.end(forked));

  it.each(['Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'])(
    'as one that was started, in %s',
    (field) => expect(statusOf(forked.pid, field)).toBe(statusOf(booted, field)),
  );

  it('in its user: that of its source, and no other VM’s', () => {
    expect(statusOf(forked.pid, 'Uid')).toBe(statusOf(from, 'Uid'));
    expect(statusOf(forked.pid, 'Uid')).not.toBe(statusOf(booted, 'Uid'));
    expect(statusOf(forked.pid, 'Uid').startsWith('0')).toBe(
      statusOf(booted, 'Uid').startsWith('0'),
    );
  });

  it('in its memory, which that user cannot open', () => {
    for (const file of ['mem', 'maps']) expect(statSync(`/proc/${forked.pid}/${file}`).uid).toBe(0);
    const [uid = ''] = statusOf(forked.pid, 'Uid').split('\t');
    expect(String(statSync(`/proc/${booted}/mem`).uid)).toBe(
      statusOf(booted, 'Uid').split('\t')[0],
    );
    const read = `head -c 1 /proc/${forked.pid}/maps`;
    const as = ['--reuid', uid, '--regid', uid, '--clear-groups', 'sh', '-c', read];
    expect(spawnSync('setpriv', as, { encoding: 'utf8' })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Permission denied') as string,
    });
  });

  it('in its filters: those of its source, and one more that denies processes', () => {
    const filters = (pid: number): number => Number(statusOf(pid, 'Seccomp_filters'));
    expect(filters(from)).toBe(filters(booted));
    expect(filters(forked.pid)).toBe(filters(from) + 1);
  });

  it('in its cgroup', () => {
    expect(basename(cgroupOf(forked.pid))).toBe(forked.vmId);
  });

  it('in its descriptors: none of its source, of another VM or of the daemon', async () => {
    const other = await all.clone(0);
    const mine = [...descriptorsOf(forked.pid).values()];
    for (const kind of [/^pipe:/, /pidfd/, /cgroup/]) {
      expect(mine.filter((name) => kind.test(name))).toEqual([]);
    }
    const sockets = (pid: number): string[] =>
      [...descriptorsOf(pid).values()].filter((name) => name.startsWith('socket:'));
    expect(new Set(sockets(forked.pid)).size).toBe(new Set(sockets(booted)).size);
    const theirs = [other.pid, from, daemon.pid, booted].flatMap(sockets);
    expect(sockets(forked.pid).filter((name) => theirs.includes(name))).toEqual([]);
    expect(new Set(mine.filter((name) => name.includes('/vms/')))).toEqual(
      new Set([expect.stringContaining(`/vms/${forked.vmId}/state`)]),
    );
    await all.end(other);
  });
});
