import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { protectFromOomKiller } from './oom.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'oom-'))));
afterEach(() => rmSync(dir, { recursive: true }));

it.each([
  ['0\n', '-900'],
  ['500\n', '-900'],
  ['-899\n', '-900'],
  ['-1000\n', '-1000\n'],
])('makes %j %j', async (before, after) => {
  const path = join(dir, 'oom_score_adj');
  writeFileSync(path, before);
  expect(await protectFromOomKiller(path)).toBeUndefined();
  expect(readFileSync(path, 'utf8')).toBe(after);
});

it('says when it may not', async () => {
  expect(await protectFromOomKiller(join(dir, 'none'))).toContain('(ENOENT)');
});
