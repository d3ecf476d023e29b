/**
 * Beyond the papers: the working set in the order of its first touches, mapped from its compact file
 * and entered in the VMM's page tables by a thread of the VMM while the guest already runs. One loader
 * reads the file from the moment of the request on, for all clones. Neither major nor minor faults
 * are left on it, and clones still share its clean pages. Pages that an invocation writes anyway are
 * copied ahead of the guest.
 */
import type { Machine, MappedRegion } from '../../vmm/index.js';
import { readAhead } from '../read-ahead.js';
import { combineRecordings } from '../working-set/combine.js';
import { layersFromTrace } from '../working-set/layers.js';
import { loadingSet } from '../working-set/loading-set.js';
import { difference, hasBit, runsFromPages, type Run } from '../working-set/runs.js';
import type { WorkingSet } from '../working-set/working-set-layout.js';
import type { WorkingSets } from '../working-sets.js';
import { overlayOf, populateRegions, workingSetRegions, type Overlay } from './layers.js';
import { recordTrace } from './record.js';
import type { PreparedRestore, RestoreContext, RestoreStrategy } from './strategy.js';

/** Pages that are touched one after the other and loaded together. */
const GROUP_PAGES = 256;

export const populate: RestoreStrategy = {
  name: 'populate',
  needs: ['layers', 'userfault'],
  async prepare(context) {
    const { sets } = context;
    const made = (await sets.file('populate')) !== undefined || (await makePopulateFile(sets));
    return made ? overWorkingSet(context) : firstTime(context);
  },
};

function firstTime(context: RestoreContext): PreparedRestore {
  const { sets, mayRecord } = context;
  if (!mayRecord) {
    const why = 'another invocation is being recorded; pages come on demand';
    return { memory: { kind: 'file' }, why, records: false, unlearned: true };
  }
  const recording = recordTrace(context, () => makePopulateFile(sets));
  const why = 'nothing is recorded yet: this invocation is';
  return { ...recording, why, records: true, unlearned: true };
}

async function overWorkingSet(context: RestoreContext): Promise<PreparedRestore> {
  const { sets, cache, mayRecord } = context;
  const set = await sets.file('populate');
  if (set === undefined) return firstTime(context);
  const { base, regions, written } = await sets.plan('populate', 'populate', () =>
    planOf(sets, set),
  );
  const unlearned = written === undefined;
  return {
    memory: { kind: 'layers', base, regions, workingSetPath: sets.filePath('populate') },
    why: `${set.regions.length} regions in the order of first touch are populated beside the restore, ${written ?? 'none'} pages of them for writing`,
    records: false,
    // Not by page-loader: the file was verified above, and starting a program takes longer than this.
    beside: cache.once(sets.filePath('populate'), () => readAhead(sets.filePath('populate'))),
    ...(unlearned && { unlearned }),
    ...(unlearned && mayRecord && { finish: learnWritten(context) }),
  };
}

interface Plan {
  readonly base: Overlay['base'];
  readonly regions: readonly MappedRegion[];
  /** Pages that are known to be written, undefined when none was looked at. */
  readonly written: number | undefined;
}

async function planOf(sets: WorkingSets, set: WorkingSet): Promise<Plan> {
  const { manifest } = sets.snapshot;
  const overlay = overlayOf(await sets.nonZero(), sets.pages, manifest, set.regions.length);
  const pages = await sets.written();
  const written = pages === undefined ? [] : runsFromPages(pages.toSorted());
  const zeros = zeroRuns(set.regions, written);
  const mapped = [...overlay.regions, ...workingSetRegions(set, 'no')];
  const populated = populateRegions([...set.regions, ...zeros], written, mapped.length);
  return { base: overlay.base, regions: [...mapped, ...populated], written: pages?.length };
}

/** Written pages outside of the working-set file: they were zero in the snapshot. */
function zeroRuns(regions: readonly Run[], written: readonly Run[]): Run[] {
  const inFile = [...regions].sort((a, b) => a.page - b.page);
  return difference(written, inFile);
}

/** After the first populated restore: the pages that the VM then owns were written by the guest. */
function learnWritten({ sets, event }: RestoreContext): (machine: Machine) => Promise<void> {
  return async (machine) => {
    const own = await machine.privatePages();
    const pages: number[] = [];
    for (let page = 0; page < sets.pages; page++) if (hasBit(own, page)) pages.push(page);
    await sets.putWritten(Uint32Array.from(pages), event);
  };
}

/** Writes the compact file from the recorded traces. False when there is none. */
export async function makePopulateFile(sets: WorkingSets): Promise<boolean> {
  const traces = await sets.traces();
  if (traces.length === 0) return false;
  // Pages that at least half of the recordings touched: the rest would be loaded for nothing.
  const pages = combineRecordings(traces, Math.ceil(traces.length / 2));
  const layers = layersFromTrace(pages, sets.pages, GROUP_PAGES);
  await sets.make('populate', loadingSet(layers, await sets.nonZero()));
  return true;
}
