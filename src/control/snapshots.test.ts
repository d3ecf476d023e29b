import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import type { Intent, JournalEntry } from '../registry/index.js';
import type { SnapshotInput, SnapshotRecord } from './types.js';

let bed: TestPlatform;
let allowed: string;
beforeEach(() => (allowed = mkdtempSync(join(tmpdir(), 'allowed-'))));
afterEach(async () => {
  await bed.dispose();
  rmSync(allowed, { recursive: true });
});

const hello = { functionName: 'hello' };
const folder = (ssId: string): string => join(bed.config.dataDir, 'snapshots', ssId);

async function open(options: TestOptions = {}): Promise<string> {
  bed = await testPlatform({ ...options, config: { snapshotDirs: [allowed], ...options.config } });
  return (await bed.platform.invoke({ ...hello, params: '{"add":5}' })).vmId;
}

async function taken(options: TestOptions = {}): Promise<SnapshotRecord> {
  const vmId = await open(options);
  const { snapshot } = await bed.platform.takeSnapshot({ vmId, ssId: 'ss-1' });
  await bed.store.settled();
  return snapshot;
}

type Manifest = Record<string, unknown>;
/** Rewrites the manifest as somebody would who knows its checksum. */
function editManifest(ssId: string, edit: (manifest: Manifest) => void): void {
  const path = join(folder(ssId), 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  delete manifest['checksum'];
  edit(manifest);
  const text = JSON.stringify({ ...manifest, checksum: crc32(JSON.stringify(manifest)) });
  writeFileSync(path, text);
}

describe('taking a snapshot', () => {
  it('lets the VM go on and keeps the moment', async () => {
    const snapshot = await taken();
    expect(readdirSync(folder('ss-1')).sort()).toEqual([
      ...['manifest.json', 'memory', 'nonzero', 'state', 'sums'],
    ]);
    const { vmId } = snapshot;
    expect(await bed.platform.invoke({ ...hello, vmId, params: '{"add":1}' })).toMatchObject({
      result: '{"count":6}',
    });
    expect(await bed.platform.invoke({ ...hello, ssId: 'ss-1' })).toMatchObject({
      result: '{"count":5}',
    });
    expect(bed.platform.getSnapshot('ss-1')).toEqual(snapshot);
    const manifest = JSON.parse(
      readFileSync(join(folder('ss-1'), 'manifest.json'), 'utf8'),
    ) as unknown;
    expect(manifest).toMatchObject({ durable: true, instances: [1], imageId: 'image-debian' });
  });

  it('names the image that its VM runs, also when a newer one was built since', async () => {
    const image = { id: 'image-old' };
    const vmId = await open({ image });
    image.id = 'image-new';
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const { ssId } = snapshot;
    await expect(bed.platform.invoke({ ...hello, ssId })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
    });
    image.id = 'image-old';
    expect(await bed.platform.invoke({ ...hello, ssId })).toMatchObject({ result: '{"count":5}' });
  });

  it('saves guests frozen, whether they run or stand restored ahead', async () => {
    const vmId = await open();
    const saved = (ssId: string): unknown =>
      JSON.parse(readFileSync(join(folder(ssId), 'state'), 'utf8'));
    await bed.platform.takeSnapshot({ vmId, ssId: 'ss-1' });
    expect(saved('ss-1')).toMatchObject({ guest: { frozen: true } });
    const ahead = await bed.platform.createVm({ ...hello, ssId: 'ss-1' });
    await bed.platform.takeSnapshot({ vmId: ahead.vmId, ssId: 'ss-2' });
    expect(saved('ss-2')).toMatchObject({ guest: { frozen: true } });
    expect(await bed.platform.invoke({ ...hello, vmId: ahead.vmId })).toMatchObject({
      result: '{"count":5}',
    });
  });

  it('of a guest that cannot be frozen says so and leaves nothing behind', async () => {
    const vmId = await open({ unfreezable: () => 'instance 1 did not hold still in time' });
    await expect(bed.platform.takeSnapshot({ vmId })).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FROZEN',
      message: expect.stringContaining('did not hold still in time') as string,
    });
    expect(readdirSync(join(bed.config.dataDir, 'snapshots'))).toEqual([]);
    expect(await bed.platform.invoke({ ...hello, vmId })).toMatchObject({ result: '{"count":5}' });
  });

  it('waits until the VM is idle', async () => {
    const vmId = await open();
    const busy = bed.platform.invoke({ ...hello, vmId, params: '{"add":1,"sleepMs":30}' });
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    await busy;
    const clone = await bed.platform.invoke({ ...hello, ssId: snapshot.ssId });
    expect(clone.result).toBe('{"count":6}');
  });

  it('puts the files where an allowed folder is, and removes them with it', async () => {
    const vmId = await open();
    const memoryPath = join(allowed, 'mem');
    const statePath = join(allowed, 'state');
    const { snapshot } = await bed.platform.takeSnapshot({ vmId, memoryPath, statePath });
    expect(snapshot).toMatchObject({ memoryPath, statePath });
    expect(await bed.platform.invoke({ ...hello, ssId: snapshot.ssId })).toMatchObject({
      result: '{"count":5}',
    });
    bed = await bed.restart('killed');
    expect(bed.platform.getSnapshot(snapshot.ssId)).toMatchObject({ memoryPath, statePath });
    await bed.platform.deleteSnapshot(snapshot.ssId);
    expect(readdirSync(allowed)).toEqual([]);
  });

  it.each([
    ['outside', () => join(tmpdir(), 'elsewhere')],
    ['relative', () => 'mem'],
    ['with dots', () => `${allowed}/../mem`],
    ['in a missing folder', () => join(allowed, 'none/mem')],
    ['the folder itself', () => `${allowed}/`],
    ['through a link', () => join(allowed, 'link/mem')],
    ['on an existing file', () => join(allowed, 'precious')],
    ['on a dangling link', () => join(allowed, 'dangling')],
    ['in the folder of another snapshot', () => join(folder('other'), 'mem')],
    ['in the registry', () => join(bed.config.dataDir, 'registry.sqlite')],
  ])('refuses a path %s', async (_, path) => {
    const vmId = await open();
    symlinkSync(tmpdir(), join(allowed, 'link'));
    symlinkSync(join(tmpdir(), 'nowhere'), join(allowed, 'dangling'));
    writeFileSync(join(allowed, 'precious'), 'data');
    mkdirSync(folder('other'));
    for (const field of ['memoryPath', 'statePath']) {
      await expect(bed.platform.takeSnapshot({ vmId, [field]: path() })).rejects.toMatchObject({
        code: 'PATH_NOT_ALLOWED',
      });
    }
    expect(readFileSync(join(allowed, 'precious'), 'utf8')).toBe('data');
    expect(bed.platform.listSnapshots()).toEqual([]);
  });

  it.each(['../x', '', 'a/b', '.hidden', 'x'.repeat(65)])('refuses the id %j', async (ssId) => {
    const vmId = await open();
    await expect(bed.platform.takeSnapshot({ vmId, ssId })).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
      details: { field: 'ssId' },
    });
  });

  it('refuses an id that is taken, also by a folder that is not ours', async () => {
    const { vmId } = await taken();
    mkdirSync(folder('strange'));
    writeFileSync(join(folder('strange'), 'file'), 'mine');
    for (const ssId of ['ss-1', 'strange']) {
      await expect(bed.platform.takeSnapshot({ vmId, ssId })).rejects.toMatchObject({
        code: 'INVALID_REQUEST',
      });
    }
    expect(existsSync(join(folder('strange'), 'file'))).toBe(true);
  });

  it.each([
    ['STORAGE_FULL', { diskFull: true }, true],
    ['VMM_FAILED', { fail: ['snapshot'] }, true],
    ['VMM_FAILED', { hang: ['snapshot'] }, false],
  ] as const)('that ends in %s leaves nothing behind', async (code, faults, goesOn) => {
    const vmId = await open({ faults: () => faults, config: { 'timeouts.snapshotMs': 50 } });
    await expect(bed.platform.takeSnapshot({ vmId })).rejects.toMatchObject({ code });
    expect(readdirSync(join(bed.config.dataDir, 'snapshots'))).toEqual([]);
    expect(bed.platform.listSnapshots()).toEqual([]);
    const again = bed.platform.invoke({ ...hello, vmId });
    if (goesOn) expect(await again).toMatchObject({ result: '{"count":5}' });
    else await expect(again).rejects.toMatchObject({ code: 'VM_NOT_FOUND' });
  });
});

