/** What a VMM that was forked from a template may do: no more than one that was started. */
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
  await home.dispose();
});

describe('a VMM from a template is as confined as one that was started', () => {
  let started: number;
  let forked: Clone;
  beforeAll(async () => {
    await all.template();
    forked = await all.clone(0);
    started = Number((await daemon.client.vms.get(all.booted)).pid);
    expect([statusOf(started, 'PPid'), forked.parent === daemon.pid]).toEqual([
      String(daemon.pid),
      false,
    ]);
  });

  it.each(['Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'])(
    'in %s',
    (field) => {
      expect(statusOf(forked.pid, field)).toBe(statusOf(started, field));
    },
  );

  it('in its signals', () => {
    for (const field of ['SigBlk', 'SigIgn']) {
      expect(statusOf(forked.pid, field)).toBe(statusOf(started, field));
    }
  });

  it('in its user, which is no other VM’s', () => {
    const [uid] = statusOf(forked.pid, 'Uid').split('\t');
    expect(statusOf(forked.pid, 'Uid')).toBe([uid, uid, uid, uid].join('\t'));
    expect(statusOf(forked.pid, 'Gid')).toBe(statusOf(forked.pid, 'Uid'));
    expect(statusOf(forked.pid, 'Uid')).not.toBe(statusOf(started, 'Uid'));
    expect(uid === '0').toBe(statusOf(started, 'Uid').startsWith('0'));
  });

  it('in its filters: those of a template, and one more for what a template may do', () => {
    const filters = (pid: number): number => Number(statusOf(pid, 'Seccomp_filters'));
    expect(filters(forked.parent)).toBe(filters(started));
    expect(filters(forked.pid)).toBe(filters(started) + 1);
  });

  it('in its cgroup', () => {
    expect(basename(cgroupOf(forked.pid))).toBe(forked.vmId);
  });

  it('in its descriptors: none of its template, of another VM or of the daemon', async () => {
    const other = await all.clone(0);
    const mine = [...descriptorsOf(forked.pid).values()];
    const count = (kind: RegExp, of: string[]): number =>
      of.filter((name) => kind.test(name)).length;
    const direct = [...descriptorsOf(started).values()];
    expect(count(/^socket:/, mine)).toBe(count(/^socket:/, direct));
    for (const kind of [/^pipe:/, /pidfd/, /cgroup/]) expect(count(kind, mine)).toBe(0);
    const sockets = (pid: number): string[] =>
      [...descriptorsOf(pid).values()].filter((name) => name.startsWith('socket:'));
    const theirs = [other.pid, forked.parent, daemon.pid, started].flatMap(sockets);
    expect(sockets(forked.pid).filter((name) => theirs.includes(name))).toEqual([]);
    expect(mine.filter((name) => name.includes('/vms/'))).toEqual([
      expect.stringContaining(`/vms/${forked.vmId}/state`),
    ]);
    await all.end(other);
  });
});
