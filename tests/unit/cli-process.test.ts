/** The command line as a process of its own: signals, pipes, a real shell's Tab. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiServer, startApi } from '../support/api-server.js';

let dir: string;
let sparkler: string;
let server: ApiServer;
beforeAll(async () => {
  // Below the repository, so that packages resolve.
  mkdirSync('build', { recursive: true });
  dir = mkdtempSync(resolve('build', 'cli-process-'));
  sparkler = join(dir, 'sparkler');
  await build({
    entryPoints: ['src/cli/index.ts'],
    outdir: dir,
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outExtension: { '.js': '.mjs' },
  });
  const load = `import('${join(dir, 'index.mjs')}').then(({ main }) => main());\n`;
  writeFileSync(sparkler, `#!${process.execPath}\n${load}`);
  chmodSync(sparkler, 0o755);
  server = await startApi();
  server.platform.putFunction({ name: 'hello' });
});
afterAll(async () => {
  server.api.server.closeAllConnections();
  await server.close();
  rmSync(dir, { recursive: true });
});

const start = (...args: string[]): ChildProcess & { stdout: NodeJS.ReadableStream } =>
  spawn(sparkler, args, {
    env: { ...process.env, SPARKLER_URL: server.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

describe('the process', () => {
  it('prints, and ends with its exit code', async () => {
    const child = start('invoke', 'hello', '--event', '[1]');
    const ended = once(child, 'close');
    expect(await text(child.stdout)).toBe('[1]\n');
    expect(await ended).toEqual([0, null]);
    expect(await once(start('invoke', 'nobody'), 'close')).toEqual([2, null]);
  });

  it('writes a large result to a slow pipe in full', async () => {
    const large = JSON.stringify('x'.repeat(3_000_000));
    server.platform.onInvoke = () => ({ result: large });
    const child = start('invoke', 'hello', '-q');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await text(child.stdout)).length).toBe(large.length + 1);
    server.platform.onInvoke = () => ({});
  });

  it('ends with 130 on Ctrl-C', async () => {
    const invoke = server.platform.invoke.bind(server.platform);
    server.platform.invoke = () => {
      child.kill('SIGINT');
      return new Promise(() => undefined);
    };
    const child = start('invoke', 'hello');
    expect(await once(child, 'close')).toEqual([130, null]);
    server.platform.invoke = invoke;
  });

  it('completes in bash', async () => {
    const script = `
      source <(sparkler completion bash)
      COMP_WORDS=(sparkler invoke he); COMP_CWORD=2; _sparkler; echo "\${COMPREPLY[@]}"
      COMP_WORDS=(sparkler ""); COMP_CWORD=1; _sparkler; echo "\${#COMPREPLY[@]}"
      COMP_WORDS=(sparkler deploy x ""); COMP_CWORD=3; _sparkler; echo "\${#COMPREPLY[@]}"`;
    // Not the synchronous one: this process is the daemon.
    const { stdout } = await promisify(execFile)('bash', ['-c', script], {
      env: { PATH: `${dir}:${process.env['PATH'] ?? ''}`, SPARKLER_URL: server.url },
    });
    expect(stdout.split('\n')).toEqual(['hello', '15', '0', '']);
  });
});
