import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import {
  deploy,
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';

const MIB = 1024 * 1024;
const hello = { functionName: 'hello' };
/** In a VM booted for it. */
const cold = { ...hello, placement: ['cold' as const] };

let bed: TestPlatform;
let elsewhere: string | undefined;
afterEach(async () => {
  await bed.dispose();
  if (elsewhere !== undefined) rmSync(elsewhere, { recursive: true });
  elsewhere = undefined;
});

/** A platform on a disk with so much free, whose functions have 128 MiB of memory. */
async function open(freeMiB: number, options: TestOptions = {}): Promise<TestPlatform> {
  bed = await testPlatform({ freeBytes: () => Promise.resolve(freeMiB * MIB), ...options });
  return bed;
}

/** Starts so many VMs at once; answers how each went. */
async function start(count: number): Promise<string[]> {
  const starts = Array.from({ length: count }, () => bed.platform.createVm(hello));
  const outcomes = await Promise.allSettled(starts);
  return outcomes.map((outcome) =>
    outcome.status === 'fulfilled' ? 'started' : (outcome.reason as { code: string }).code,
  );
}

describe('the memory of booted VMs', () => {
  it('is kept: VMs that fit one by one but not together are refused', async () => {
    await open(300);
    expect(await start(4)).toEqual(['started', 'started', 'STORAGE_FULL', 'STORAGE_FULL']);
    // Also later: while they run it is still to come.
    for (const { vmId } of await bed.platform.listVms())
      await bed.platform.invoke({ ...hello, vmId });
    await expect(bed.platform.createVm(hello)).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      message: expect.stringMatching(
        /has 300 MiB free, of which 256 MiB are reserved.* the VM needs 128 MiB and 0 MiB must stay/,
      ) as string,
    });
  });

  it('is given back when they end, however they end', async () => {
    await open(130, {
      config: { bootAttempts: 1 },
      faults: (_, nth) => (nth === 3 ? { start: 'refuse' } : undefined),
    });
    const first = await bed.platform.invoke(hello);
    expect(await start(1)).toEqual(['STORAGE_FULL']);
    await bed.platform.deleteVm(first.vmId);
    const second = await bed.platform.invoke(cold);
    bed.driver.vm(second.vmId).die();
    while ((await bed.platform.listVms()).length > 0) await new Promise((r) => setTimeout(r, 1));
    await expect(bed.platform.invoke(cold)).rejects.toMatchObject({ code: 'VMM_FAILED' });
    // What is refused for another reason keeps nothing either.
    await expect(bed.platform.createVm({ ...hello, memMiB: 90 })).rejects.toMatchObject({
      code: 'MEMORY_TOO_SMALL',
    });
    expect(await bed.platform.invoke(cold)).toMatchObject({ startKind: 'cold' });
  });

  it('stays kept while a boot is tried again', async () => {
    let starts = 0;
    await open(130, {
      faults: () => (++starts === 1 ? { guest: 'die', delayMs: 20 } : undefined),
    });
    const vm = await bed.platform.createVm(hello);
    const refused: string[] = [];
    const serving = bed.platform.invoke({ ...hello, vmId: vm.vmId });
    while (starts < 2) {
      refused.push(...(await start(1)));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await serving;
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused)).toEqual(new Set(['STORAGE_FULL']));
  });

  it('needs no more space once a snapshot was taken; clones never do', async () => {
    await open(140);
    const { vmId } = await bed.platform.invoke(hello);
    expect(await start(1)).toEqual(['STORAGE_FULL']);
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    for (let n = 0; n < 3; n++) await bed.platform.invoke({ ...hello, ssId: snapshot.ssId });
    expect(await start(1)).toEqual(['started']);
  });

  it('leaves free what must stay free', async () => {
    await open(300, { config: { 'limits.minFreeDiskMiB': 50 } });
    expect(await start(2)).toEqual(['started', 'STORAGE_FULL']);
  });
});

