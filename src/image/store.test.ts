import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from './command.js';
import { readManifest, verifyFolder } from './manifest.js';
import { pruneImages } from './prune.js';
import { resolveImage, resolveKernel } from './resolve.js';
import {
  find,
  findCurrent,
  publish,
  setCurrent,
  withWorkFolder,
  type Description,
} from './store.js';

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'sparkler-store-'));
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

const IMAGE: Description = {
  name: 'debian',
  kind: 'image',
  inputs: {},
  packages: {},
  minMemMiB: 128,
};
const KERNEL: Description = { name: 'debian', kind: 'kernel', inputs: {}, packages: {} };

async function build(description: Description, key: string, files: Record<string, string>) {
  const parent = join(cache, `${description.kind}s`, description.name);
  const built = await withWorkFolder(cache, async (work) => {
    const out = join(work, 'out');
    mkdirSync(out);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(out, name), text);
    return publish(out, parent, key, description);
  });
  await setCurrent(parent, key);
  return { ...built, parent };
}

describe('publishing', () => {
  it('makes a folder with its manifest, and leaves nothing else', async () => {
    const { dir, parent, manifest } = await build(IMAGE, 'k1', { 'root.erofs': 'abc' });
    expect(await readManifest(dir)).toEqual(manifest);
    expect(manifest.files['root.erofs']?.bytes).toBe(3);
    expect(await findCurrent(parent)).toEqual({ dir, manifest });
    expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
  });

  it('takes the folder of a builder that was faster', async () => {
    const first = await build(IMAGE, 'k1', { 'root.erofs': 'first' });
    const second = await build(IMAGE, 'k1', { 'root.erofs': 'second' });
    expect(second.manifest).toEqual(first.manifest);
    expect(readFileSync(join(second.dir, 'root.erofs'), 'utf8')).toBe('first');
  });

  it('lets any number build at once', async () => {
    const all = await Promise.all(
      [1, 2, 3, 4].map(() => build(IMAGE, 'k1', { 'root.erofs': 'x' })),
    );
    expect(new Set(all.map((built) => built.dir)).size).toBe(1);
    expect(readdirSync(join(cache, 'images', 'debian')).sort()).toEqual(['current', 'k1']);
    expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
  });

  it('does not take a folder for finished that is damaged, and builds it anew', async () => {
    const { dir, parent } = await build(IMAGE, 'k1', { 'root.erofs': 'whole' });
    writeFileSync(join(dir, 'root.erofs'), 'who');
    expect(await find(parent, 'k1')).toBeUndefined();
    const again = await build(IMAGE, 'k1', { 'root.erofs': 'whole' });
    expect(readFileSync(join(again.dir, 'root.erofs'), 'utf8')).toBe('whole');
  });

  it('notices a changed byte when it looks thoroughly', async () => {
    const { dir, manifest } = await build(IMAGE, 'k1', { 'root.erofs': 'whole' });
    writeFileSync(join(dir, 'root.erofs'), 'whple');
    expect(await verifyFolder(dir, manifest, { thorough: false })).toEqual([]);
    const faults = await verifyFolder(dir, manifest, { thorough: true });
    expect(faults).toEqual(['root.erofs has changed since it was built']);
  });

  it('has no manifest for anything but a whole one', async () => {
    const { dir } = await build(IMAGE, 'k1', { 'root.erofs': 'x' });
    for (const text of ['', '{', '{}', '{"format":2}']) {
      writeFileSync(join(dir, 'manifest.json'), text);
      expect(await readManifest(dir)).toBeUndefined();
    }
    expect(await readManifest(join(cache, 'nowhere'))).toBeUndefined();
  });
});

describe('work folders', () => {
  it('are removed when the builder failed, and when it is dead', async () => {
    const abandoned = join(cache, 'tmp', '999999999-1-abc');
    mkdirSync(abandoned, { recursive: true });
    const failing = withWorkFolder(cache, () => Promise.reject(new Error('stop')));
    await expect(failing).rejects.toThrow('stop');
    expect(readdirSync(join(cache, 'tmp'))).toEqual([]);
  });

  it('of a living builder stay', async () => {
    await withWorkFolder(cache, async (first) => {
      await withWorkFolder(cache, () => Promise.resolve());
      expect(readdirSync(first)).toEqual([]);
    });
  });
});