describe('deleting a snapshot', () => {
  it('is refused while a VM restored from it lives', async () => {
    await taken();
    const { vmId } = await bed.platform.invoke({ ...hello, ssId: 'ss-1' });
    await expect(bed.platform.deleteSnapshot('ss-1')).rejects.toMatchObject({
      code: 'SNAPSHOT_IN_USE',
    });
    await bed.platform.deleteVm(vmId);
    await bed.platform.deleteSnapshot('ss-1');
    expect(existsSync(folder('ss-1'))).toBe(false);
    await expect(bed.platform.deleteSnapshot('ss-1')).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
    });
  });
});

describe('patching a snapshot', () => {
  /** The kernel may keep a page that it is busy with; of 128 MiB that is next to nothing. */
  const FEW_PAGES = 1024 * 1024;

  /** Bytes of the file in the page cache. */
  const cached = (path: string): number =>
    Number(
      execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', path]).toString(),
    );

  it('digs holes, loads and drops the cache, and changes no byte', async () => {
    const { memoryPath } = await taken();
    const content = Buffer.alloc(4 * 1024 * 1024);
    content.write('something', 2 * 1024 * 1024);
    writeFileSync(memoryPath, content);
    truncateSync(memoryPath, 128 * 1024 * 1024);
    await bed.platform.patchSnapshot('ss-1', { digHole: true });
    expect(bed.platform.getSnapshot('ss-1').diskBytes).toBeLessThan(1024 * 1024);
    await bed.platform.patchSnapshot('ss-1', { dropCache: true });
    expect(cached(memoryPath)).toBeLessThan(FEW_PAGES);
    await bed.platform.patchSnapshot('ss-1', { loadCache: true });
    // Most of it: a host that reclaims cold pages by itself may have taken some back already.
    expect(cached(memoryPath)).toBeGreaterThan(96 * 1024 * 1024);
    await bed.platform.patchSnapshot('ss-1', { dropCache: true });
    expect(cached(memoryPath)).toBeLessThan(FEW_PAGES);
    expect(readFileSync(memoryPath).subarray(0, content.length).equals(content)).toBe(true);
  });
});

