/** Measuring what this host's memory and disk cost, with tools that are built with sanitizers. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  measureHostCosts,
  readHostCosts,
  writeHostCosts,
  type HostCosts,
} from '../../src/snapshot/index.js';
import { canDropCache, NativeTools } from '../support/native-tools.js';

let native: NativeTools;
beforeAll(() => {
  native = new NativeTools(['page-replay', 'page-server', 'memory-sums']);
});
afterAll(() => native.close());

const costs: HostCosts = {
  ...{ minorFaultUs: 1, coldFaultUs: 100, servedFaultUs: 20 },
  ...{ sequentialMiBps: 2000, coldSequentialMiBps: 500, populateUsPerPage: 0.1 },
};

describe('host costs', () => {
  it.skipIf(!canDropCache)('measures each of them and leaves nothing', async () => {
    const dir = native.path('measured');
    mkdirSync(dir);
    const tools = { nativeDir: native.dir, limitMs: 1 };
    const measured = await measureHostCosts(tools, dir, 20_000);
    expect(Object.keys(measured).sort()).toEqual(Object.keys(costs).sort());
    for (const value of Object.values(measured)) expect(value).toBeGreaterThan(0);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('leaves nothing when it fails, and says why', async () => {
    const dir = native.path('failed');
    mkdirSync(dir);
    const tools = { nativeDir: native.path('nowhere'), limitMs: 20_000 };
    const failure = measureHostCosts(tools, dir, 20_000);
    await expect(failure).rejects.toMatchObject({ code: 'DEPENDENCY_MISSING' });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('remembers them until the host boots again', async () => {
    const path = native.path('costs.json');
    expect(await readHostCosts(path)).toBeUndefined();
    await writeHostCosts(path, costs);
    expect(await readHostCosts(path)).toEqual(costs);
    const saved = readFileSync(path, 'utf8');
    writeFileSync(path, saved.replace(/"bootId": "./, '"bootId": "x'));
    expect(await readHostCosts(path)).toBeUndefined();
  });

  it.each(['', 'null', '7', '{"format":2}', 'cut off'])('takes %j for nothing', async (text) => {
    const path = native.path('costs.json');
    writeFileSync(path, text);
    expect(await readHostCosts(path)).toBeUndefined();
  });

  it('takes a cost that is none for nothing', async () => {
    const path = native.path('costs.json');
    for (const bad of [0, -1, NaN]) {
      await writeHostCosts(path, { ...costs, servedFaultUs: bad });
      expect(await readHostCosts(path)).toBeUndefined();
    }
  });
});
