import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ApiServer, startApi } from '../../tests/support/api-server.js';
import { cli } from '../../tests/support/cli.js';
import { bundleTypeScript } from './bundle.js';
import { findEntry } from './guess.js';

let root: string;
let server: ApiServer;
beforeAll(() => (root = mkdtempSync(join(tmpdir(), 'sparkler-deploy-test-'))));
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(async () => (server = await startApi()));
afterEach(async () => server.close());

let folders = 0;
function folder(files: Record<string, string>): string {
  const dir = join(root, String(++folders));
  mkdirSync(dir);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  return dir;
}

const deploy = (...args: string[]) =>
  cli(['deploy', ...args], { env: { SPARKLER_URL: server.url } });

/** What was left in the system's folder for temporary files. */
const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith('sparkler-deploy-'));

describe('findEntry', () => {
  it.each([
    [{ 'app.py': '' }, {}, 'python3', 'app.handler', 'app.py'],
    [{ 'index.js': '' }, {}, 'nodejs', 'index.handler', 'index.js'],
    [{ 'main.mjs': '' }, {}, 'nodejs', 'main.handler', 'main.mjs'],
    [{ 'index.ts': '', 'data.json': '' }, {}, 'nodejs', 'index.handler', 'index.ts'],
    [{ 'a.py': '' }, { handler: 'a.run' }, 'python3', 'a.run', 'a.py'],
    [{ 'src/a.js': '' }, { handler: 'src/a.run' }, 'nodejs', 'src/a.run', 'src/a.js'],
    [{ 'pkg/a.py': '' }, { handler: 'pkg.a.run' }, 'python3', 'pkg.a.run', 'pkg/a.py'],
    [{ 'app.py': '', 'app.js': '' }, { runtime: 'nodejs' }, 'nodejs', 'app.handler', 'app.js'],
  ] as const)('%j with %j is %s %s', async (files, said, runtime, handler, file) => {
    const entry = await findEntry(folder(files), said);
    expect(entry).toEqual({ runtime, handler, file, bundled: file.endsWith('.ts') });
  });

  it.each([
    [{ 'readme.md': '' }, {}, /does not hold app, index, main, handler with one of \.py/],
    [{ 'app.py': '' }, { handler: 'job.run' }, /does not hold the file of the handler job.run/],
    [{ 'app.py': '' }, { handler: 'run' }, /not written file.function/],
    [{ 'app.py': '', 'index.ts': '' }, {}, /holds app.py and index.ts: say --runtime/],
    [{ 'app.py': '' }, { runtime: 'nodejs' }, /does not hold/],
  ] as const)('%j with %j is refused', async (files, said, reason) => {
    await expect(findEntry(folder(files as Record<string, string>), said)).rejects.toThrow(reason);
  });
});

