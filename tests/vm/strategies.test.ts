/**
 * However a snapshot is restored, the guest sees the snapshot's bytes: all of its memory is compared
 * page by page before it runs, and a function that runs in it reads what it had written.
 */
import { copyFileSync, existsSync, linkSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type {
  LoadedSnapshot,
  Mappings,
  RegionSettings,
  RestoreOptions,
  StrategyName,
} from '../../src/snapshot/index.js';
import {
  buildGuestDiffers,
  differingPages,
  qemuUnderTest,
  type QemuUnderTest,
} from '../support/qemu.js';
import { seededRandom } from '../support/random.js';
import { RestoreBench, type LiveVm } from '../support/restores.js';

const MEM_MIB = 256;
/** Pages of the function's own area: 32 MiB. */
const PAGES = 8192;
/** Lengths of the runs of equal kind, zero and not zero by turns: around every gap that is joined. */
const RUNS = [1, 2, 31, 32, 33, 1, 64, 3];

/** Fills an area page by page with numbers made of the seed, leaves runs of it zero, and sums it up. */
const PATTERN = `
import mmap, struct, zlib
area = None

def handler(event, context):
    global area
    if "seed" in event:
        pages, runs, page, run = event["pages"], event["runs"], 0, 0
        area = mmap.mmap(-1, pages * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        while page < pages:
            for n in range(page, min(page + runs[run % len(runs)], pages)):
                if run % 2:
                    word = (event["seed"] ^ n * 2654435761) & 0xffffffff | 1
                    area[n * 4096 : (n + 1) * 4096] = struct.pack("<I", word) * 1024
            page += runs[run % len(runs)]
            run += 1
    for n in event.get("write", []):
        area[n * 4096] = (area[n * 4096] + 1) & 255
    return zlib.crc32(area)
`;

/** The same on the host. */
class Pattern {
  readonly area = Buffer.alloc(PAGES * 4096);

  constructor(readonly seed: number) {
    for (let page = 0, run = 0; page < PAGES; page += RUNS[run % RUNS.length] ?? 1, run++) {
      if (run % 2 === 0) continue;
      const until = Math.min(PAGES, page + (RUNS[run % RUNS.length] ?? 1));
      for (let n = page; n < until; n++) this.#fill(n);
    }
  }

  get sum(): number {
    return crc32(this.area);
  }

  write(pages: readonly number[]): void {
    for (const n of pages) this.area[n * 4096] = ((this.area[n * 4096] ?? 0) + 1) & 255;
  }

  #fill(n: number): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(
      ((this.seed ^ Number(BigInt.asUintN(32, BigInt(n) * 2654435761n))) | 1) >>> 0,
    );
    this.area.fill(word, n * 4096, (n + 1) * 4096);
  }
}

let under: QemuUnderTest;
let bench: RestoreBench;
let differs: string;
let source: LoadedSnapshot;
let pattern: Pattern;

beforeAll(async () => {
  const random = seededRandom();
  pattern = new Pattern(random(2 ** 31));
  under = await qemuUnderTest('sparkler-strategies', { 'app.py': PATTERN });
  differs = buildGuestDiffers(under.dir);
  bench = new RestoreBench(under, MEM_MIB);
  const vm = await bench.boot();
  const event = { seed: pattern.seed, pages: PAGES, runs: RUNS };
  expect(await bench.invoke(vm, event)).toBe(pattern.sum);
  source = await bench.snapshot(vm, 'source');
  // The snapshot is what its VM held.
  expect(await differences(vm, source)).toEqual([]);
  await bench.end();
});
afterEach(async () => {
  await bench.end();
  expect(under.leftovers()).toEqual([]);
  expect(bench.dropped).toEqual([]);
});
afterAll(async () => {
  await bench.end();
  await bench.store.settled();
  await under.dispose();
});

const differences = (vm: LiveVm, { memoryPath }: LoadedSnapshot): Promise<number[]> =>
  differingPages(differs, vm.machine.pid ?? 0, MEM_MIB, memoryPath);

const bits = (byte: number): number => byte.toString(2).replaceAll('0', '').length;

/** What the memory came from, and what was learned. */
interface Outcome {
  readonly kind: string;
  readonly records: boolean;
  readonly why: string;
}

/** Restores, compares all of memory, lets the guest run and lets the strategy learn. */
async function proved(
  from: LoadedSnapshot,
  name: StrategyName,
  options: RestoreOptions = {},
  mayRun: 'compare first' | 'run at once' = 'compare first',
): Promise<Outcome & { vm: LiveVm }> {
  const vm = await bench.restore(from, name, options);
  const { prepared } = vm;
  // The comparison touches every page: what is recorded would be all of memory.
  if (mayRun === 'compare first') expect(await differences(vm, from), name).toEqual([]);
  await bench.wake(vm);
  expect(await bench.invoke(vm, {}), name).toBe(pattern.sum);
  await prepared.finish?.(vm.machine);
  await prepared.beside;
  const { memory, records, why } = prepared;
  return { kind: memory.kind, records, why, vm };
}

/** The same memory and state as a snapshot with other regions, and what was recorded of it. */
async function withRegions(
  ssId: string,
  regions: Partial<RegionSettings>,
): Promise<LoadedSnapshot> {
  const plan = bench.store.plan(ssId, { regions });
  await bench.store.prepare(plan);
  linkSync(source.memoryPath, plan.files.memoryPath);
  copyFileSync(source.statePath, plan.files.statePath);
  const { manifest } = source;
  await bench.store.commit(plan, manifest);
  for (const name of ['layers.rec', 'trace-1.rec', 'written.rec']) {
    copyFileSync(join(source.dir, name), join(plan.dir, name));
  }
  return bench.store.loadAnywhere({ ssId });
}

