import { describe, expect, it } from 'vitest';
import { PageCache } from './page-cache.js';

describe('what is in the page cache', () => {
  it('is loaded once, however many want it, and again after it was dropped', async () => {
    const cache = new PageCache();
    let loads = 0;
    let end: () => void = () => undefined;
    const load = (): Promise<void> => {
      loads++;
      return new Promise((resolve) => (end = resolve));
    };
    const first = cache.once('/m', load);
    const second = cache.once('/m', load);
    expect([loads, cache.has('/m'), cache.has('/other')]).toEqual([1, true, false]);
    end();
    await Promise.all([first, second]);
    await cache.once('/m', load);
    expect(loads).toBe(1);
    cache.dropped('/m');
    expect(cache.has('/m')).toBe(false);
    const again = cache.once('/m', load);
    end();
    await again;
    expect(loads).toBe(2);
  });

  it('is tried again after a failure, which only those hear who waited', async () => {
    const cache = new PageCache();
    const failing = cache.once('/m', () => Promise.reject(new RangeError('no')));
    await expect(failing).rejects.toThrow('no');
    await cache.once('/m', () => Promise.resolve());
    expect(cache.has('/m')).toBe(true);
  });

  it('is forgotten by its folder', async () => {
    const cache = new PageCache();
    for (const path of ['/a/m', '/ab/m']) await cache.once(path, () => Promise.resolve());
    cache.droppedIn('/a');
    expect([cache.has('/a/m'), cache.has('/ab/m')]).toEqual([false, true]);
  });

  it('does not forget a newer load when an older one fails', async () => {
    const cache = new PageCache();
    let fail: (error: Error) => void = () => undefined;
    const old = cache.once('/m', () => new Promise((_, reject) => (fail = reject)));
    cache.dropped('/m');
    await cache.once('/m', () => Promise.resolve());
    fail(new RangeError('late'));
    await expect(old).rejects.toThrow('late');
    expect(cache.has('/m')).toBe(true);
  });
});
