/**
 * REAP: the first invocation's page faults are recorded; from then on their pages are read from a
 * compact file in one pass and installed before the guest runs. What is missed comes on demand.
 * Source: Ustiugov et al., ASPLOS '21; mechanism as in the FaaSnap platform.
 */
import { combineRecordings } from '../working-set/combine.js';
import { runsFromPages } from '../working-set/runs.js';
import type { WorkingSets } from '../working-sets.js';
import { recordTrace } from './record.js';
import type { PreparedRestore, RestoreContext, RestoreStrategy } from './strategy.js';

export const reap: RestoreStrategy = {
  name: 'reap',
  needs: ['userfault'],
  async prepare(context) {
    const { sets, options } = context;
    const { sumsPath } = sets.snapshot;
    if ((await sets.file('reap')) === undefined && !(await makeReapFile(sets))) {
      return firstTime(context);
    }
    const { directIo: direct = false, singleRead = false } = options;
    const workingSet = { path: sets.filePath('reap'), direct, singleRead };
    const how = direct ? 'past the page cache' : 'through the page cache';
    return {
      memory: { kind: 'userfault', sumsPath, workingSet },
      why: `the recorded pages are installed before the guest runs, read ${how}`,
      records: false,
    };
  },
};

function firstTime(context: RestoreContext): PreparedRestore {
  const { sets, mayRecord } = context;
  const { sumsPath } = sets.snapshot;
  if (!mayRecord) {
    const why = 'another invocation is being recorded; pages come on demand';
    return { memory: { kind: 'userfault', sumsPath }, why, records: false, unlearned: true };
  }
  const recording = recordTrace(context, () => makeReapFile(sets));
  const why = 'nothing is recorded yet: this invocation is';
  return { ...recording, why, records: true, unlearned: true };
}

/** All pages of all traces by their addresses, neighbours joined. False when there is no trace. */
export async function makeReapFile(sets: WorkingSets): Promise<boolean> {
  const traces = await sets.traces();
  if (traces.length === 0) return false;
  const pages = combineRecordings(traces).sort();
  await sets.make(
    'reap',
    runsFromPages(pages).map((run) => ({ ...run, group: 1 })),
  );
  return true;
}