/** In this order: what one test records, those after it use. */
describe('the memory of a clone is that of its snapshot', () => {
  it('vanilla', async () => {
    expect(await proved(source, 'vanilla')).toMatchObject({ kind: 'file', records: false });
  });

  it('cached', async () => {
    expect(await proved(source, 'cached')).toMatchObject({ kind: 'file' });
  });

  it('faasnap, recording', async () => {
    const first = await proved(source, 'faasnap', {}, 'run at once');
    expect(first).toMatchObject({ kind: 'file', records: true });
    expect((await bench.sets(source).file('faasnap'))?.regions.length).toBeGreaterThan(0);
  });

  const MAPPINGS: Mappings[] = [];
  for (const memoryFile of [false, true])
    for (const overlay of [false, true])
      for (const workingSet of [false, true])
        if (memoryFile || overlay || workingSet) MAPPINGS.push({ memoryFile, overlay, workingSet });

  it.each(MAPPINGS)('faasnap, %o', async (mappings) => {
    const outcome = await proved(source, 'faasnap', { mappings });
    expect(outcome).toMatchObject({ kind: 'layers', records: false });
  });

  it('pages that are only read stay everybody’s', async () => {
    const vm = await bench.restore(source, 'faasnap');
    const own = async (): Promise<number> =>
      (await vm.machine.privatePages()).reduce((sum, byte) => sum + bits(byte), 0);
    const before = await own();
    expect(await differences(vm, source)).toEqual([]);
    expect(await own()).toBe(before);
    await bench.wake(vm);
    await bench.invoke(vm, { write: [0, 1, 2] });
    expect(await own()).toBeGreaterThan(before);
  });

  it('faasnap, populated by the VMM', async () => {
    const { vm } = await proved(source, 'faasnap', { vmmLoads: true });
    expect((await vm.machine.paging()).populated).toBeGreaterThan(0);
  });

  it('faasnap, loading its first layer', async () => {
    expect(await proved(source, 'faasnap', { loadLayers: [1] })).toMatchObject({ kind: 'layers' });
  });

  it('populate: recording, mapped, and with its written pages', async () => {
    const first = await proved(source, 'populate', {}, 'run at once');
    expect(first).toMatchObject({ kind: 'userfault', records: true });
    await bench.end();
    const second = await proved(source, 'populate', {}, 'run at once');
    expect(second).toMatchObject({ kind: 'layers', records: false });
    expect((await second.vm.machine.paging()).populated).toBeGreaterThan(0);
    const written = await bench.sets(source).written();
    expect(written?.length).toBeGreaterThan(0);
    await bench.end();
    expect(await proved(source, 'populate')).toMatchObject({ kind: 'layers' });
  });

  it('reap, recording', async () => {
    await bench.sets(source).forget('reap');
    const first = await proved(source, 'reap', {}, 'run at once');
    expect(first).toMatchObject({ kind: 'userfault', records: true });
    expect((await bench.sets(source).file('reap'))?.regions.length).toBeGreaterThan(0);
  });

  it.each([
    [{}],
    [{ directIo: true }],
    [{ singleRead: true }],
    [{ directIo: true, singleRead: true }],
  ])('reap, %o', async (options) => {
    const { kind, records, vm } = await proved(source, 'reap', options, 'compare first');
    expect({ kind, records }).toEqual({ kind: 'userfault', records: false });
    expect((await vm.machine.paging()).prefetched).toBeGreaterThan(0);
  });
});

describe('with other regions', () => {
  it.each([
    ['none are recorded', { record: false }, 'over memory memory'],
    ['short ones are left out', { sizeThreshold: 64 }, 'over memory memory'],
    ['nothing is joined', { intervalThreshold: 0 }, ''],
  ])('%s', async (name, regions, why) => {
    const loaded = await withRegions(name.replaceAll(' ', '-'), regions);
    expect(existsSync(join(loaded.dir, 'layers.rec'))).toBe(true);
    const faasnap = await proved(loaded, 'faasnap');
    expect(faasnap.kind).toBe('layers');
    expect(faasnap.why).toContain(why);
    await bench.end();
    expect(await proved(loaded, 'populate')).toMatchObject({ kind: 'layers', records: false });
  });
});

describe('a snapshot of a clone', () => {
  it.each(['vanilla', 'reap', 'faasnap', 'populate'] as const)(
    'that was restored by %s holds all that the clone held',
    async (name) => {
      const clone = await bench.restore(source, name);
      await bench.wake(clone);
      // Pages of both kinds; far fewer than the function has.
      const write = Array.from({ length: 200 }, (_, i) => (i * 41) % PAGES);
      const changed = new Pattern(pattern.seed);
      changed.write(write);
      expect(await bench.invoke(clone, { write })).toBe(changed.sum);
      const taken = await bench.snapshot(clone, `of-${name}`);
      expect(await differences(clone, taken)).toEqual([]);
      await clone.prepared.beside;
      await bench.end();
      const again = await bench.restore(taken, 'vanilla');
      await bench.wake(again);
      expect(await bench.invoke(again, {})).toBe(changed.sum);
    },
  );
});