describe('a snapshot that is not whole or does not fit', () => {
  const damages: [string, () => void, string][] = [
    ['no manifest', () => rmSync(join(folder('ss-1'), 'manifest.json')), 'manifest is missing'],
    ['no JSON', () => writeFileSync(join(folder('ss-1'), 'manifest.json'), '{"for'), 'not JSON'],
    [
      'no object',
      () => writeFileSync(join(folder('ss-1'), 'manifest.json'), '[]'),
      'not an object',
    ],
    [
      'a field less',
      () => editManifest('ss-1', (m) => delete m['codeId']),
      'lacks a usable codeId',
    ],
    ['another format', () => editManifest('ss-1', (m) => (m['format'] = 1)), 'format 1'],
    ['another id', () => editManifest('ss-1', (m) => (m['ssId'] = 'x')), 'that of x'],
    ['no memory', () => rmSync(join(folder('ss-1'), 'memory')), 'memory file is missing'],
    ['short memory', () => truncateSync(join(folder('ss-1'), 'memory'), 9), 'another size'],
    ['no state', () => rmSync(join(folder('ss-1'), 'state')), 'state file is missing'],
    ['short state', () => truncateSync(join(folder('ss-1'), 'state'), 9), 'another size'],
    [
      'a flipped bit in the state',
      () => {
        const state = readFileSync(join(folder('ss-1'), 'state'));
        state[3] = (state[3] ?? 0) ^ 1;
        writeFileSync(join(folder('ss-1'), 'state'), state);
      },
      'damaged',
    ],
    [
      'a flipped bit in the manifest',
      () => {
        const path = join(folder('ss-1'), 'manifest.json');
        writeFileSync(path, readFileSync(path, 'utf8').replace('"memMiB": 128', '"memMiB": 129'));
      },
      'manifest is damaged',
    ],
  ];

  it.each(damages)('is refused with %s; the next start drops it', async (_, damage, reason) => {
    await taken();
    damage();
    await expect(bed.platform.invoke({ ...hello, ssId: 'ss-1' })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
      message: expect.stringContaining(reason) as string,
    });
    expect(await bed.platform.listVms()).toHaveLength(1);
    bed = await bed.restart('killed');
    expect(bed.scan.dropped).toMatchObject([{ ssId: 'ss-1' }]);
    expect(bed.platform.listSnapshots()).toEqual([]);
    expect(existsSync(folder('ss-1'))).toBe(false);
  });

  it.each(['memory', 'sums', 'nonzero'])('is refused with a flipped bit in %s', async (name) => {
    await taken();
    const bytes = readFileSync(join(folder('ss-1'), name));
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    writeFileSync(join(folder('ss-1'), name), bytes);
    await expect(bed.platform.invoke({ ...hello, ssId: 'ss-1' })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
      message: expect.stringContaining('damaged') as string,
    });
    expect(await bed.platform.listVms()).toHaveLength(1);
  });

  it.each([
    ['VMM version', { capabilities: { version: '2' } }],
    ['machine type', { capabilities: { machine: 'q35' } }],
    ['CPU model', { capabilities: { cpuModel: 'host' } }],
    ['accelerator', { capabilities: { accelerator: 'kvm' } }],
    ['image', { image: { id: 'rebuilt' } }],
    ['kernel', { kernel: { id: 'rebuilt' } }],
  ] as const)('is refused with another %s, and stays', async (what, next) => {
    await taken();
    bed = await bed.restart('closed', next);
    await expect(bed.platform.invoke({ ...hello, ssId: 'ss-1' })).rejects.toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
      message: expect.stringContaining(what) as string,
    });
    expect(bed.platform.listSnapshots()).toHaveLength(1);
  });

  it('was not on the disk when the host went down', async () => {
    await taken();
    editManifest('ss-1', (m) => {
      m['durable'] = false;
      m['bootId'] = 'an earlier boot';
    });
    bed = await bed.restart('killed');
    expect(bed.scan.dropped).toMatchObject([
      { ssId: 'ss-1', reason: expect.stringContaining('went down') as string },
    ]);
  });
});

