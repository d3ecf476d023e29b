import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildCodeDrive } from './code-drive.js';
import { packFolder } from './pack.js';

let dir: string;
let folder: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-pack-'));
  folder = join(dir, 'fn');
  for (const path of ['lib/deep', 'node_modules/x', '.git/objects', 'empty']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  writeFileSync(join(folder, 'app.py'), 'def handler(event, context): return event\n');
  writeFileSync(join(folder, 'lib/deep/data.bin'), Buffer.alloc(100_000, 7));
  writeFileSync(join(folder, 'node_modules/x/index.js'), 'module.exports = 1;\n');
  writeFileSync(join(folder, '.git/HEAD'), 'ref: refs/heads/main\n');
  symlinkSync('../app.py', join(folder, 'lib/link.py'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const pack = async () => buffer(await packFolder(folder));

describe('packFolder', () => {
  it('packs all but .git, as tar lists it', async () => {
    const list = execFileSync('tar', ['-tf', '-'], { input: await pack(), encoding: 'utf8' });
    expect(list.trim().split('\n')).toEqual([
      'app.py',
      'empty/',
      'lib/',
      'lib/deep/',
      'lib/deep/data.bin',
      'lib/link.py',
      'node_modules/',
      'node_modules/x/',
      'node_modules/x/index.js',
    ]);
  });

  it('gives the same bytes whatever times and modes the files have', async () => {
    const before = await pack();
    chmodSync(join(folder, 'app.py'), 0o700);
    utimesSync(join(folder, 'app.py'), 1, 1);
    expect((await pack()).equals(before)).toBe(true);
  });

  it('packs what becomes a drive', async () => {
    const drive = await buildCodeDrive(await packFolder(folder), join(dir, 'drive'));
    expect(drive).toMatchObject({ files: 3 });
  });

  it('makes absolute links inside relative, and refuses links outside', async () => {
    symlinkSync(join(folder, 'app.py'), join(folder, 'lib/absolute.py'));
    const list = execFileSync('tar', ['-tvf', '-'], { input: await pack(), encoding: 'utf8' });
    expect(list).toMatch(/lib\/absolute\.py -> \.\.\/app\.py/);
    symlinkSync('../../outside', join(folder, 'lib/out'));
    await expect(packFolder(folder)).rejects.toMatchObject({ code: 'INVALID_ARCHIVE' });
    rmSync(join(folder, 'lib/out'));
    symlinkSync('/etc/passwd', join(folder, 'lib/out'));
    await expect(packFolder(folder)).rejects.toThrow(/"lib\/out" is refused.*leaves the folder/);
  });

  it('refuses special files, too much, nothing, and what is no folder', async () => {
    await expect(packFolder(folder, { maxFileBytes: 50_000 })).rejects.toMatchObject({
      code: 'ARCHIVE_TOO_LARGE',
    });
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await expect(packFolder(folder)).rejects.toThrow(/"pipe" is refused: it is a device, a pipe/);
    await expect(packFolder(join(folder, 'empty'))).rejects.toThrow(/holds no files/);
    for (const path of [join(folder, 'app.py'), join(dir, 'nowhere')]) {
      await expect(packFolder(path)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    }
  });
});
