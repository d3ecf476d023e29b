import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  addUpMemory,
  bundleConfig,
  descendants,
  isKnownRelease,
  parseRunscVersion,
  runscCommands,
} from './gvisor-bundle.js';
import { REPOSITORY } from './harness.js';

it('runs our own bootstrap, as our agent does', () => {
  const config = bundleConfig('/x/root.erofs', '/x/empty');
  const text = JSON.stringify(config);
  const agent = readFileSync(join(REPOSITORY, 'guest/agent/launch.c'), 'utf8');
  const [, flags] = /\.name = "python3"[^}]*\.flags = \{([^}]*)\}/.exec(agent) ?? [];
  const words = flags?.replaceAll('"', '').split(', ').join(' ');
  expect(text).toContain(`/usr/bin/python3 ${words} /opt/sparkler/runtimes/python3/bootstrap.pyc`);
  expect(existsSync(join(REPOSITORY, 'guest/runtimes/python3/bootstrap.py'))).toBe(true);
  expect(config).toMatchObject({
    annotations: {
      'dev.gvisor.spec.rootfs.source': '/x/root.erofs',
      'dev.gvisor.spec.rootfs.type': 'erofs',
    },
    root: { path: '/x/empty', readonly: true },
    process: { noNewPrivileges: true, user: { uid: 1000, gid: 1000 } },
  });
});

it('sets every default of the environment that the agent sets', () => {
  const agent = readFileSync(join(REPOSITORY, 'guest/agent/launch.c'), 'utf8');
  const [, defaults = ''] = /\*defaults\[\] = \{([^}]*)\}/.exec(agent) ?? [];
  const variables = [...defaults.matchAll(/"([^"]+)"/g)].map(([, variable]) => variable);
  expect(variables.length).toBeGreaterThan(3);
  const { env } = (bundleConfig('/i', '/e') as { process: { env: string[] } }).process;
  expect(env).toEqual(expect.arrayContaining(variables));
});

it('gives each container its commands', () => {
  const paths = { state: '/s', log: '/l', bundle: '/b', checkpoint: '/c' };
  const commands = runscCommands(paths, 'ptrace', 'one');
  for (const [name, command] of Object.entries(commands)) {
    const at = command.indexOf(name);
    expect(command.slice(0, 3)).toEqual(['runsc', '--root', '/s']);
    expect(command.slice(3, at), name).toContain('--platform=ptrace');
    expect(command.at(-1)).toBe('one');
  }
  expect(commands.restore.join(' ')).toContain('restore --detach --image-path /c --bundle /b one');
});

it.each([
  ['runsc version 0.0~20240729.0\nspec: 1.0.2-dev\n', '0.0~20240729.0', true],
  ['runsc version release-20250101.0\nspec: 1.1.0-rc.1\n', 'release-20250101.0', true],
  ['runsc version 0.0~20221219.0\nspec: 1.0.2-dev\n', '0.0~20221219.0', false],
  ['runsc version VERSION_MISSING\n', 'VERSION_MISSING', false],
])('reads the version in %j', (text, version, known) => {
  expect(parseRunscVersion(text)).toBe(version);
  expect(isKnownRelease(version)).toBe(known);
});

it('finds no version in anything else', () => {
  expect(parseRunscVersion('usage: runsc\n')).toBeUndefined();
});

it('adds up the memory of processes', () => {
  const rollup = (rss: number, anonymous: number, shared: number): string =>
    [
      '55d0-7ffc ---p 00000000 00:00 0    [rollup]',
      `Rss:             ${rss} kB`,
      'Pss:              77 kB',
      'Pss_File:         33 kB',
      `Pss_Anon:        ${anonymous} kB`,
      `Pss_Shmem:       ${shared} kB`,
      '',
    ].join('\n');
  expect(addUpMemory([rollup(2048, 0, 512), rollup(1024, 256, 256), ''])).toEqual({
    residentMiB: 3,
    ownMiB: 1,
  });
  expect(addUpMemory([])).toEqual({ residentMiB: 0, ownMiB: 0 });
});

it('finds the processes below one, whatever their names are', () => {
  const stats = [
    '10 (keeper) S 1 10 10 0',
    '11 (a b) c) S 10 11 11 0',
    '12 (exe) t 11 12 12 0',
    '13 (other) S 1 13 13 0',
  ];
  expect(descendants(stats, 10)).toEqual([11, 12]);
  expect(descendants(stats, 12)).toEqual([]);
});
