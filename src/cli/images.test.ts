import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { cli } from '../../tests/support/cli.js';

let cache: string;
beforeEach(() => (cache = mkdtempSync(join(tmpdir(), 'sparkler-images-test-'))));
afterEach(() => rmSync(cache, { recursive: true }));

/** A built folder, current or not. */
function built(kind: string, key: string, current = false): string {
  const parent = join(cache, kind, 'debian');
  const dir = join(parent, key);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'root.erofs'), key);
  if (current) symlinkSync(key, join(parent, 'current'));
  return dir;
}

const prune = (...args: string[]) =>
  cli(['images', 'prune', ...args], { env: { SPARKLER_CACHE: cache } });

it('images prune removes what is not current, and says what it removed', async () => {
  const old = [built('kernels', 'k1'), built('images', 'i1')];
  const current = [built('kernels', 'k2', true), built('images', 'i2', true)];
  expect(await prune()).toMatchObject({ code: 0, stdout: old.map((dir) => `${dir}\n`).join('') });
  for (const dir of old) expect(existsSync(dir)).toBe(false);
  for (const dir of current) expect(existsSync(join(dir, 'root.erofs'))).toBe(true);
  expect((await prune('--json')).json).toEqual({ removed: [] });
  expect((await prune()).stdout).toBe('Nothing to remove.\n');
});

it('images prune leaves what the configuration names by its path', async () => {
  built('images', 'i3', true);
  const [named, other] = [built('images', 'i1'), built('images', 'i2')];
  const config = join(cache, 'config.json');
  const images = { debian: 'debian', old: join(named, 'root.erofs') };
  writeFileSync(config, JSON.stringify({ images }));
  expect((await prune('--json', '--config', config)).json).toEqual({ removed: [other] });
  expect(existsSync(named)).toBe(true);
});