describe('deploy', () => {
  it('uploads a folder and says what it found', async () => {
    const dir = folder({ 'app.py': 'def handler(event, context): return 1' });
    const { code, stdout, stderr } = await deploy(
      'hello',
      dir,
      '--mem',
      '1GiB',
      '--vcpu',
      '1',
      '--timeout',
      '10s',
      '--env',
      'A=1',
      '--env',
      'B=x=y',
      '--image',
      'debian',
    );
    expect(code).toBe(0);
    expect(server.platform.calls[0]?.[1]).toEqual({
      name: 'hello',
      runtime: 'python3',
      handler: 'app.handler',
      memMiB: 1024,
      vcpus: 1,
      timeoutMs: 10_000,
      env: { A: '1', B: 'x=y' },
      image: 'debian',
    });
    expect(server.platform.functions.get('hello')?.codeBytes).toBeGreaterThan(512);
    expect(stderr).toContain('deployed app.py; invoke it with `sparkler invoke hello`');
    expect(stdout).toMatch(/^environment +A=1 B=x=y$/m);
  });

  it('sets where its invocations go', async () => {
    const dir = folder({ 'app.py': '' });
    const rules = ['--placement', 'warm,cold', '--max-instances', '2', '--max-vms', '3'];
    const { code, stdout } = await deploy('hello', dir, ...rules);
    expect(code).toBe(0);
    expect(server.platform.calls[0]?.[1]).toMatchObject({
      placement: { order: ['warm', 'cold'], maxInstances: 2, maxVms: 3 },
    });
    expect(stdout).toMatch(/^placement +warm, cold; at most 2 instances in a VM; at most 3 VMs$/m);
    expect((await deploy('plain', dir)).stdout).toMatch(/^placement +as configured$/m);
  });

  it('uploads an archive as it is and leaves the rest to the daemon', async () => {
    const path = join(root, 'code.zip');
    writeFileSync(path, 'PK whatever');
    const { code, json } = await deploy('hello', path, '--handler', 'job.main', '--json');
    expect(code).toBe(0);
    expect(json).toMatchObject({ func_name: 'hello', handler: 'job.main', code_bytes: 11 });
    expect(server.platform.calls[0]?.[1]).toEqual({ name: 'hello', handler: 'job.main' });
  });

  it('bundles TypeScript and cleans up after itself', async () => {
    const before = leftovers();
    const dir = folder({ 'index.ts': 'export const handler = (e: { a: number }) => e.a;' });
    const { code, stderr } = await deploy('ts', dir);
    expect([code, stderr]).toEqual([0, expect.stringContaining('index.ts, bundled for Node.js')]);
    expect(server.platform.calls[0]?.[1]).toMatchObject({
      runtime: 'nodejs',
      handler: 'index.handler',
    });
    expect(leftovers()).toEqual(before);
  });

  it.each([
    [['x', '/does/not/exist'], 'folder: /does/not/exist cannot be read'],
    [['x', '.', '--env', 'A'], 'A is not written NAME=VALUE'],
    [['x', '.', '--mem', '-5'], '-5 is not a size'],
    [['x', '.', '--runtime', 'ruby'], 'Allowed choices are python3, nodejs'],
    [['x'], "missing required argument 'folder-or-archive'"],
  ])('%j is refused before anything is sent', async (args, reason) => {
    const { code, stderr } = await deploy(...args);
    expect(stderr).toContain(reason);
    expect(code).toBe(2);
    expect(server.platform.calls).toEqual([]);
  });

  it('shows where TypeScript is broken', async () => {
    const before = leftovers();
    const { code, stderr } = await deploy('ts', folder({ 'index.ts': 'export const x = ;' }));
    expect(code).toBe(2);
    expect(stderr).toMatch(/does not build:\n.*\n*.*index\.ts:1:17/);
    expect(leftovers()).toEqual(before);
  });
});

describe('bundleTypeScript', () => {
  it('keeps other files, packages and the lines of the source', async () => {
    const dir = folder({
      'package.json': '{ "type": "module" }',
      'tsconfig.json': '{}',
      'data/in.txt': 'in',
      'src/lib.ts': 'export function fail(): never {\n  throw new Error("no");\n}\n',
      'src/app.ts':
        'import { shout } from "shout";\nimport { fail } from "./lib.js";\n\nexport function run(e: string) {\n  if (e === "fail") fail();\n  return shout(e);\n}\n',
      'node_modules/shout/package.json': '{ "name": "shout", "main": "index.js" }',
      'node_modules/shout/index.js': 'exports.shout = (s) => s.toUpperCase();',
    });
    const entry = await findEntry(dir, { handler: 'src/app.run' });
    const bundle = await bundleTypeScript(dir, entry);
    try {
      expect(readFileSync(join(bundle.dir, 'data/in.txt'), 'utf8')).toBe('in');
      for (const gone of ['node_modules', 'tsconfig.json', 'src/lib.ts', 'src/app.ts']) {
        expect(existsSync(join(bundle.dir, gone)), gone).toBe(false);
      }
      const load = `const { run } = require(${JSON.stringify(join(bundle.dir, 'src/app.js'))});`;
      const node = (code: string) =>
        execFileSync(process.execPath, ['-e', load + code], { encoding: 'utf8' });
      expect(node('console.log(run("a"))')).toBe('A\n');
      const stack = node('try { run("fail") } catch (e) { console.log(e.stack) }');
      expect(stack).toContain(`${join(bundle.dir, 'src/lib.ts')}:2:9`);
      expect(stack).toContain(`${join(bundle.dir, 'src/app.ts')}:5:21`);
    } finally {
      bundle.remove();
    }
    expect(existsSync(bundle.dir)).toBe(false);
  });
});
