/** page-replay, with sanitizers: what it reads is checked, whichever way the memory is mapped. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dropCache } from '../../src/snapshot/index.js';
import { replay, type ReplayRequest, WRITTEN_BIT } from '../../src/snapshot/replay.js';
import { encodeTrace } from '../../src/snapshot/working-set/recording.js';
import { type GroupedRun, PAGE_BYTES } from '../../src/snapshot/working-set/runs.js';
import { crc32c } from '../../src/snapshot/working-set/crc32c.js';
import { writeWorkingSet } from '../../src/snapshot/working-set/working-set-file.js';
import { encodePlan, type MappedRegion } from '../../src/vmm/index.js';
import { canDropCache, NativeTools } from '../support/native-tools.js';
import { seededRandom } from '../support/random.js';

const PAGES = 256;
const random = seededRandom();
/** Pages 128 to 191 are a hole. */
const isZero = (page: number): boolean => page >= 128 && page < 192;
/** Touched pages; of these 140 and 7 are written. */
const TRACE = [200, 201, 7, 140, 8, 130, 255, 200];
const WRITTEN = [7, 140];
const SET: GroupedRun[] = [
  { page: 200, pages: 2, group: 1 },
  { page: 7, pages: 2, group: 1 },
];

let native: NativeTools;
let bytes: Buffer;
let request: Pick<ReplayRequest, 'memoryPath' | 'tracePath' | 'expect'>;

beforeAll(async () => {
  native = new NativeTools(['page-replay', 'page-server', 'page-loader', 'memory-sums']);
  bytes = Buffer.from(Array.from({ length: PAGES * PAGE_BYTES }, () => random(256)));
  bytes.fill(0, 128 * PAGE_BYTES, 192 * PAGE_BYTES);
  const [memoryPath, tracePath] = [native.path('memory'), native.path('trace')];
  writeFileSync(memoryPath, bytes);
  sum();
  const numbers = TRACE.map((page) => (WRITTEN.includes(page) ? page + WRITTEN_BIT : page));
  writeFileSync(tracePath, encodeTrace(Uint32Array.from(numbers)));
  const heads = TRACE.map((page) => bytes.subarray(page * PAGE_BYTES, page * PAGE_BYTES + 8));
  request = { memoryPath, tracePath, expect: crc32c(Buffer.concat(heads)) };
  const memoryId = '0'.repeat(64);
  const { dataAt } = await writeWorkingSet(native.path('set'), { memoryPath, memoryId }, SET);
  writeFileSync(native.path('plan'), plan(dataAt / PAGE_BYTES));
});
afterAll(() => native.close());

const tools = () => ({ nativeDir: native.dir, limitMs: 20_000 });

function sum(): void {
  const files: [string, string][] = [
    [native.path('memory'), 'r'],
    [native.path('sums'), 'w+'],
  ];
  expect(native.run('memory-sums', ['make', '3', '4'], files).status).toBe(0);
}

/** Data over anonymous memory, the set over it; 7 is populated for writing, 200 for reading. */
function plan(dataPage: number): Buffer {
  const from = (page: number, pages: number, filePage: number, source: MappedRegion['from']) =>
    ({ page, pages, filePage, from: source, populate: 'no' }) as const;
  const regions: MappedRegion[] = [
    from(0, 128, 0, 'memory'),
    from(192, 64, 192, 'memory'),
    from(200, 2, dataPage, 'workingSet'),
    from(7, 2, dataPage + 2, 'workingSet'),
    { ...from(200, 2, 0, 'base'), populate: 'read' },
    { ...from(7, 1, 0, 'base'), populate: 'write' },
  ];
  return encodePlan({ kind: 'layers', base: 'anonymous', regions }, PAGES * PAGE_BYTES);
}

