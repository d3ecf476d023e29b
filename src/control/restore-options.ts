/** Which details of a restore mean something to which strategy. */
import type { RestoreOptions, StrategyName } from '../snapshot/index.js';
import type { StrategyChoice } from './chooser.js';
import { invalid } from './errors.js';

/** The field that asks for each option, and the strategies that do it. */
const OPTIONS: Readonly<
  Record<keyof RestoreOptions, readonly [field: string, doneBy: readonly StrategyName[]]>
> = {
  directIo: ['wsFileDirectIo', ['reap']],
  singleRead: ['wsSingleRead', ['reap']],
  record: ['mincore', ['vanilla', 'faasnap']],
  mappings: ['overlay_regions', ['faasnap']],
  loadLayers: ['loadMincore', ['faasnap']],
  vmmLoads: ['vmm_load_ws', ['faasnap']],
  resident: ['resident', ['vanilla']],
};

/**
 * What a strategy would ignore is refused. `auto` chooses anew each time: it takes no details.
 * @throws SparklerError INVALID_REQUEST naming the field.
 */
export function checkOptions(strategy: StrategyChoice, options: RestoreOptions = {}): void {
  for (const name of Object.keys(options) as (keyof RestoreOptions)[]) {
    const [field, doneBy] = OPTIONS[name];
    if (doneBy.some((known) => known === strategy)) continue;
    throw invalid(
      field,
      `means nothing to the strategy ${strategy}; it is for ${doneBy.join(' and ')} (strategy)`,
    );
  }
}
