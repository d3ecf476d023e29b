/** Restores by strategy over the fake driver: what is refused, and who may record. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import type { StrategyName } from '../snapshot/index.js';
import type { InvocationOutput } from './types.js';

const hello = { functionName: 'hello' };
let bed: TestPlatform;
afterEach(() => bed.dispose());

async function taken(options: TestOptions = {}): Promise<void> {
  bed = await testPlatform(options);
  const { vmId } = await bed.platform.invoke({ ...hello, params: '{"add":5}' });
  await bed.platform.takeSnapshot({ vmId, ssId: 'ss' });
}

const restored = (strategy: StrategyName, params = '{}'): Promise<InvocationOutput> =>
  bed.platform.invoke({ ...hello, ssId: 'ss', params, restore: { strategy } });

describe('a host without /dev/userfaultfd', () => {
  const why = '/dev/userfaultfd does not exist';
  const capabilities = {
    memorySources: ['file', 'layers'],
    missingSources: { userfault: why },
  } as const;

  it.each(['reap', 'populate'] as const)('refuses %s and says why', async (strategy) => {
    await taken({ capabilities });
    const refused = restored(strategy);
    await expect(refused).rejects.toMatchObject({
      code: 'OPERATION_UNSUPPORTED',
      message: expect.stringContaining(why) as string,
    });
    expect(bed.driver.restores).toEqual([]);
  });

  it('restores by all others', async () => {
    await taken({ capabilities });
    for (const strategy of ['vanilla', 'cached', 'faasnap'] as const) {
      expect(await restored(strategy)).toMatchObject({
        result: '{"count":5}',
        restore: { strategy },
      });
    }
  });
});

describe('a recording', () => {
  it('is made by one of the restores that come together', async () => {
    await taken();
    const answers = await Promise.all([1, 2, 3].map(() => restored('reap')));
    const recorded = answers.map(({ restore }) => restore?.recorded);
    expect(recorded.filter(Boolean)).toEqual([true]);
  });

  it('goes on when a VM that is not recorded ends before', async () => {
    await taken();
    const first = restored('reap', '{"sleepMs":300}');
    const second = await restored('reap');
    expect(second.restore?.recorded).toBe(false);
    await bed.platform.deleteVm(second.vmId);
    expect((await restored('reap')).restore?.recorded).toBe(false);
    expect((await first).restore?.recorded).toBe(true);
  });
});

describe('a restore after which the VMM cannot be asked', () => {
  it('has answered all the same', async () => {
    await taken();
    const { driver } = bed;
    const restore = driver.restore.bind(driver);
    driver.restore = async (...args) => {
      const handle = await restore(...args);
      handle.paging = () => Promise.reject(new TypeError('gone'));
      return handle;
    };
    const answer = await restored('vanilla');
    expect(answer.result).toBe('{"count":5}');
    expect(answer.restore).toBeUndefined();
  });
});

describe('the page cache', () => {
  it('is filled again after it was dropped', async () => {
    await taken();
    const { store } = bed;
    const loads: string[] = [];
    const once = store.cache.once.bind(store.cache);
    store.cache.once = (path, load) =>
      once(path, () => {
        loads.push(path);
        return load();
      });
    await restored('cached');
    await restored('cached');
    expect(loads).toHaveLength(1);
    await bed.platform.patchSnapshot('ss', { dropCache: true });
    await restored('cached');
    expect(loads).toHaveLength(2);
  });
});
