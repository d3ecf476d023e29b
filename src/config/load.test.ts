import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SparklerError } from '../errors.js';
import { type ConfigSources, LEAVES, isLoopback, loadConfig } from './index.js';

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'sparkler-config-'))));
afterAll(() => rmSync(dir, { recursive: true }));

let files = 0;
function fileWith(content: unknown): string {
  const path = join(dir, `${++files}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function refusal(sources: ConfigSources): SparklerError {
  try {
    loadConfig({ env: {}, ...sources });
  } catch (error) {
    expect(error).toBeInstanceOf(SparklerError);
    expect((error as SparklerError).code).toBe('INVALID_CONFIG');
    return error as SparklerError;
  }
  return expect.fail('the configuration was accepted');
}

describe('loadConfig', () => {
  it('is complete without any source', () => {
    const config = loadConfig({ env: { XDG_CACHE_HOME: '/x' } });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      dataDir: '/var/lib/sparkler',
      cacheDir: '/x/sparkler',
      images: { debian: 'debian' },
      defaultVcpus: 2,
      defaultMemMiB: 2048,
      limits: { invocationBodyBytes: 6 * 1024 * 1024, maxVms: 64 },
      timeouts: { bootMs: 60_000 },
      pool: { maxVms: 2, maxMemMiB: 4096 },
      vmm: { firstUid: 2_000_000_000, cgroupRoot: '' },
    });
    const top = LEAVES.filter((leaf) => leaf.path.length === 1).map((leaf) => leaf.path[0]);
    expect(Object.keys(config).sort()).toEqual(
      [...top, 'limits', 'timeouts', 'placement', 'admission', 'pool', 'memory', 'vmm'].sort(),
    );
  });

  it('takes the file, then the environment, then the flags', () => {
    const file = fileWith({ port: 1, logLevel: 'warn', limits: { maxVms: 1, maxVcpus: 8 } });
    const env = { SPARKLER_PORT: '2', SPARKLER_LIMITS_MAX_VMS: '2' };
    const config = loadConfig({ file, env, flags: { port: 3, host: undefined } });
    expect([config.port, config.logLevel]).toEqual([3, 'warn']);
    expect(config.limits).toMatchObject({ maxVms: 2, maxVcpus: 8, maxQueuedPerVm: 32 });
  });

  it('reads lists and maps from the environment', () => {
    const config = loadConfig({
      env: {
        SPARKLER_SNAPSHOT_DIRS: '/a:/b',
        SPARKLER_IMAGES: '{"debian":"debian","mine":"/img/root.erofs"}',
        SPARKLER_VMM_TB_SIZE_MIB: '32',
        SPARKLER_CACHE: '/cache',
        SPARKLER_URL: 'http://127.0.0.1:1',
        SPARKLER_TEST_ACCEL: 'tcg',
        SPARKLER_SEED: '1',
      },
    });
    expect(config.snapshotDirs).toEqual(['/a', '/b']);
    expect(config.images['mine']).toBe('/img/root.erofs');
    expect(config.vmm.tbSizeMiB).toBe(32);
    expect(config.cacheDir).toBe('/cache');
  });

  it("takes the original's names", () => {
    const file = fileWith({
      log_level: 'debug',
      base_path: '/srv/s',
      redis_host: '',
      executables: {},
      faascale_mem_config: {
        stats_polling_interval_s: 2,
        pre_alloc_mem: false,
        pre_tdp_fault: true,
      },
      memory: { eagerMiB: 1 },
    });
    expect(loadConfig({ file, env: {} })).toMatchObject({
      logLevel: 'debug',
      dataDir: '/srv/s',
      memory: { balloonStatsS: 2, preAllocMem: false, preTdpFault: true, eagerMiB: 1 },
    });
  });

  it.each([
    [{ pre_alloc: true }, {}, 'faascale_mem_config.pre_alloc: is not a field of it'],
    [{ pre_alloc_mem: 1 }, {}, 'memory.preAllocMem: must be boolean'],
    [{ pre_alloc_mem: true }, { preAllocMem: false }, 'another name of memory.preAllocMem'],
    [true, {}, 'faascale_mem_config: must be an object'],
    [{ stats_polling_interval_s: '1' }, {}, 'memory.balloonStatsS: must be integer'],
    [{ pre_alloc_mem: true }, 'much', 'memory: must be object'],
  ])("refuses the original's %j beside %j", (original, memory, reason) => {
    const file = fileWith({ faascale_mem_config: original, memory });
    expect(refusal({ file, env: {} }).message).toContain(reason);
  });

  it('takes a yes or no from the environment', () => {
    const env = { SPARKLER_MEMORY_PRE_ALLOC_MEM: 'false', SPARKLER_MEMORY_BASE_MIB: '300' };
    expect(loadConfig({ env }).memory).toMatchObject({ preAllocMem: false, baseMiB: 300 });
    expect(refusal({ env: { SPARKLER_MEMORY_PRE_ALLOC_MEM: 'no' } }).message).toContain(
      'memory.preAllocMem: must be boolean',
    );
  });

  it('makes paths absolute', () => {
    const config = loadConfig({ env: {}, flags: { dataDir: 'data', cacheDir: 'c' } });
    expect(config.dataDir).toBe(join(process.cwd(), 'data'));
    expect(config.cacheDir).toBe(join(process.cwd(), 'c'));
  });

  it('names every mistake at once', () => {
    const file = fileWith({
      prot: 1,
      limits: { maxVms: 'many', maxVm: 1 },
      timeouts: { bootMs: 1.5 },
      accel: 'hvf',
      redis_host: 'localhost',
    });
    const { message } = refusal({ file, env: { SPARKLER_PROT: '1', SPARKLER_PORT: '80a' } });
    for (const part of [
      'prot: is not a field',
      'limits.maxVms: must be integer',
      'limits.maxVm: is not a field',
      'timeouts.bootMs: must be integer',
      'accel: must be one of auto, kvm, tcg',
      'redis_host: this version has no object store',
      'SPARKLER_PROT: is not a variable',
      'port: must be integer',
    ]) {
      expect(message).toContain(part);
    }
  });

  it.each([
    [{ port: 65_536 }, 'port', 'must be <= 65535'],
    [{ limits: { maxVms: 0 } }, 'limits.maxVms', 'must be >= 1'],
    [{ defaultImage: 'alpine' }, 'defaultImage', 'alias listed in images'],
    [{ images: { debian: 'x/y' } }, 'images.debian', 'absolute path'],
    [{ images: 'debian' }, 'images', 'must be object'],
    [{ limits: null }, 'limits', 'must be object'],
    [{ defaultMemMiB: 4096, limits: { maxMemMiB: 1024 } }, 'defaultMemMiB', 'limits.maxMemMiB'],
    [{ log_level: 'info', logLevel: 'info' }, 'log_level', 'another name of logLevel'],
  ])('refuses %j', (content, field, reason) => {
    const error = refusal({ file: fileWith(content) });
    expect(error.details.field).toBe(field);
    expect(error.message).toContain(reason);
  });

  it.each([
    ['{"port": ', 'is not JSON'],
    ['[1]', 'must hold a JSON object'],
  ])('refuses a file that holds %s', (text, reason) => {
    expect(refusal({ file: fileWith(text) }).message).toContain(reason);
  });

  it('refuses a file that does not exist', () => {
    expect(refusal({ file: join(dir, 'none.json') }).message).toContain('does not exist');
  });

  it('takes a reachable address from the flag only', () => {
    const file = fileWith({ host: '0.0.0.0' });
    expect(refusal({ file }).message).toContain('--host 0.0.0.0');
    expect(refusal({ env: { SPARKLER_HOST: '10.0.0.1' } }).details.field).toBe('host');
    expect(loadConfig({ env: {}, flags: { host: '0.0.0.0' } }).host).toBe('0.0.0.0');
  });
});

describe('isLoopback', () => {
  it.each(['localhost', '127.0.0.1', '127.1.2.3', '::1', '[::1]', 'LOCALHOST'])('%s is', (host) =>
    expect(isLoopback(host)).toBe(true),
  );
  it.each(['0.0.0.0', '::', '10.0.0.1', 'localhost.evil.com', '127.0.0.1.evil.com', '', '127.1'])(
    '%s is not',
    (host) => expect(isLoopback(host)).toBe(false),
  );
});

describe('the fields', () => {
  it('are all described and have names of their own', () => {
    expect(LEAVES.filter((leaf) => leaf.description === '')).toEqual([]);
    expect(new Set(LEAVES.map((leaf) => leaf.env)).size).toBe(LEAVES.length);
  });
});
