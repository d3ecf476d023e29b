/** The memory file mapped privately: a page comes when the guest touches it. */
import { recordLayers } from './record.js';
import type { RestoreStrategy } from './strategy.js';

export const vanilla: RestoreStrategy = {
  name: 'vanilla',
  needs: ['file'],
  prepare(context) {
    const { record } = context.options;
    return Promise.resolve({
      memory: { kind: 'file' } as const,
      why: 'the memory file is mapped, its pages come on demand',
      records: record !== undefined,
      ...(record && recordLayers(context, record)),
    });
  },
};