const ways = (): Record<string, ReplayRequest['way']> => {
  const [planPath, sumsPath, path] = ['plan', 'sums', 'set'].map((name) => native.path(name)) as [
    string,
    string,
    string,
  ];
  return {
    private: { kind: 'private' },
    layers: { kind: 'layers', planPath, workingSetPath: path },
    'layers with a loader': { kind: 'layers', planPath, workingSetPath: path, loader: true },
    'on demand': { kind: 'userfault', sumsPath },
    'a compact file': { kind: 'userfault', sumsPath, workingSet: { path, direct: false } },
    'a compact file past the cache': {
      ...{ kind: 'userfault', sumsPath, workingSet: { path, direct: true } },
    },
  };
};
const NAMES = [
  ...['private', 'layers', 'layers with a loader', 'on demand', 'a compact file'],
  ...(canDropCache ? ['a compact file past the cache'] : []),
];

describe('page-replay', () => {
  it.each(NAMES)('passes right data and leaves the files as they were: %s', async (name) => {
    const result = await replay({ ...request, way: ways()[name]!, workNs: 1000 }, tools());
    expect(result.sum).toBe(request.expect);
    expect(result.populateFailures).toBe(0);
    expect(readFileSync(request.memoryPath).equals(bytes)).toBe(true);
    const distinct = new Set(TRACE).size;
    if (name === 'on demand') expect(result).toMatchObject({ served: distinct, prefetched: 0 });
    if (name.startsWith('a compact file'))
      expect(result).toMatchObject({ served: distinct - 4, prefetched: 4 });
  });

  it.each(NAMES)('fails when one byte that is read is another: %s', async (name) => {
    const way = ways()[name]!;
    const [kept, damaged] = [native.path('kept'), native.path('damaged')];
    // Page 255 comes from the memory file in every way.
    const wrong = Buffer.from(bytes);
    const at = 255 * PAGE_BYTES + random(8);
    wrong[at] = (wrong[at] ?? 0) ^ (1 << random(8));
    writeFileSync(damaged, wrong);
    await expect(replay({ ...request, memoryPath: damaged, way }, tools())).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    if (way.kind !== 'userfault') return;
    // Without the checksum's help: the table is that of the damaged memory.
    copyFileSync(way.sumsPath, kept);
    const files: [string, string][] = [
      [damaged, 'r'],
      [way.sumsPath, 'w+'],
    ];
    native.run('memory-sums', ['make', '3', '4'], files);
    const failure = replay({ ...request, memoryPath: damaged, way }, tools());
    await expect(failure).rejects.toThrow('not what the memory holds');
    copyFileSync(kept, way.sumsPath);
  });

  it('fails when the compact file holds another byte', async () => {
    const path = native.path('bad-set');
    const set = readFileSync(native.path('set'));
    const at = set.length - 4 * PAGE_BYTES;
    set[at] = (set[at] ?? 0) ^ 1;
    writeFileSync(path, set);
    const { layers, 'a compact file': compact } = ways();
    if (layers?.kind !== 'layers' || compact?.kind !== 'userfault') throw new TypeError('ways');
    for (const way of [
      { ...layers, workingSetPath: path },
      { ...compact, workingSet: { path, direct: false } },
    ]) {
      await expect(replay({ ...request, way }, tools())).rejects.toMatchObject({
        code: 'INTERNAL',
      });
    }
  });

  it.skipIf(!canDropCache)('drops what it is told to, and reads it from the disk', async () => {
    await dropCache(request.memoryPath, 10_000);
    const way = { kind: 'private' } as const;
    expect((await replay({ ...request, way, cache: 'warm' }, tools())).readBytes).toBe(0);
    const cold = await replay({ ...request, way, cache: 'cold' }, tools());
    expect(cold.readBytes).toBeGreaterThan(0);
    expect(cold.majorFaults).toBeGreaterThan(0);
  });

  it('refuses a trace that leaves the memory', async () => {
    const tracePath = native.path('far-trace');
    writeFileSync(tracePath, encodeTrace(Uint32Array.of(PAGES)));
    const failure = replay({ ...request, tracePath, way: { kind: 'private' } }, tools());
    await expect(failure).rejects.toThrow('leaves the memory');
  });

  it('counts the pages that are written as its own', async () => {
    const { privateBytes } = await replay({ ...request, way: { kind: 'private' } }, tools());
    // The sanitizers' own memory grows too.
    expect(privateBytes).toBeGreaterThanOrEqual(WRITTEN.length * PAGE_BYTES);
    expect(WRITTEN.some(isZero)).toBe(true);
  });
});
