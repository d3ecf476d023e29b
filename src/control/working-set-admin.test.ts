import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
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
import { recordedEvent, WorkingSets } from '../snapshot/index.js';

const PAGE = 4096;
const PAGES = 128 * 256;
let bed: TestPlatform;
let allowed: string;
beforeEach(() => (allowed = mkdtempSync(join(tmpdir(), 'allowed-'))));
afterEach(async () => {
  await bed.dispose();
  rmSync(allowed, { recursive: true });
});

const hello = { functionName: 'hello' };
const folder = (ssId: string): string => join(bed.config.dataDir, 'snapshots', ssId);
const sets = () => bed.platform.workingSets;

/** Pages of a memory by the byte that they are full of; all others are zero. */
type Content = Readonly<Record<number, string>>;

/** Writes into a snapshot's memory, as if it had been taken so. */
function fill(ssId: string, content: Content): void {
  const file = openSync(join(folder(ssId), 'memory'), 'r+');
  ftruncateSync(file, 0);
  ftruncateSync(file, PAGES * PAGE);
  for (const [page, byte] of Object.entries(content)) {
    writeSync(file, Buffer.alloc(PAGE, byte), 0, PAGE, Number(page) * PAGE);
  }
  closeSync(file);
  const path = join(folder(ssId), 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  delete manifest['checksum'];
  Object.assign(manifest, { memoryId: '', nonZeroSum: 0 });
  const text = JSON.stringify({ ...manifest, checksum: crc32(JSON.stringify(manifest)) });
  writeFileSync(path, text);
}

const MEMORY: Content = { 1: 'a', 2: 'b', 100: 'c', 5000: 'd' };

async function open(options: TestOptions = {}): Promise<string> {
  bed = await testPlatform({ ...options, config: { snapshotDirs: [allowed], ...options.config } });
  return (await bed.platform.invoke(hello)).vmId;
}

/** Takes a snapshot with these pages, of the VM or of a new platform's. */
async function taken(ssId = 'base', content = MEMORY, vmId?: string): Promise<string> {
  const vm = vmId ?? (await open());
  await bed.platform.takeSnapshot({ vmId: vm, ssId });
  await bed.store.settled();
  fill(ssId, content);
  return vm;
}

/** The recordings of a snapshot, to add to. */
async function recordings(ssId = 'base'): Promise<WorkingSets> {
  const { store } = bed;
  const loaded = await store.loadAnywhere({ ssId });
  return new WorkingSets(loaded, store, () => undefined);
}

async function recordTrace(pages: readonly number[], event = '{}', ssId = 'base'): Promise<void> {
  const path = join(allowed, 'trace');
  writeFileSync(path, Buffer.from(Uint32Array.from(pages).buffer));
  await (await recordings(ssId)).addTrace(path, recordedEvent(event), 8);
  rmSync(path);
}

async function recordLayers(groups: Readonly<Record<number, number>>): Promise<void> {
  const layers = new Uint16Array(PAGES);
  for (const [page, group] of Object.entries(groups)) layers[Number(page)] = group;
  await (await recordings()).putLayers(layers, recordedEvent('{"n":1}'));
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
const refused = (field: string) => ({ code: 'INVALID_REQUEST', details: { field } });
const fileOf = async (use: string, ssId = 'base') =>
  (await sets().workingSet(ssId)).files.find((file) => file.use === use);

describe('mincore', () => {
  it('counts layers, regions and the loading set', async () => {
    await taken();
    expect(await sets().mincore('base')).toEqual({
      nlayers: 0,
      n_nz_regions: 3,
      nz_region_size: 4,
      n_ws_regions: 0,
      ws_region_size: 0,
    });
    await recordLayers({ 1: 1, 100: 2, 9000: 2 });
    await sets().patchMincore('base', { toFile: { intervalThreshold: 0 } });
    expect(await sets().mincore('base')).toMatchObject({
      nlayers: 2,
      n_ws_regions: 2,
      ws_region_size: 2,
    });
  });

  it('has no regions where none were recorded', async () => {
    const vmId = await open();
    await bed.platform.takeSnapshot({ vmId, ssId: 'base', regions: { record: false } });
    await bed.store.settled();
    fill('base', MEMORY);
    expect(await sets().mincore('base')).toMatchObject({ n_nz_regions: 0, nz_region_size: 0 });
    await recordLayers({ 1: 1 });
    await expect(sets().patchMincore('base', { trimRegions: true })).rejects.toMatchObject(
      refused('trim_regions'),
    );
  });

  it('carries layers over, with their event, and drops the file made of others', async () => {
    const vmId = await taken();
    await taken('warm', { 1: 'x' }, vmId);
    await expect(sets().carryMincore('warm', 'base')).rejects.toMatchObject(refused('source'));
    await recordLayers({ 1: 1, 100: 2 });
    await sets().carryMincore('warm', 'base');
    const { recordings: found } = await sets().workingSet('warm');
    expect(found).toMatchObject([
      { name: 'layers', kind: 'mincore', pages: 2, groups: 2, eventBytes: 7 },
    ]);
    await sets().patchMincore('warm', { toFile: {} });
    expect(await fileOf('faasnap', 'warm')).toMatchObject({ pages: 1 });
    await sets().carryMincore('warm', 'base');
    expect(await fileOf('faasnap', 'warm')).toBeUndefined();
    for (const [source, code] of [
      ['warm', 'INVALID_REQUEST'],
      ['nobody', 'SNAPSHOT_NOT_FOUND'],
    ] as const) {
      await expect(sets().carryMincore('warm', source)).rejects.toMatchObject({
        code,
        details: { field: 'source' },
      });
    }
  });

  it('adds a layer of the pages that are shared and not zero', async () => {
    const vmId = await taken();
    // Page 100 is the same, 5000 is not; page 2 is, in a block that differs.
    await taken('other', { 1: 'z', 2: 'b', 100: 'c', 5000: 'e', 7000: 'f' }, vmId);
    await recordLayers({ 1: 1, 100: 1 });
    await sets().addMincoreLayer('base', 1, 'other');
    const layers = await (await recordings()).layers();
    expect([1, 2, 100, 5000, 7000].map((page) => layers?.[page])).toEqual([2, 1, 1, 0, 0]);
    await expect(sets().addMincoreLayer('base', 9, 'other')).rejects.toMatchObject(
      refused('position'),
    );
    await expect(sets().addMincoreLayer('base', 1, 'base')).rejects.toMatchObject(
      refused('fromDiff'),
    );
  });

  it('emulates layers from recorded faults', async () => {
    await taken();
    const patch = sets().patchMincore('base', { fromRecordsSize: 2 });
    await expect(patch).rejects.toMatchObject(refused('from_records_size'));
    await recordTrace([100, 2, 5000]);
    await sets().patchMincore('base', { fromRecordsSize: 2 });
    const layers = await (await recordings()).layers();
    expect([100, 2, 5000, 1].map((page) => layers?.[page])).toEqual([1, 1, 2, 0]);
  });

  it('trims layers to the regions', async () => {
    await taken();
    await recordLayers({ 1: 1, 100: 2, 9000: 2 });
    await sets().patchMincore('base', { trimRegions: true });
    const layers = await (await recordings()).layers();
    expect([1, 100, 9000].map((page) => layers?.[page])).toEqual([1, 2, 0]);
  });

  it.each([
    ['the paper’s', {}, 3, 100],
    ['no gaps', { intervalThreshold: 0 }, 3, 3],
    ['inactive pages', { intervalThreshold: 0, inactiveWs: true }, 3, 4],
    ['zero pages', { intervalThreshold: 0, zeroWs: true }, 4, 4],
    ['large regions', { intervalThreshold: 0, sizeThreshold: 2 }, 0, 0],
  ])('writes the loading set: %s', async (what, options, regions, pages) => {
    await taken();
    await recordLayers({ 1: 1, 100: 2, 5000: 2, 9000: 2 });
    await sets().patchMincore('base', { toFile: options });
    const file = await fileOf('faasnap');
    if (what === 'the paper’s') expect(file).toMatchObject({ regions: 3, pages: 3 });
    else expect(file).toMatchObject({ regions, pages });
  });

  it('writes it where the caller wants it too, and that one stays', async () => {
    await taken();
    const path = join(allowed, 'ws');
    const toFile = { exportPath: path };
    const patch = () => sets().patchMincore('base', { toFile });
    await expect(patch()).rejects.toMatchObject(refused('to_ws_file'));
    await recordLayers({ 1: 1 });
    await patch();
    expect(readFileSync(path).equals(readFileSync(join(folder('base'), 'faasnap.wsf')))).toBe(true);
    expect(bed.registry.journal.entries().filter(({ kind }) => kind === 'file')).toEqual([]);
    const denied = { code: 'PATH_NOT_ALLOWED', details: { field: 'to_ws_file' } };
    await expect(patch()).rejects.toMatchObject(denied);
    toFile.exportPath = join(tmpdir(), 'elsewhere');
    await expect(patch()).rejects.toMatchObject(denied);
    await bed.platform.deleteSnapshot('base');
    expect(existsSync(path)).toBe(true);
  });

  it('warms layers and drops caches, and restores know it', async () => {
    await taken();
    await recordLayers({ 1: 1, 100: 2 });
    const { cache } = bed.store;
    const memory = join(folder('base'), 'memory');
    await bed.platform.patchSnapshot('base', { loadCache: true });
    expect(cache.has(memory)).toBe(true);
    await sets().patchMincore('base', { warmLayers: [2] });
    expect(cache.has(memory)).toBe(false);
    await expect(sets().patchMincore('base', { warmLayers: [3] })).rejects.toMatchObject(
      refused('mincore_cache'),
    );
    await sets().patchMincore('base', { toFile: {} });
    await bed.platform.invoke({ ...hello, ssId: 'base', restore: { strategy: 'faasnap' } });
    expect(await fileOf('faasnap')).toMatchObject({ cached: true });
    await sets().patchMincore('base', { dropCache: true });
    expect(await fileOf('faasnap')).toMatchObject({ cached: false });
  });
});

describe('reap', () => {
  it('is shown, cached, dropped and forgotten', async () => {
    await taken();
    expect(await sets().reap('base')).toEqual({ traces: 0 });
    await sets().cacheReap('base', false);
    await expect(sets().cacheReap('base', true)).rejects.toMatchObject(refused('cache'));
    await recordTrace([1, 2, 100]);
    await sets().cacheReap('base', true);
    const file = { use: 'reap', regions: 2, pages: 3 };
    expect(await sets().reap('base')).toMatchObject({ traces: 1, file: { ...file, cached: true } });
    await sets().cacheReap('base', false);
    expect(await sets().reap('base')).toMatchObject({ file: { ...file, cached: false } });
    await sets().forgetReap('base');
    expect(await sets().reap('base')).toEqual({ traces: 0 });
    expect(readdirSync(folder('base')).filter((name) => /rec|wsf/.test(name))).toEqual([]);
  });

  it('restores with what was recorded until it is forgotten', async () => {
    await taken();
    await recordTrace([1, 2, 100]);
    const restore = { strategy: 'reap', options: { directIo: true } } as const;
    await bed.platform.invoke({ ...hello, ssId: 'base', restore });
    expect(bed.driver.restores.at(-1)).toMatchObject({
      kind: 'userfault',
      workingSet: { direct: true, singleRead: false },
    });
    await sets().forgetReap('base');
    await bed.platform.invoke({ ...hello, ssId: 'base', restore: { strategy: 'reap' } });
    expect(bed.driver.restores.at(-1)).toMatchObject({
      kind: 'userfault',
      tracePath: expect.any(String) as string,
    });
  });
});

describe('options that a strategy does not know', () => {
  it.each([
    ['wsFileDirectIo', 'vanilla', { directIo: true }],
    ['mincore', 'reap', { record: { growthPages: 9 } }],
    ['loadMincore', 'populate', { loadLayers: [1] }],
    ['mincore', 'auto', { record: { growthPages: 9 } }],
    ['resident', 'cached', { resident: true }],
    // The function's own strategy.
    ['wsSingleRead', undefined, { singleRead: true }],
  ] as const)('are refused: %s with %s', async (field, strategy, options) => {
    await taken();
    const restore = { ...(strategy && { strategy }), options };
    await expect(bed.platform.invoke({ ...hello, ssId: 'base', restore })).rejects.toMatchObject(
      refused(field),
    );
    expect(bed.driver.restores).toEqual([]);
  });
});

describe('the working set', () => {
  it('lists recordings with their events, files, and how alike they are', async () => {
    await taken();
    await recordTrace([1, 2, 100], '{"a":1}');
    await recordTrace([1, 2, 5000], '{"b":2}');
    await recordLayers({ 1: 1, 9000: 2 });
    await sets().patchMincore('base', { toFile: {} });
    const view = await sets().workingSet('base', 2);
    const sha256 = createHash('sha256').update('{"a":1}').digest('hex');
    expect(view).toMatchObject({
      pages: PAGES,
      nonZeroPages: 4,
      recordings: [
        { name: 'trace-1', kind: 'userfault', pages: 3, groups: 0, eventSha256: sha256 },
        { name: 'trace-2', pages: 3 },
        { name: 'layers', kind: 'mincore', pages: 2, groups: 2 },
      ],
      files: [{ use: 'faasnap', regions: 1, pages: 1, cached: false }],
      similarities: [
        { one: 'trace-1', other: 'trace-2', jaccard: 0.5 },
        { one: 'trace-1', other: 'layers', jaccard: 0.25 },
        { one: 'trace-2', other: 'layers', jaccard: 0.25 },
      ],
      common: { atLeast: 2, pages: 2 },
    });
    expect(view).not.toHaveProperty('writtenPages');
    await expect(sets().workingSet('base', 4)).rejects.toMatchObject(refused('at_least'));
  });

  it('is drawn with the file that was made last, or the named one', async () => {
    await taken();
    expect(await sets().picture('base')).toContain('hello, snapshot base: nothing is prefetched');
    await recordTrace([1, 2, 100]);
    await sets().cacheReap('base', true);
    const svg = await sets().picture('base');
    expect(svg).toContain('hello, snapshot base: the working set for reap');
    expect(svg).toContain('prefetched and touched: 0.01 MiB');
    await expect(sets().picture('base', 'populate')).rejects.toMatchObject(refused('strategy'));
  });

  it('is forgotten as a whole', async () => {
    await taken();
    await recordTrace([1]);
    await recordLayers({ 1: 1 });
    await (await recordings()).putWritten(Uint32Array.of(1), recordedEvent(''));
    await sets().patchMincore('base', { toFile: {} });
    await sets().forget('base');
    expect(readdirSync(folder('base')).sort()).toEqual([
      ...['manifest.json', 'memory', 'nonzero', 'state', 'sums'],
    ]);
  });
});

describe('verifying a snapshot', () => {
  it('reads all of it', async () => {
    await taken();
    await recordTrace([1, 2]);
    await sets().cacheReap('base', true);
    const verified = await sets().verify('base');
    const names = verified.files.map(({ name }) => name).sort();
    expect(names).toEqual(['memory', 'nonzero', 'reap.wsf', 'state', 'sums', 'trace-1.rec']);
    expect(verified.files[0]).toEqual({ name: 'memory', bytes: PAGES * PAGE });
    expect(verified).toMatchObject({ dropped: [], memoryId: /^/ });
  });

  it.each(['memory', 'state', 'sums', 'nonzero'])('finds a flipped bit in %s', async (name) => {
    await taken();
    await sets().verify('base');
    const bytes = readFileSync(join(folder('base'), name));
    bytes[1] = (bytes[1] ?? 0) ^ 1;
    writeFileSync(join(folder('base'), name), bytes);
    for (const use of [
      () => sets().verify('base'),
      () => bed.platform.invoke({ ...hello, ssId: 'base' }),
    ]) {
      await expect(use()).rejects.toMatchObject({
        code: 'SNAPSHOT_UNUSABLE',
        message: expect.stringContaining('damaged') as string,
      });
    }
  });

  it('drops recordings and files that are damaged, and says so', async () => {
    await taken();
    await recordTrace([1, 2]);
    await sets().cacheReap('base', true);
    for (const name of ['trace-1.rec', 'reap.wsf']) {
      const bytes = readFileSync(join(folder('base'), name));
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      writeFileSync(join(folder('base'), name), bytes);
    }
    const { dropped } = await sets().verify('base');
    expect(dropped).toEqual([
      expect.stringContaining('trace-1.rec was dropped'),
      expect.stringContaining('reap.wsf was dropped'),
    ]);
    expect((await sets().verify('base')).dropped).toEqual([]);
  });
});

describe('copying a snapshot', () => {
  it('takes memory, state and recordings along; each lives on its own', async () => {
    await taken();
    await recordTrace([1, 2]);
    await sets().cacheReap('base', true);
    const memoryPath = join(allowed, 'mem');
    const copy = await bed.platform.copySnapshot({ from: 'base', memoryPath });
    expect(copy).toMatchObject({ memoryPath, functionName: 'hello' });
    expect(copy.ssId).not.toBe('base');
    expect(readFileSync(memoryPath).equals(readFileSync(join(folder('base'), 'memory')))).toBe(
      true,
    );
    expect(await sets().reap(copy.ssId)).toMatchObject({ traces: 1, file: { pages: 2 } });
    await bed.platform.deleteSnapshot('base');
    bed = await bed.restart('killed');
    expect(bed.platform.listSnapshots()).toEqual([copy]);
    expect(await bed.platform.invoke({ ...hello, ssId: copy.ssId })).toMatchObject({
      startKind: 'snapshot',
    });
    expect(await sets().verify(copy.ssId)).toMatchObject({ dropped: [] });
  });

  it('is on the disk whole, or gone after the next start', async () => {
    await taken();
    await bed.platform.copySnapshot({ from: 'base', ssId: 'copy' });
    await bed.store.settled();
    const manifest = readFileSync(join(folder('copy'), 'manifest.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({ durable: true, ssId: 'copy' });
    // Killed while a copy was written: its entry is open, its manifest not there.
    const plan = bed.store.plan('half', { memoryPath: join(allowed, 'half') });
    bed.registry.journal.intendAll(plan.intents);
    await bed.store.prepare(plan);
    writeFileSync(plan.files.memoryPath, 'x');
    bed = await bed.restart('killed');
    expect([existsSync(folder('half')), readdirSync(allowed)]).toEqual([false, []]);
    expect(bed.platform.listSnapshots().map(({ ssId }) => ssId)).toEqual(['base', 'copy']);
  });

  it.each([
    ['of nothing', { from: 'nobody' }, 'SNAPSHOT_NOT_FOUND'],
    ['onto another', { from: 'base', ssId: 'base' }, 'INVALID_REQUEST'],
    ['elsewhere', { from: 'base', memoryPath: '/etc/mem' }, 'PATH_NOT_ALLOWED'],
  ])('%s is refused', async (_what, input, code) => {
    await taken();
    await expect(bed.platform.copySnapshot(input)).rejects.toMatchObject({ code });
    expect(bed.platform.listSnapshots()).toHaveLength(1);
  });

  it('that is damaged or does not fit leaves nothing behind', async () => {
    await taken();
    const memory = join(folder('base'), 'memory');
    const bytes = readFileSync(memory);
    await sets().mincore('base');
    bytes[7] = 1;
    writeFileSync(memory, bytes);
    const damaged = bed.platform.copySnapshot({ from: 'base', ssId: 'copy' });
    await expect(damaged).rejects.toMatchObject({ code: 'SNAPSHOT_UNUSABLE' });
    bytes[7] = 0;
    writeFileSync(memory, bytes);
    bed = await bed.restart('closed', { freeBytes: () => Promise.resolve(1) });
    const full = bed.platform.copySnapshot({ from: 'base', ssId: 'copy' });
    await expect(full).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect(readdirSync(join(bed.config.dataDir, 'snapshots'))).toEqual(['base']);
    const open = bed.registry.journal.entries().filter(({ kind }) => kind === 'snapshot-dir');
    expect(open).toEqual([]);
  });
});

describe('the locks of a snapshot', () => {
  it('let changes wait for restores under way, and deleting for both', async () => {
    const vmId = await open({ faults: () => ({ delayMs: 30 }) });
    await taken('base', MEMORY, vmId);
    await recordTrace([1, 2]);
    const restored = await bed.platform.createVm({ ...hello, ssId: 'base' });
    while (bed.driver.restores.length === 0) await tick();
    const state = async () => (await bed.platform.getVm(restored.vmId)).state;
    expect(await state()).toBe('starting');
    await sets().forgetReap('base');
    expect(await state()).not.toBe('starting');
    for (const vm of await bed.platform.listVms()) await bed.platform.deleteVm(vm.vmId);
    const copying = bed.platform.copySnapshot({ from: 'base', ssId: 'copy' });
    while (!existsSync(folder('copy'))) await tick();
    await bed.platform.deleteSnapshot('base');
    await copying;
    expect(bed.platform.listSnapshots().map(({ ssId }) => ssId)).toEqual(['copy']);
    await expect(sets().mincore('base')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
  });
});
