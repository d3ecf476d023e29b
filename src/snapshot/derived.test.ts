import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Derived } from './derived.js';
import { TrustedFiles } from './trust.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-derived-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('what is derived from files', () => {
  it('is made once while they are the same, and again when one changed or went', async () => {
    const derived = new Derived(new TrustedFiles());
    const [one, two] = ['one', 'two'].map((name) => join(dir, name));
    let made = 0;
    const ask = (): Promise<number> =>
      derived.of('count', [one ?? '', two ?? ''], () => Promise.resolve(++made));
    writeFileSync(one ?? '', 'a');
    expect([await ask(), await ask()]).toEqual([1, 1]);
    writeFileSync(two ?? '', 'b');
    expect([await ask(), await ask()]).toEqual([2, 2]);
    rmSync(two ?? '');
    expect(await ask()).toBe(3);
  });

  it('is not kept when a file changed while it was made', async () => {
    const derived = new Derived(new TrustedFiles());
    const path = join(dir, 'file');
    writeFileSync(path, 'a');
    let made = 0;
    const ask = (during: () => void): Promise<number> =>
      derived.of('count', [path], () => {
        during();
        return Promise.resolve(++made);
      });
    await ask(() => writeFileSync(path, 'longer'));
    expect(await ask(() => undefined)).toBe(2);
    expect(await ask(() => undefined)).toBe(2);
  });

  it('is made again when it could not be', async () => {
    const derived = new Derived(new TrustedFiles());
    const path = join(dir, 'file');
    await expect(derived.of('x', [path], () => Promise.reject(new Error('no')))).rejects.toThrow();
    expect(await derived.of('x', [path], () => Promise.resolve('yes'))).toBe('yes');
  });
});
