import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { testDriver, testImages, deploy } from '../tests/support/control-platform.js';
import { loadConfig, type Config } from './config/index.js';
import { startDaemon, type Daemon } from './main.js';

let dataDir: string;
let config: Config;
let daemon: Daemon | undefined;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'daemon-'));
  config = loadConfig({ env: {}, flags: { dataDir, port: 0, logLevel: 'silent' } });
});
afterEach(async () => {
  await daemon?.close();
  daemon = undefined;
  rmSync(dataDir, { recursive: true });
});

const start = (): Promise<Daemon> =>
  startDaemon(config, { driver: testDriver(), images: testImages(config) });

it('serves an invocation over HTTP, and lets everything go when it closes', async () => {
  daemon = await start();
  await deploy(daemon.platform, 'hello');
  const response = await fetch(`${daemon.url}/invocations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ func_name: 'hello', params: '{"add":4}' }),
  });
  expect(await response.json()).toMatchObject({ result: '{"count":4}' });
  await Promise.all([daemon.close(), daemon.close()]);
  await expect(fetch(daemon.url)).rejects.toThrow();
  daemon = await start();
  expect(daemon.platform.listFunctions()).toMatchObject([{ name: 'hello' }]);
});

it('refuses the data folder of another daemon, which goes on', async () => {
  daemon = await start();
  await expect(start()).rejects.toMatchObject({ code: 'DATA_IN_USE' });
  expect((await fetch(`${daemon.url}/functions`)).status).toBe(200);
});

it('lets the data folder go when it cannot listen', async () => {
  daemon = await start();
  const other = mkdtempSync(join(tmpdir(), 'daemon-'));
  const port = Number(new URL(daemon.url).port);
  const second = { ...config, dataDir: other, port };
  const images = testImages(config);
  const failing = startDaemon(second, { driver: testDriver(), images });
  await expect(failing).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
    details: { field: 'port' },
  });
  const third = await startDaemon({ ...second, port: 0 }, { driver: testDriver(), images });
  await third.close();
  rmSync(other, { recursive: true });
});
