import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readRootRecipe } from './recipe.js';

const SHIPPED = join(import.meta.dirname, '../../images/roots/debian.json');
const dir = mkdtempSync(join(tmpdir(), 'sparkler-recipe-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('a recipe of an image', () => {
  it('is read', async () => {
    const recipe = await readRootRecipe(SHIPPED);
    expect(recipe.packages).toContain('python3');
    expect(recipe.remove).toContain('/usr/lib/python3/dist-packages/numpy/*/tests');
  });

  it.each(['/usr; reboot', '/usr/$HOME', "/usr/'", '/usr/`id`', 'usr/lib', '/usr/\n/lib'])(
    'may not have %j removed: a shell reads it',
    async (path) => {
      const recipe = JSON.parse(readFileSync(SHIPPED, 'utf8')) as object;
      const file = join(dir, 'recipe.json');
      writeFileSync(file, JSON.stringify({ ...recipe, remove: [path] }));
      await expect(readRootRecipe(file)).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    },
  );
});
