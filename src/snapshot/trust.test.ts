import { mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TrustedFiles } from './trust.js';

let dir: string;
let path: string;
let files: TrustedFiles;
let checks: number;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'trust-'));
  path = join(dir, 'file');
  writeFileSync(path, 'whole');
  files = new TrustedFiles();
  checks = 0;
});
afterEach(() => rmSync(dir, { recursive: true }));

const check = (): Promise<void> => {
  checks++;
  return Promise.resolve();
};
const verify = (how = check): Promise<void> => files.verify(path, how);

describe('trusted files', () => {
  it('are checked once for as long as they stay the same', async () => {
    await verify();
    await verify();
    expect(checks).toBe(1);
  });

  it.each([
    ['written', () => writeFileSync(path, 'other')],
    ['longer', () => writeFileSync(path, 'whole and more')],
    ['touched', () => utimesSync(path, new Date(), new Date(Date.now() + 5000))],
    [
      'replaced by one of the same size and time',
      () => {
        const { atime, mtime } = statSync(path);
        writeFileSync(`${path}.new`, 'whose');
        utimesSync(`${path}.new`, atime, mtime);
        renameSync(`${path}.new`, path);
      },
    ],
    ['forgotten', () => files.forget(path)],
  ])('are checked again when they were %s', async (_what, change) => {
    await verify();
    change();
    await verify();
    expect(checks).toBe(2);
  });

  it('that failed are checked again', async () => {
    await expect(verify(() => Promise.reject(new RangeError('bad')))).rejects.toThrow('bad');
    await verify();
    expect(checks).toBe(1);
  });

  it('that are missing are left to the check', async () => {
    rmSync(path);
    await expect(verify(() => Promise.reject(new RangeError('gone')))).rejects.toThrow('gone');
  });

  it('are checked once for those who come together', async () => {
    let end: () => void = () => undefined;
    const slow = (): Promise<void> => {
      checks++;
      return new Promise((resolve) => (end = resolve));
    };
    const both = Promise.all([verify(slow), verify(slow)]);
    while (checks === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 20));
    end();
    await both;
    expect(checks).toBe(1);
  });
});
