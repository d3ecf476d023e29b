/** The restore strategies, by name. A new one is a file here and a line below. */
import { SparklerError } from '../../errors.js';
import type { MemorySource, VmmCapabilities } from '../../vmm/index.js';
import { cached } from './cached.js';
import { faasnap } from './faasnap.js';
import { populate } from './populate.js';
import { reap } from './reap.js';
import type { RestoreStrategy, StrategyName } from './strategy.js';
import { vanilla } from './vanilla.js';

const STRATEGIES: Readonly<Record<StrategyName, RestoreStrategy>> = {
  vanilla,
  cached,
  reap,
  faasnap,
  populate,
};

export const STRATEGY_NAMES = Object.keys(STRATEGIES) as readonly StrategyName[];

/** True when a VMM with these memory sources can do it. */
export function isPossible(name: StrategyName, sources: readonly MemorySource['kind'][]): boolean {
  return STRATEGIES[name].needs.every((kind) => sources.includes(kind));
}

/** @throws SparklerError OPERATION_UNSUPPORTED where the VMM cannot do what it needs. */
export function strategyOf(
  name: StrategyName,
  { memorySources, missingSources = {} }: Pick<VmmCapabilities, 'memorySources' | 'missingSources'>,
): RestoreStrategy {
  const strategy = STRATEGIES[name];
  const lacking = strategy.needs.filter((kind) => !memorySources.includes(kind));
  if (lacking.length === 0) return strategy;
  const why = lacking.flatMap((kind) => missingSources[kind] ?? []).join('; ');
  const reason = why === '' ? 'this one does not' : `this one does not: ${why}`;
  const message = `The strategy ${name} needs a VMM that restores by ${lacking.join(' and ')}; ${reason}.`;
  throw new SparklerError('OPERATION_UNSUPPORTED', message, { field: 'strategy' });
}
