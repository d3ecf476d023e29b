/**
 * FaaSnap: the pages that a recorded invocation brought into the page cache, in groups by time, are
 * written to a compact file. A restore maps it over the snapshot's non-zero regions over anonymous
 * memory, and one loader reads it while VMs already run. Source: Ao et al., EuroSys '22.
 */
import { runsOfLayers } from '../working-set/layers.js';
import { loadingSet, type LoadingSetOptions } from '../working-set/loading-set.js';
import { dropCache } from '../patch.js';
import { readRuns } from '../read-ahead.js';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import type { WorkingSets } from '../working-sets.js';
import { overlayOf, workingSetRegions, type Overlay } from './layers.js';
import { recordLayers } from './record.js';
import type { Mappings, PreparedRestore, RestoreContext, RestoreStrategy } from './strategy.js';

/** Scans follow the VMM's growth by so many pages, as in the paper. */
const GROWTH_PAGES = 1024;

const ALL: Mappings = { memoryFile: false, overlay: true, workingSet: true };

export const faasnap: RestoreStrategy = {
  name: 'faasnap',
  needs: ['file', 'layers'],
  async prepare(context) {
    const { sets, options } = context;
    const { mappings = ALL } = options;
    const set = mappings.workingSet ? await sets.file('faasnap') : undefined;
    if (mappings.workingSet && !set && !(await makeFaasnapFile(sets))) return firstTime(context);
    return mapped(context, mappings);
  },
};

async function firstTime(context: RestoreContext): Promise<PreparedRestore> {
  const { sets, cache, mayRecord, limitMs, options } = context;
  const { memoryPath } = sets.snapshot;
  if (!mayRecord) {
    const why = 'another invocation is being recorded; pages come on demand';
    return { memory: { kind: 'file' }, why, records: false, unlearned: true };
  }
  // The recording sees what comes into the page cache: it must not be there already.
  await dropCache(memoryPath, limitMs);
  cache.dropped(memoryPath);
  const pace = options.record ?? { growthPages: GROWTH_PAGES };
  return {
    memory: { kind: 'file' },
    why: 'nothing is recorded yet: this invocation is, from a dropped page cache',
    records: true,
    unlearned: true,
    ...recordLayers(context, pace, () => makeFaasnapFile(sets)),
  };
}

async function mapped(context: RestoreContext, mappings: Mappings): Promise<PreparedRestore> {
  const { sets, options } = context;
  const set = mappings.workingSet ? await sets.file('faasnap') : undefined;
  const populate = options.vmmLoads === true ? 'read' : 'no';
  const kind = `faasnap ${JSON.stringify([mappings, populate])}`;
  const { base, regions } = await sets.plan('faasnap', kind, () =>
    planOf(sets, mappings, set, populate),
  );
  const { record } = options;
  return {
    memory: {
      kind: 'layers',
      base,
      regions,
      ...(set && { workingSetPath: sets.filePath('faasnap') }),
    },
    why: `${regions.length} regions are mapped over ${base} memory${set ? ', and the loading set is read beside the restore' : ''}`,
    records: record !== undefined,
    beside: loader(context, set !== undefined),
    ...(record && recordLayers(context, record)),
  };
}

async function planOf(
  sets: WorkingSets,
  mappings: Mappings,
  set: WorkingSet | undefined,
  populate: 'no' | 'read',
): Promise<Overlay> {
  const { manifest } = sets.snapshot;
  const overlay = overlayOf(await sets.nonZero(), sets.pages, manifest, set?.regions.length ?? 0);
  return {
    base: mappings.memoryFile || !mappings.overlay ? 'memory' : overlay.base,
    regions: [
      ...(mappings.overlay ? overlay.regions : []),
      ...(set ? workingSetRegions(set, populate) : []),
    ],
  };
}

/** Reads the loading set while the VM starts; one reader for all clones of the snapshot. */
function loader(context: RestoreContext, fromFile: boolean): Promise<void> {
  const { sets, cache, options } = context;
  const { loadLayers } = options;
  if (loadLayers !== undefined) return loadGroups(sets, loadLayers, fromFile);
  if (!fromFile) return Promise.resolve();
  return cache.once(sets.filePath('faasnap'), () => sets.load('faasnap'));
}

/** Reads the named groups only: from their file, or from the memory file. */
async function loadGroups(
  sets: WorkingSets,
  groups: readonly number[],
  fromFile: boolean,
): Promise<void> {
  const layers = await sets.layers();
  const set = fromFile ? await sets.file('faasnap') : undefined;
  if (set) {
    const wanted = new Set(groups);
    const parts = workingSetRegions(set, 'no')
      .filter((_, i) => wanted.has(set.regions[i]?.group ?? 0))
      .map(({ filePage, pages }) => ({ page: filePage, pages }));
    await readRuns(sets.filePath('faasnap'), parts);
  } else if (layers) await readRuns(sets.snapshot.memoryPath, runsOfLayers(layers, groups));
}

/** Writes the compact file from the recorded layers. False when nothing is recorded. */
export async function makeFaasnapFile(
  sets: WorkingSets,
  options: LoadingSetOptions = {},
): Promise<boolean> {
  const layers = await sets.layers();
  if (layers === undefined) return false;
  await sets.make('faasnap', loadingSet(layers, await sets.nonZero(), options));
  return true;
}
