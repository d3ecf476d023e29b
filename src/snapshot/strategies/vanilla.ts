/** The memory file mapped privately: a page comes when the guest touches it. */
import { recordLayers } from './record.js';
import type { PreparedRestore, RestoreContext, RestoreStrategy } from './strategy.js';

export const vanilla: RestoreStrategy = {
  name: 'vanilla',
  needs: ['file'],
  prepare(context) {
    const { record, resident } = context.options;
    if (resident === true) return Promise.resolve(allResident(context));
    return Promise.resolve({
      memory: { kind: 'file' } as const,
      why: 'the memory file is mapped, its pages come on demand',
      records: record !== undefined,
      ...(record && recordLayers(context, record)),
    });
  },
};

/** What is left without any paging: the floor that strategies are measured against. */
function allResident({ sets }: RestoreContext): PreparedRestore {
  const all = { page: 0, pages: sets.pages, from: 'base', filePage: 0, populate: 'write' } as const;
  return {
    memory: { kind: 'layers', base: 'memory', regions: [all], populateFirst: true },
    why: 'all of memory was made resident before the guest ran: a floor, for measurements',
    records: false,
  };
}