describe('after a power loss', () => {
  /** Takes `ss-1`; answers the entries that the journal had meanwhile. */
  async function takenAndJournaled(input: Partial<SnapshotInput> = {}): Promise<JournalEntry[]> {
    const vmId = await open({ faults: () => ({ delayMs: 20 }) });
    const taking = bed.platform.takeSnapshot({ vmId, ssId: 'ss-1', ...input });
    const ofSnapshot = (): JournalEntry[] =>
      bed.registry.journal.entries().filter(({ kind }) => /^(snapshot-dir|file)$/.test(kind));
    while (ofSnapshot().length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const entries = ofSnapshot();
    await taking;
    await bed.store.settled();
    expect(ofSnapshot()).toEqual([]);
    return entries;
  }

  /** The next start, when the host lost all commits after those of the given entries. */
  async function restartWith(entries: readonly Intent[]): Promise<void> {
    bed.registry.dropSnapshot('ss-1');
    bed.registry.journal.intendAll(entries);
    bed = await bed.restart('killed');
    expect(bed.registry.journal.entries()).toEqual([]);
  }

  it('a snapshot that is on the disk stays, though the journal still has its entry', async () => {
    await restartWith(await takenAndJournaled());
    expect(await bed.platform.invoke({ ...hello, ssId: 'ss-1' })).toMatchObject({
      result: '{"count":5}',
    });
  });

  it('so it does with files elsewhere; another file of the journal goes', async () => {
    const memoryPath = join(allowed, 'memory');
    const statePath = join(allowed, 'state');
    const entries = await takenAndJournaled({ memoryPath, statePath });
    expect(entries).toHaveLength(3);
    writeFileSync(join(allowed, 'half'), 'x');
    const { attributes } = entries[0]!;
    await restartWith([
      ...entries,
      { kind: 'file', name: join(allowed, 'half'), ...(attributes && { attributes }) },
    ]);
    expect(readdirSync(allowed).sort()).toEqual(['memory', 'state']);
    expect(await bed.platform.invoke({ ...hello, ssId: 'ss-1' })).toMatchObject({
      result: '{"count":5}',
    });
  });

  it.each([
    ['that was not on the disk', () => editManifest('ss-1', (m) => (m['durable'] = false))],
    ['that is damaged', () => truncateSync(join(folder('ss-1'), 'memory'), 9)],
    ['without a manifest', () => rmSync(join(folder('ss-1'), 'manifest.json'))],
  ])('one %s is removed by its entry', async (_, damage) => {
    const entries = await takenAndJournaled();
    damage();
    await restartWith(entries);
    expect(existsSync(folder('ss-1'))).toBe(false);
    expect(bed.platform.listSnapshots()).toEqual([]);
  });

  it('one that was being deleted is removed, also when its manifest is back', async () => {
    await takenAndJournaled();
    await restartWith(bed.store.removalIntents(bed.platform.getSnapshot('ss-1')));
    expect(existsSync(folder('ss-1'))).toBe(false);
  });

  it('one that was made under the id of a deleted one stays', async () => {
    await takenAndJournaled();
    const { createdAt, ...rest } = bed.platform.getSnapshot('ss-1');
    await restartWith(bed.store.removalIntents({ ...rest, createdAt: createdAt - 1 }));
    expect(bed.platform.listSnapshots()).toMatchObject([{ ssId: 'ss-1' }]);
  });
});

describe('after a restart', () => {
  it('snapshots are usable, however the daemon ended', async () => {
    await taken();
    bed = await bed.restart('killed');
    expect(await bed.platform.invoke({ ...hello, ssId: 'ss-1' })).toMatchObject({
      result: '{"count":5}',
    });
  });

  it('a half-made one is gone', async () => {
    await open();
    const { registry } = bed;
    registry.journal.intend({ kind: 'snapshot-dir', name: folder('half') });
    mkdirSync(folder('half'));
    writeFileSync(join(folder('half'), 'memory'), 'x');
    bed = await bed.restart('killed');
    expect(existsSync(folder('half'))).toBe(false);
    expect(bed.platform.listSnapshots()).toEqual([]);
  });

  it('one whose row was lost is taken back; a strange folder is left alone', async () => {
    await taken();
    bed.registry.dropSnapshot('ss-1');
    mkdirSync(folder('strange'));
    writeFileSync(join(folder('strange'), 'file'), 'mine');
    bed = await bed.restart('killed');
    expect(bed.platform.listSnapshots()).toMatchObject([{ ssId: 'ss-1' }]);
    expect(bed.scan.strange).toMatchObject([{ name: 'strange' }]);
    expect(existsSync(join(folder('strange'), 'file'))).toBe(true);
  });
});
