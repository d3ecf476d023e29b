/** page-recorder, built with sanitizers, against a process that touches a file step by step. */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dropCache } from '../../src/snapshot/index.js';
import { decodeLayers } from '../../src/snapshot/working-set/layers.js';
import { canDropCache, NativeTools, type Talker } from '../support/native-tools.js';

const PAGE = 4096;

let tools: NativeTools;
beforeAll(() => {
  tools = new NativeTools(['page-recorder'], ['toucher']);
});
afterEach(() => tools.endAll());
afterAll(() => tools.close());

describe.skipIf(!canDropCache)('page-recorder', () => {
  const PAGES = 8192;
  /** Pages that a step touches. */
  const STEP = 1024;
  const SECOND = 4096;
  const GROWTH = 256;

  /** A file that is on the disk and not in the page cache, and a process that maps it. */
  async function begin() {
    const path = tools.path('recorded');
    writeFileSync(path, Buffer.alloc(PAGES * PAGE, 7));
    await dropCache(path, 10_000);
    const toucher = tools.start('toucher', [path, String(PAGES * PAGE)]);
    expect(await toucher.line()).toBe('ready');
    const fds = [openSync(path, 'r'), openSync(tools.path('groups'), 'w+')];
    const record = (...how: string[]): Talker => {
      const args = ['3', String(toucher.child.pid), '4', ...how];
      const recorder = tools.start('page-recorder', args, fds);
      fds.splice(0).forEach((fd) => closeSync(fd));
      return recorder;
    };
    const touch = async (page: number): Promise<void> => {
      expect(await toucher.ask(`${page} ${STEP}`)).toBe('touched');
    };
    return { path, toucher, record, touch };
  }

  /** Reads lines until the scans have found `pages`; answers the last scan's number. */
  async function found(recorder: Talker, pages: number): Promise<number> {
    for (let sum = 0; ;) {
      const line = JSON.parse(await recorder.line()) as { scan: number; pages: number };
      sum += line.pages;
      if (sum >= pages) return line.scan;
    }
  }

  /** The last line that it prints, and the groups that it wrote. */
  async function end(recorder: Talker) {
    for (;;) {
      const line = JSON.parse(await recorder.line()) as { scans?: number; pages: number };
      if (line.scans === undefined) continue;
      expect(await recorder.exit).toBe(0);
      const groups = decodeLayers(readFileSync(tools.path('groups')));
      expect(groups).toHaveLength(PAGES);
      expect(groups.filter((group) => group > 0)).toHaveLength(line.pages);
      expect(Math.max(...groups)).toBeLessThanOrEqual(line.scans);
      return { scans: line.scans, pages: line.pages, groups };
    }
  }

  it('puts what is touched later into later groups, by growth', async () => {
    const { record, touch } = await begin();
    const recorder = record('--growth', String(GROWTH));
    expect(await recorder.line()).toBe('{"scan":0,"pages":0}');
    await touch(0);
    // The last pages of a step may be fewer than a scan takes; the kernel counts in batches.
    const last = await found(recorder, STEP - 2 * GROWTH);
    await touch(SECOND);
    recorder.say('stop');
    const { groups, pages } = await end(recorder);
    const first = groups.subarray(0, STEP);
    const second = groups.subarray(SECOND, SECOND + STEP);
    expect(first.every((group) => group > 0)).toBe(true);
    expect(first.filter((group) => group <= last).length).toBeGreaterThanOrEqual(STEP - 2 * GROWTH);
    expect(second.every((group) => group > last)).toBe(true);
    expect(groups[0]).toBeGreaterThan(0);
    expect(pages).toBe(2 * STEP);
  });

  it('scans by time too', async () => {
    const { record, touch } = await begin();
    const recorder = record('--interval', '5');
    expect(await recorder.line()).toBe('{"scan":0,"pages":0}');
    await touch(0);
    const last = await found(recorder, STEP);
    await touch(SECOND);
    await found(recorder, STEP);
    recorder.say('stop');
    const { groups, scans } = await end(recorder);
    expect(groups.subarray(0, STEP).every((group) => group > 0 && group <= last)).toBe(true);
    const second = groups.subarray(SECOND, SECOND + STEP);
    expect(second.every((group) => group > last)).toBe(true);
    expect(scans).toBeGreaterThan(last);
  });

  it('says how much was in the cache before it began; that is group 1', async () => {
    const { record, touch } = await begin();
    await touch(0);
    const recorder = record('--growth', '100000');
    expect(await recorder.line()).toBe(`{"scan":0,"pages":${STEP}}`);
    recorder.say('stop');
    const { groups, scans } = await end(recorder);
    expect(scans).toBe(1);
    expect(groups.subarray(0, STEP).every((group) => group === 1)).toBe(true);
  });

  it.each<[string, (recorder: Talker, toucher: Talker) => void]>([
    ['its input ends', (recorder) => recorder.child.stdin!.end()],
    ['the process ends', (_, toucher) => toucher.child.kill('SIGKILL')],
  ])('makes a last scan and writes when %s', async (_, stop) => {
    const { record, touch, toucher } = await begin();
    const recorder = record('--growth', '100000');
    await recorder.line();
    await touch(SECOND);
    stop(recorder, toucher);
    expect(await end(recorder)).toMatchObject({ scans: 1, pages: STEP });
  });

  it('refuses what it cannot do', async () => {
    const { path, record } = await begin();
    const recorder = record('--growth', '1');
    await recorder.line();
    recorder.say('pause');
    expect(await recorder.exit).toBe(1);
    expect(recorder.errors).toMatch(/not `stop`/);
    const file: [string, string][] = [
      [path, 'r'],
      [tools.path('groups'), 'w+'],
    ];
    const me = String(process.pid);
    for (const args of [
      [],
      ['3', me, '4', '--growth'],
      ['3', me, '4', '--growth', '0'],
      ['3', me, '4', '--often', '5'],
      ['3', '999999999', '4', '--growth', '5'],
      ['99', me, '4', '--growth', '5'],
      ['3', me, 'x', '--growth', '5'],
    ]) {
      const done = tools.run('page-recorder', args, file);
      expect(done, args.join(' ')).toMatchObject({ status: 1, stdout: '' });
      expect(done.stderr).toMatch(/^page-recorder: .*\n$/);
    }
    writeFileSync(tools.path('odd'), Buffer.alloc(PAGE + 1));
    const odd = tools.run(
      'page-recorder',
      ['3', me, '4', '--growth', '5'],
      [[tools.path('odd'), 'r']],
    );
    expect(odd.stderr).toMatch(/whole pages/);
  });
});
