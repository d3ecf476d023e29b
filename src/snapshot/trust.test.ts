import { mkdtempSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TrustedFiles } from './trust.js';

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'trust-'));
  path = join(dir, 'file');
  writeFileSync(path, 'one');
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('a trusted file', () => {
  it('is checked once, for each thing that it is compared with', async () => {
    const trusted = new TrustedFiles();
    const checks: string[] = [];
    for (const proof of ['a', 'a', 'b', 'b', 'a']) {
      await trusted.verify(path, proof, () => Promise.resolve(void checks.push(proof)));
    }
    expect(checks).toEqual(['a', 'b', 'a']);
  });

  it('is checked again when it was forgotten, also with its folder', async () => {
    const trusted = new TrustedFiles();
    let checks = 0;
    const check = (): Promise<void> => {
      checks++;
      return Promise.resolve();
    };
    const verify = (): Promise<void> => trusted.verify(path, '', check);
    await verify();
    trusted.forget(path);
    await verify();
    trusted.forgetIn(dir);
    await verify();
    expect(checks).toBe(3);
  });

  it('is checked again when it changed during its check, also for who waited for that', async () => {
    const trusted = new TrustedFiles();
    const found: string[] = [];
    const check = async (): Promise<void> => {
      found.push('check');
      if (found.length === 1) writeFileSync(path, 'longer');
      return Promise.resolve();
    };
    await Promise.all([trusted.verify(path, '', check), trusted.verify(path, '', check)]);
    expect(found.length).toBeGreaterThan(1);
  });

  it('is refused when it goes on changing', async () => {
    const trusted = new TrustedFiles();
    let text = 'x';
    const check = (): Promise<void> => {
      writeFileSync(path, (text += 'x'));
      return Promise.resolve();
    };
    await expect(trusted.verify(path, '', check)).rejects.toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
    });
  });

  it.each([
    ['longer', () => writeFileSync(path, 'one and more')],
    ['dated otherwise', () => utimesSync(path, new Date(), new Date(Date.now() + 5000))],
    [
      'replaced by one of the same size and date',
      () => {
        const { atime, mtime } = statSync(path);
        writeFileSync(`${path}.new`, 'two');
        utimesSync(`${path}.new`, atime, mtime);
        renameSync(`${path}.new`, path);
      },
    ],
  ])('is checked again when it is %s', async (_what, change) => {
    const trusted = new TrustedFiles();
    let checks = 0;
    const verify = (): Promise<void> =>
      trusted.verify(path, '', () => {
        checks++;
        return Promise.resolve();
      });
    await verify();
    change();
    await verify();
    expect(checks).toBe(2);
  });

  it('may be trusted as it looked before it was read, and not otherwise', async () => {
    const trusted = new TrustedFiles();
    const look = await trusted.look(path);
    writeFileSync(path, 'longer');
    trusted.trust(path, '', look);
    let checks = 0;
    await trusted.verify(path, '', () => {
      checks++;
      return Promise.resolve();
    });
    expect(checks).toBe(1);
  });
});
