import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { cli } from '../../tests/support/cli.js';
import { MemoryPlatform } from '../../tests/support/memory-platform.js';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';

const startDaemon = vi.fn<(config: Config) => Promise<unknown>>();
vi.mock('../main.js', () => ({ startDaemon }));

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-daemon-cli-'))));
afterAll(() => rmSync(dir, { recursive: true }));

let closed = 0;
beforeEach(() => {
  closed = 0;
  startDaemon.mockReset();
  startDaemon.mockResolvedValue({
    url: 'http://127.0.0.1:1234',
    platform: new MemoryPlatform(),
    close: () => {
      closed++;
      return Promise.resolve();
    },
  });
});

const run = (...args: string[]) => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  return cli(['daemon', ...args], { interrupted: stop.signal });
};

describe('sparkler daemon', () => {
  it('says where it listens, why that accelerator and what it ended; stops in good order', async () => {
    const { code, stdout } = await run('--port', '0', '--data', dir, '--accel', 'tcg');
    expect(startDaemon.mock.calls[0]?.[0]).toMatchObject({ port: 0, dataDir: dir, accel: 'tcg' });
    expect(stdout).toContain('listens on http://127.0.0.1:1234');
    expect(stdout).toContain('accelerator: tcg (/dev/kvm does not exist)');
    expect(stdout).toContain('left: 2 vms');
    expect([code, closed]).toEqual([0, 1]);
  });

  it('prints one document with --json', async () => {
    const { json } = await run('--json');
    expect(json).toMatchObject({ url: 'http://127.0.0.1:1234', accelerator: 'tcg' });
  });

  it('warns when others can reach it', async () => {
    const { code, stderr } = await run('--host', '0.0.0.0');
    expect(stderr).toContain('Warning: listening on 0.0.0.0. There is no authentication');
    expect(code).toBe(0);
  });

  it('does not listen for others because a file says so', async () => {
    const file = join(dir, 'open.json');
    writeFileSync(file, '{"host":"0.0.0.0","nonsense":1}');
    const wrong = await run('--config', file);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('nonsense');
    writeFileSync(file, '{"host":"0.0.0.0"}');
    const { code, stderr } = await run('--config', file);
    expect(stderr).toContain('give the flag --host 0.0.0.0');
    expect(code).toBe(2);
    expect(startDaemon).not.toHaveBeenCalled();
    expect((await run('--config', file, '--host', '0.0.0.0')).code).toBe(0);
  });

  it('prints its configuration', async () => {
    const { code, json } = await run('--print-config', '--port', '9090');
    expect(json).toMatchObject({ port: 9090, limits: { maxVms: 64 } });
    expect(code).toBe(0);
    expect(startDaemon).not.toHaveBeenCalled();
  });

  it.each([
    [new SparklerError('DATA_IN_USE', 'in use'), 1, 'DATA_IN_USE'],
    [new SparklerError('DEPENDENCY_MISSING', 'no QEMU'), 1, 'no QEMU'],
    [new SparklerError('INVALID_CONFIG', 'port: in use'), 2, 'port: in use'],
  ])('ends when it cannot start: %s', async (failure, exit, reason) => {
    startDaemon.mockRejectedValue(failure);
    const { code, stderr } = await run();
    expect(stderr).toContain(reason);
    expect(code).toBe(exit);
  });

  it('gives up on a stop that takes too long', async () => {
    const file = join(dir, 'hasty.json');
    writeFileSync(file, '{"timeouts":{"shutdownMs":50}}');
    startDaemon.mockResolvedValue({
      url: 'x',
      platform: new MemoryPlatform(),
      close: () => new Promise(() => undefined),
    });
    const { code, stderr } = await run('--config', file);
    expect(stderr).toContain('did not stop within 50.0 ms');
    expect(code).toBe(1);
  });
});
