/** As `vanilla`, with the memory file in the page cache before the guest runs. */
import { loadCache } from '../patch.js';
import type { RestoreStrategy } from './strategy.js';

export const cached: RestoreStrategy = {
  name: 'cached',
  needs: ['file'],
  async prepare({ sets, cache, limitMs }) {
    const { memoryPath } = sets.snapshot;
    await cache.once(memoryPath, () => loadCache(memoryPath, limitMs));
    return {
      memory: { kind: 'file' },
      why: 'the memory file is mapped and in the page cache',
      records: false,
    };
  },
};
