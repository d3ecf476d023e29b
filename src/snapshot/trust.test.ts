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
const verify = (how = check): Promise<void> => files.verify(path, 'proof', how);

/** The kernel's clock for times of files stands still for some milliseconds. */
function rewrite(text: string): void {
  const before = statSync(path, { bigint: true }).ctimeNs;
  while (statSync(path, { bigint: true }).ctimeNs === before) writeFileSync(path, text);
}

describe('trusted files', () => {
  it('are checked once for as long as they stay the same', async () => {
    await verify();
    await verify();
    expect(checks).toBe(1);
  });

  it.each([
    ['written', () => rewrite('other')],
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

  it('are checked again against another proof', async () => {
    await verify();
    await files.verify(path, 'another', check);
    expect(checks).toBe(2);
  });

  it('may be trusted as they looked before they were read, and no later', async () => {
    files.trust(path, 'proof', await files.look(path));
    await verify();
    expect(checks).toBe(0);
    const look = await files.look(path);
    rewrite('other');
    files.trust(path, 'proof', look);
    await verify();
    expect(checks).toBe(1);
  });

  it('that change while they are checked are checked again, and refused if they go on', async () => {
    await verify(() => {
      if (checks === 0) rewrite('other');
      return check();
    });
    expect(checks).toBe(2);
    files.forget(path);
    const restless = verify(() => {
      rewrite(`other`);
      return check();
    });
    await expect(restless).rejects.toMatchObject({ code: 'SNAPSHOT_UNUSABLE' });
  });

  it('are forgotten by their folder', async () => {
    await verify();
    files.forgetIn(`${dir}-other`);
    await verify();
    files.forgetIn(dir);
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
