/** The two ways of recording a working set, as parts of a restore. */
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import type { Machine } from '../../vmm/index.js';
import { PageRecorder, type RecorderPace } from '../native.js';
import { decodeLayers } from '../working-set/layers.js';
import type { PreparedRestore, RestoreContext } from './strategy.js';

type Part = Pick<PreparedRestore, 'onProcess' | 'finish' | 'abandon'>;

/**
 * By the page cache: groups of pages in the order in which scans saw them. The memory file must not
 * be in the page cache before.
 * @param then is called when the layers are stored.
 */
export function recordLayers(
  context: RestoreContext,
  pace: RecorderPace,
  then: () => Promise<unknown> = () => Promise.resolve(),
): Part {
  const { sets, tools, dir, event } = context;
  const outPath = join(dir, 'layers');
  let recorder: Promise<PageRecorder> | undefined;
  return {
    onProcess: (pid) => {
      recorder = PageRecorder.start(sets.snapshot.memoryPath, pid, outPath, pace, tools);
      // `finish` says what went wrong.
      recorder.catch(() => undefined);
    },
    finish: async () => {
      await (await recorder)?.stop();
      await sets.putLayers(decodeLayers(await readFile(outPath)), event);
      await then();
    },
    abandon: () =>
      void recorder?.then(
        (running) => running.kill(),
        () => undefined,
      ),
  };
}

/** By page faults: pages in the order of their first fault, read by a page server. */
export function recordTrace(
  context: RestoreContext,
  then: () => Promise<unknown>,
): Part & Pick<PreparedRestore, 'memory'> {
  const { sets, dir, event, keepTraces } = context;
  const tracePath = join(dir, 'trace');
  return {
    memory: { kind: 'userfault', sumsPath: sets.snapshot.sumsPath, tracePath },
    finish: async (machine: Machine) => {
      await machine.endTrace();
      if (await sets.addTrace(tracePath, event, keepTraces)) await then();
    },
  };
}