describe('snapshots', () => {
  it('ask for device state only, the first of a booted VM', async () => {
    await open(131);
    const { vmId } = await bed.platform.invoke(hello);
    // 128 MiB are kept for the VM itself; 3 are less than the device state twice.
    await expect(bed.platform.takeSnapshot({ vmId })).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      message: expect.stringContaining('the snapshot needs 4 MiB') as string,
    });
    expect(readdirSync(bed.store.dir)).toEqual([]);
    // The VM lives on.
    expect(await bed.platform.invoke({ ...hello, vmId })).toMatchObject({ startKind: 'warm' });
  });

  it('ask for all memory the second time, and of a clone, and give it back', async () => {
    let freeMiB = 140;
    await open(0, { freeBytes: () => Promise.resolve(freeMiB * MIB) });
    const { vmId } = await bed.platform.invoke(hello);
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const clone = await bed.platform.invoke({ ...hello, ssId: snapshot.ssId });
    freeMiB = 131;
    for (const id of [vmId, clone.vmId]) {
      await expect(bed.platform.takeSnapshot({ vmId: id })).rejects.toMatchObject({
        code: 'STORAGE_FULL',
        message: expect.stringContaining('the snapshot needs 132 MiB') as string,
      });
    }
    freeMiB = 140;
    for (const id of [vmId, clone.vmId]) await bed.platform.takeSnapshot({ vmId: id });
  });

  it('keep their space from each other while they are taken, and give it back on failure', async () => {
    let slow: TestOptions['faults'];
    await open(200, { faults: (spec, nth) => slow?.(spec, nth) });
    const { vmId } = await bed.platform.invoke(hello);
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    slow = () => ({ delayMs: 50 });
    const { ssId } = snapshot;
    const clones = [
      await bed.platform.invoke({ ...hello, ssId }),
      await bed.platform.invoke({ ...hello, ssId }),
    ];
    const taking = clones.map((clone) => bed.platform.takeSnapshot({ vmId: clone.vmId }));
    const outcomes = await Promise.allSettled(taking);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes).toContainEqual(
      expect.objectContaining({
        reason: expect.objectContaining({ code: 'STORAGE_FULL' }) as unknown,
      }),
    );
    slow = () => ({ diskFull: true });
    const broken = await bed.platform.invoke({ ...hello, ssId });
    await expect(bed.platform.takeSnapshot({ vmId: broken.vmId })).rejects.toThrow('fake disk');
    await bed.platform.takeSnapshot({ vmId: clones[0]!.vmId });
  });
});

// A file system of its own that everybody has.
const OTHER = '/dev/shm';
const hasOther = existsSync(OTHER) && statSync(OTHER).dev !== statSync(tmpdir()).dev;

describe.runIf(hasOther)('files on another file system', () => {
  it('are asked for there, memory in full', async () => {
    const dir = mkdtempSync(join(OTHER, 'sparkler-disk-'));
    elsewhere = dir;
    let otherMiB = 129;
    await open(0, {
      config: { snapshotDirs: [dir] },
      freeBytes: (folder) => Promise.resolve((folder.startsWith(OTHER) ? otherMiB : 140) * MIB),
    });
    const { vmId } = await bed.platform.invoke(hello);
    const files = { memoryPath: join(dir, 'memory'), statePath: join(dir, 'state') };
    await expect(bed.platform.takeSnapshot({ vmId, ...files })).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      message: expect.stringContaining(`${dir} has 129 MiB free`) as string,
    });
    expect(readdirSync(dir)).toEqual([]);
    // The state alone fits there.
    const { statePath } = files;
    await bed.platform.takeSnapshot({ vmId, statePath });
    otherMiB = 128;
    await expect(
      bed.platform.takeSnapshot({ vmId, memoryPath: files.memoryPath }),
    ).resolves.toMatchObject({ snapshot: { memoryPath: files.memoryPath } });
  });
});

describe('code', () => {
  it('is not taken when what is reserved leaves nothing over', async () => {
    let freeMiB = 200;
    await open(0, {
      freeBytes: () => Promise.resolve(freeMiB * MIB),
      config: { 'limits.minFreeDiskMiB': 50 },
    });
    await bed.platform.invoke(hello);
    freeMiB = 170;
    const code = (): Readable => Readable.from([Buffer.from('new')]);
    await expect(bed.platform.putCode('hello', code())).rejects.toMatchObject({
      code: 'STORAGE_FULL',
    });
    freeMiB = 200;
    await deploy(bed.platform, 'hello', 'new');
  });
});
