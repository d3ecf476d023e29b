/** What must hold when something ends that should not: VMMs, disks, daemons. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Invocation } from '../../src/client/index.js';
import { SparklerError } from '../../src/errors.js';
import { Home, REPOSITORY, type TestDaemon } from '../support/daemon.js';

const SLOW = `
import time

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return "awake"
`;
const HUNGRY = `
import os

held = []

def handler(event, context):
    held.append(os.urandom(event.get("mib", 0) << 20))
    return event.get("mib", 0)
`;
/** In a VM booted for it. */
const COLD: Invocation = { func_name: 'slow', placement: ['cold'] };
const SETTINGS = {
  func_name: 'slow',
  runtime: 'python3',
  handler: 'app.handler',
  vcpu: 1,
  mem_size: 256,
} as const;

let home: Home;
let running: TestDaemon[];
beforeEach(() => {
  home = new Home();
  running = [];
});
afterEach(async () => {
  try {
    for (const daemon of running) await daemon.stop();
    expect(await home.settled(5000)).toEqual([]);
  } finally {
    await home.dispose();
  }
});

async function started(): Promise<TestDaemon> {
  const daemon = await home.daemon();
  running.push(daemon);
  return daemon;
}

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SparklerError) return error.code;
    throw error;
  }
  return 'nothing was thrown';
}

describe('a VMM that is killed', () => {
  it('fails the running invocation, and leaves nothing', async () => {
    const daemon = await started();
    await daemon.deployFiles({ 'app.py': SLOW }, SETTINGS);
    const { vmId } = await daemon.client.invoke(COLD);
    const view = await daemon.client.vms.get(vmId);
    const params = JSON.stringify({ seconds: 60 });
    const running = code(daemon.client.invoke({ func_name: 'slow', vmId, params }));
    await busy(daemon, vmId);
    process.kill(Number(view.pid), 'SIGKILL');
    expect(await running).toBe('VM_DIED');
    expect(await code(daemon.client.vms.get(vmId))).toBe('VM_NOT_FOUND');
    expect(await daemon.client.vms.console(vmId)).toContain('Booting');
    expect(await home.settled(5000)).toEqual([]);
  });

  it('and one that is deleted while it works, likewise', async () => {
    const daemon = await started();
    await daemon.deployFiles({ 'app.py': SLOW }, SETTINGS);
    const { vmId } = await daemon.client.invoke(COLD);
    const params = JSON.stringify({ seconds: 60 });
    const running = code(daemon.client.invoke({ func_name: 'slow', vmId, params }));
    await busy(daemon, vmId);
    await daemon.client.vms.delete(vmId);
    expect(await running).toBe('VM_DIED');
    expect(await home.settled(5000)).toEqual([]);
  });
});

async function busy(daemon: TestDaemon, vmId: string): Promise<void> {
  while (!(await daemon.client.vms.get(vmId)).busy) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('a daemon that is killed', () => {
  it('takes its VMs with it; the next one finds functions and snapshots, and nothing else', async () => {
    const first = await home.daemon();
    await first.deployFiles({ 'app.py': SLOW }, SETTINGS);
    const { vmId } = await first.client.invoke(COLD);
    const { ssId } = await first.client.snapshots.take({ vmId });
    await first.kill();
    const second = await started();
    expect(await second.client.vms.list()).toEqual([]);
    // A killed process is gone at once, but its parent may still have to collect it.
    expect(await home.settled(10_000)).toEqual([]);
    const answer = await second.client.invoke({ func_name: 'slow', ssId: ssId });
    expect(answer.result).toBe('"awake"');
  });

  it('refuses a second one on the same data folder, and lets it in when the first is gone', async () => {
    const daemon = await started();
    const args = [join(REPOSITORY, 'bin/sparkler.js'), 'daemon', '--port', '0'];
    const second = spawnSync(process.execPath, [...args, '--data', home.dataDir], {
      encoding: 'utf8',
    });
    expect(second.status).toBe(1);
    expect(second.stderr).toContain('DATA_IN_USE');
    expect(second.stderr).toContain(home.dataDir);
    expect((await daemon.client.info()).dataDir).toBe(home.dataDir);
  });
});

describe('a full disk', () => {
  const MOUNT_MIB = 700;

  /** Runs `work` with a daemon whose data folder is on a small disk of its own. */
  async function onSmallDisk(
    work: (daemon: TestDaemon, disk: string) => Promise<void>,
  ): Promise<void> {
    const disk = mkdtempSync(join(tmpdir(), 'sparkler-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${MOUNT_MIB}m`, 'tmpfs', disk]);
    home.configure({ limits: { minFreeDiskMiB: 64 } });
    home.moveTo(disk);
    const daemon = await home.daemon();
    try {
      await work(daemon, disk);
    } finally {
      await daemon.stop();
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true });
    }
  }

  it('is said, and leaves nothing half', () => onSmallDisk(fillAndFree));

  it('is not made by VMs that fit one by one: the second is refused, the first lives', async () => {
    await onSmallDisk(async (daemon) => {
      await daemon.deployFiles({ 'app.py': HUNGRY }, { ...SETTINGS, mem_size: 448 });
      const starts = await Promise.allSettled(
        [1, 2].map(() => daemon.client.vms.start({ func_name: 'slow' })),
      );
      const [first, second] = starts;
      if (first?.status !== 'fulfilled') throw new Error('the first VM was not started');
      expect(second).toMatchObject({ status: 'rejected', reason: { code: 'STORAGE_FULL' } });
      const { vmId } = first.value;
      const call = async (mib: number): Promise<string> =>
        (await daemon.client.invoke({ func_name: 'slow', vmId, params: JSON.stringify({ mib }) }))
          .result;
      // Up, it has written little: there is room for another one now, but not for both for long.
      expect(await call(0)).toBe('0');
      expect(await code(daemon.client.invoke(COLD))).toBe('STORAGE_FULL');
      // All that it was given it may use.
      expect(await call(250)).toBe('250');
      expect((await daemon.client.vms.list()).map((vm) => vm.vmId)).toEqual([vmId]);
      // Its memory is private after a snapshot, and a clone's is from the start: room again.
      const { ssId } = await daemon.client.snapshots.take({ vmId });
      const clone = await daemon.client.invoke({ func_name: 'slow', ssId, params: '{"mib": 1}' });
      expect(clone.result).toBe('1');
      await daemon.client.vms.delete(vmId);
    });
  });

  async function fillAndFree(daemon: TestDaemon, disk: string): Promise<void> {
    await daemon.deployFiles({ 'app.py': SLOW }, SETTINGS);
    const { vmId } = await daemon.client.invoke(COLD);
    execFileSync('sh', ['-c', `head -c 1G /dev/zero > ${disk}/filler || true`], {
      stdio: 'ignore',
    });
    // Another VM is not started; a snapshot is not taken; code is not taken.
    expect(await code(daemon.client.invoke(COLD))).toBe('STORAGE_FULL');
    expect(await code(daemon.client.snapshots.take({ vmId }))).toBe('STORAGE_FULL');
    expect(await code(daemon.deployFiles({ 'app.py': SLOW }, SETTINGS))).toBe('STORAGE_FULL');
    expect(await daemon.client.snapshots.list()).toEqual([]);
    expect(readdirSync(join(home.dataDir, 'snapshots'))).toEqual([]);
    execFileSync('rm', [join(disk, 'filler')]);
    // And with room again, all of it works.
    const { ssId } = await daemon.client.snapshots.take({ vmId });
    expect((await daemon.client.invoke({ func_name: 'slow', ssId: ssId })).result).toBe('"awake"');
  }
});
