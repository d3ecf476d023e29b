/** Guests that panic or never become ready: ended, retried once, shown with their console. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { SparklerError } from '../../src/errors.js';
import { cpio } from '../../src/image/cpio.js';
import { resolveKernel } from '../../src/image/index.js';
import { Home, type TestDaemon } from '../support/daemon.js';

/** Process 1 of a guest that says something and then nothing more. */
const MUTE = '#include <unistd.h>\nint main(void) { for (;;) pause(); }';
/** Process 1 of a guest that ends: the kernel panics. */
const QUITTER = 'int main(void) { return 7; }';

let home: Home;
let daemon: TestDaemon;

beforeAll(async () => {
  const config = loadConfig({ env: process.env, flags: {} });
  const { kernelPath } = await resolveKernel(config, config.defaultKernel);
  home = new Home();
  const kernels = Object.fromEntries(
    Object.entries({ mute: MUTE, quitter: QUITTER }).map(([name, source]) => {
      return [name, makeKernel(home.folder(name), source, kernelPath)];
    }),
  );
  home.configure({ kernels: { debian: 'debian', ...kernels }, timeouts: { bootMs: 8000 } });
  daemon = await home.daemon();
});
afterAll(async () => {
  await daemon.stop();
  home.remove();
});

/** A folder that the configuration can name as a kernel, with `source` as the guest's process 1. */
function makeKernel(dir: string, source: string, kernelPath: string): string {
  const root = join(dir, 'root');
  mkdirSync(root);
  writeFileSync(join(dir, 'init.c'), source);
  const init = join(root, 'init');
  execFileSync('gcc', ['-static', '-o', init, join(dir, 'init.c')]);
  const entries = [{ path: 'init', mode: 0o755, data: readFileSync(init) }];
  writeFileSync(join(dir, 'initrd.cpio'), cpio(entries));
  try {
    linkSync(kernelPath, join(dir, 'vmlinux'));
  } catch {
    copyFileSync(kernelPath, join(dir, 'vmlinux'));
  }
  return dirname(join(dir, 'vmlinux'));
}

async function failureWith(kernel: string): Promise<SparklerError> {
  const settings = { func_name: kernel, runtime: 'python3', handler: 'app.handler' } as const;
  await daemon.deployFiles(
    { 'app.py': 'def handler(event, context): return 1' },
    { ...settings, kernel, vcpu: 1, mem_size: 256 },
  );
  try {
    await daemon.client.invoke({ func_name: kernel, placement: ['cold'] });
  } catch (error) {
    if (error instanceof SparklerError) return error;
    throw error;
  }
  throw new TypeError('it did not fail');
}

const retries = async (): Promise<number> => {
  const line = /^sparkler_boot_retries_total(?:{.*})? (\d+)/m.exec(await daemon.client.metrics());
  return Number(line?.[1] ?? 0);
};

it('a guest that panics: the answer carries the end of its console', async () => {
  const before = await retries();
  const error = await failureWith('quitter');
  expect(error.code).toBe('GUEST_PANICKED');
  expect(error.kind.status).toBe(424);
  expect(error.details.console).toContain('Attempted to kill init');
  expect(await retries()).toBe(before + 1);
  expect(await home.settled(5000)).toEqual([]);
});

it('a guest that never becomes ready: ended within its limit', async () => {
  const before = await retries();
  const error = await failureWith('mute');
  expect(error.code).toBe('GUEST_NOT_READY');
  expect(error.details.console).toContain('Booting');
  expect(await retries()).toBe(before + 1);
  expect(await home.settled(5000)).toEqual([]);
});