describe('resolving', () => {
  const settings = () => ({
    cacheDir: cache,
    images: { debian: 'debian', mine: join(cache, 'mine.erofs'), gone: '/nowhere', odd: '../x' },
    kernels: { debian: 'debian', mine: join(cache, 'mine') },
  });

  it('says what to do when nothing is built', async () => {
    await expect(resolveImage(settings(), 'debian')).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: 'The image "debian" is not built: run `sparkler images build`.',
    });
    await expect(resolveKernel(settings(), 'debian')).rejects.toMatchObject({
      code: 'KERNEL_NOT_FOUND',
    });
  });

  it('names what is configured when an alias is unknown', async () => {
    await expect(resolveKernel(settings(), 'toString')).rejects.toMatchObject({
      code: 'KERNEL_NOT_FOUND',
      message: 'There is no kernel "toString"; configured: debian, mine.',
      details: { field: 'kernel' },
    });
  });

  it('finds what is built, and notices a newer one', async () => {
    const { dir } = await build(IMAGE, 'k1', { 'root.erofs': 'x' });
    const expected = { id: 'debian-k1', rootPath: join(dir, 'root.erofs'), minMemMiB: 128 };
    expect(await resolveImage(settings(), 'debian')).toEqual(expected);
    await build(IMAGE, 'k2', { 'root.erofs': 'y' });
    expect((await resolveImage(settings(), 'debian')).id).toBe('debian-k2');
    const kernel = await build(KERNEL, 'k3', { vmlinux: 'v', 'initrd.cpio': 'i' });
    expect(await resolveKernel(settings(), 'debian')).toEqual({
      id: 'debian-k3',
      kernelPath: join(kernel.dir, 'vmlinux'),
      initrdPath: join(kernel.dir, 'initrd.cpio'),
    });
  });

  it('takes paths: a file, and a folder with or without manifest', async () => {
    writeFileSync(join(cache, 'mine.erofs'), 'x');
    expect(await resolveImage(settings(), 'mine')).toMatchObject({ minMemMiB: 96 });
    const { dir } = await build(IMAGE, 'k1', { 'root.erofs': 'x' });
    const byPath = { ...settings(), images: { here: dir } };
    expect((await resolveImage(byPath, 'here')).id).toBe('debian-k1');
    await expect(resolveKernel(settings(), 'mine')).rejects.toThrow(/lacks vmlinux and initrd/);
    mkdirSync(join(cache, 'mine'));
    for (const name of ['vmlinux', 'initrd.cpio']) writeFileSync(join(cache, 'mine', name), 'x');
    expect((await resolveKernel(settings(), 'mine')).id).toMatch(/^file-/);
  });

  it('refuses what is not there or no name', async () => {
    for (const alias of ['gone', 'odd']) {
      await expect(resolveImage(settings(), alias)).rejects.toMatchObject({
        code: 'IMAGE_NOT_FOUND',
      });
    }
  });
});

describe('pruning', () => {
  it('keeps what is current and what is needed, and removes the rest', async () => {
    const old = await build(IMAGE, 'k1', { 'root.erofs': '1' });
    const named = await build(IMAGE, 'k2', { 'root.erofs': '2' });
    const inside = await build(IMAGE, 'k3', { 'root.erofs': '3' });
    await build(IMAGE, 'k4', { 'root.erofs': '4' });
    const keep = [named.dir, join(inside.dir, 'root.erofs')];
    expect(await pruneImages({ cacheDir: cache, keep })).toEqual([old.dir]);
    expect(readdirSync(old.parent).sort()).toEqual(['current', 'k2', 'k3', 'k4']);
    expect(await pruneImages({ cacheDir: cache, keep })).toEqual([]);
  });
});

describe('running programs', () => {
  const limit = { timeoutMs: 20_000 };

  it('returns what they print, and shows each line of stderr', async () => {
    const lines: string[] = [];
    const script = 'echo out; echo one >&2; echo two >&2';
    const text = await run('sh', ['-c', script], { ...limit, onLine: (line) => lines.push(line) });
    expect([text, lines]).toEqual(['out\n', ['one', 'two']]);
  });

  it('says what a failing one said', async () => {
    await expect(run('sh', ['-c', 'echo broken >&2; exit 3'], limit)).rejects.toMatchObject({
      code: 'IMAGE_BUILD_FAILED',
      message: 'sh ended with exit code 3. Its last words:\nbroken',
    });
    const full = run('sh', ['-c', 'echo "write: No space left on device" >&2; exit 1'], limit);
    await expect(full).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  });

  it('says which one is not installed', async () => {
    await expect(run('sparkler-no-such-program', [], limit)).rejects.toMatchObject({
      code: 'DEPENDENCY_MISSING',
      message: 'sparkler-no-such-program is not installed.',
    });
  });

  it('ends one that takes too long, with all that it started', async () => {
    const pidFile = join(cache, 'pid');
    const script = `sleep 600 & echo $! > ${pidFile}; wait`;
    const late = run('sh', ['-c', script], { timeoutMs: 300 });
    await expect(late).rejects.toThrow(/took longer than 300 ms/);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    // Ended, or ended and not yet taken note of by whoever adopted it.
    const state = () =>
      existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z';
    await expect.poll(state, { timeout: 10_000 }).toMatch(/\) [ZX]/);
  });
});
