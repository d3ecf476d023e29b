/**
 * What instances keep in memory while VMs of every memory policy grow, shrink, are resized by hand,
 * and lose instances. `SPARKLER_TEST_OPERATIONS` says how many operations; `npm run bench -- scale
 * --only operations` does a thousand.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OPERATIONS_CONFIG, randomOperations } from '../../bench/scale/operations.js';
import { Home, type TestDaemon } from '../support/daemon.js';
import { seededRandom } from '../support/random.js';

const OPERATIONS = Number(process.env['SPARKLER_TEST_OPERATIONS'] ?? 40);
const STEPS = 2 ** 32;

const below = seededRandom();
const home = new Home(OPERATIONS_CONFIG);
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
});
afterAll(async () => {
  const code = await daemon.stop();
  const left = home.leftovers();
  home.remove();
  expect(code).toBe(0);
  expect(left).toEqual([]);
});

it('lose no byte of an instance, whatever its VM is told at the same time', async () => {
  const random = (): number => below(STEPS) / STEPS;
  const result = await randomOperations({ daemon, count: OPERATIONS, random });
  expect(result).toMatchObject({ failures: [], wrongBytes: 0, hangs: 0 });
  expect(result.checkedBytes).toBeGreaterThan(0);
  expect(await daemon.client.vms.list()).toEqual([]);
});
