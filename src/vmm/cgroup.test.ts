import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chooseCgroupRoot, findCgroupMount, tryCgroupRoot } from './cgroup.js';

const NATIVE = join(import.meta.dirname, '../../build/native');
const host = { mount: '/cg', own: '/user.slice/me' };

describe('choosing where the cgroups of VMs go', () => {
  it('takes the mount where it may', async () => {
    const asked: string[] = [];
    const attempt = (root: string) => {
      asked.push(root);
      return Promise.resolve(undefined);
    };
    expect(await chooseCgroupRoot(host, attempt)).toEqual({ root: '/cg/sparkler' });
    expect(asked).toEqual(['/cg/sparkler']);
  });

  it("takes the daemon's own cgroup where only that was delegated to it", async () => {
    const attempt = (root: string) =>
      Promise.resolve(root.startsWith('/cg/user.slice') ? undefined : 'permission denied');
    expect(await chooseCgroupRoot(host, attempt)).toEqual({ root: '/cg/user.slice/me/sparkler' });
  });

  it('does without, with a warning that says why, where neither can be used', async () => {
    const choice = await chooseCgroupRoot(host, (root) => Promise.resolve(`no right to ${root}`));
    expect(choice.root).toBeUndefined();
    expect(choice.warning).toContain('/cg/sparkler: no right to /cg/sparkler;');
    expect(choice.warning).toContain('no right to /cg/user.slice/me/sparkler');
  });

  it('does without where version 2 is not mounted', async () => {
    const attempt = () => Promise.reject(new TypeError('not to be called'));
    const choice = await chooseCgroupRoot({ mount: undefined, own: '/' }, attempt);
    expect(choice).toEqual({ warning: expect.stringContaining('not mounted') as string });
  });
});

const mount = findCgroupMount();

describe('trying a place', () => {
  it.runIf(mount !== undefined && process.getuid?.() === 0)(
    'finds that a process can enter a cgroup there, and leaves nothing',
    async () => {
      const root = join(mount ?? '', `sparkler-trial-${process.pid}`);
      expect(await tryCgroupRoot(root, NATIVE)).toBeUndefined();
      expect(existsSync(root)).toBe(false);
    },
  );

  it('says why not where there are no cgroups, and leaves nothing', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sparkler-no-cgroup-'));
    try {
      mkdirSync(join(dir, 'root'));
      expect(await tryCgroupRoot(join(dir, 'root'), NATIVE)).toContain('join cgroup');
      expect(existsSync(join(dir, 'root'))).toBe(false);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
