/** What is refused about elastic memory, for all drivers: sizes, features, snapshots and forks. */
import { SparklerError } from '../errors.js';
import type { MachineSpec, VmmCapabilities } from './driver.js';
import type { MemoryFeature, MemoryLayout } from './memory.js';

/** The multiple of `stepMiB` from `minMiB` to `maxMiB` that is nearest to `mib`. */
export function nearestSize(mib: number, stepMiB: number, minMiB: number, maxMiB: number): number {
  const least = Math.ceil(minMiB / stepMiB) * stepMiB;
  const most = Math.floor(maxMiB / stepMiB) * stepMiB;
  const nearest = Math.round(mib / stepMiB) * stepMiB;
  return Number.isFinite(mib) ? Math.max(least, Math.min(most, nearest)) : least;
}

/** @throws SparklerError INVALID_REQUEST, with the nearest size that works. */
export function checkSize(
  what: string,
  mib: number,
  stepMiB: number,
  [minMiB, maxMiB]: readonly [number, number],
): void {
  const nearest = nearestSize(mib, stepMiB, minMiB, maxMiB);
  if (mib === nearest) return;
  const range = maxMiB === Infinity ? `${minMiB} or more` : `${minMiB} to ${maxMiB}`;
  const message = `${what} cannot be ${mib} MiB: it is a multiple of ${stepMiB}, ${range}. The nearest is ${nearest}.`;
  throw new SparklerError('INVALID_REQUEST', message);
}

/**
 * Whether a VMM can make this machine's memory.
 * @throws SparklerError OPERATION_UNSUPPORTED with the VMM's reason; INVALID_REQUEST for a size.
 */
export function checkMemoryLayout(
  spec: Pick<MachineSpec, 'memMiB' | 'memory'>,
  capabilities: VmmCapabilities,
): void {
  const { balloon, hotplug, blocks } = spec.memory ?? {};
  const needed: readonly (MemoryFeature | false)[] = [
    balloon !== undefined && 'balloon',
    hotplug !== undefined && 'hotplug',
    blocks !== undefined && blocks.length > 0 && 'blocks',
  ];
  for (const feature of needed) {
    if (feature === false || capabilities.memory.includes(feature)) continue;
    const why = capabilities.missingMemory?.[feature] ?? 'it has no such device';
    throw new SparklerError('OPERATION_UNSUPPORTED', `This VMM has no memory ${feature}: ${why}.`);
  }
  const { hotplugMiB, blockMiB } = capabilities.memorySteps;
  if (hotplug) checkHotplug(hotplug, hotplugMiB);
  for (const { memMiB } of blocks ?? []) {
    checkSize('A block of memory', memMiB, blockMiB, [blockMiB, Infinity]);
  }
  if (blocks && blocks.length > capabilities.maxBlocks) {
    const message = `A machine can have ${capabilities.maxBlocks} blocks of memory, not ${blocks.length}. Ask for fewer and larger ones.`;
    throw new SparklerError('INVALID_REQUEST', message);
  }
}

/**
 * A VMM that is forked shares memory that lies beside `memMiB`, and its guest would write into that
 * of another one.
 * @throws SparklerError OPERATION_UNSUPPORTED
 */
export function checkForkable({ vmId, memory }: Pick<MachineSpec, 'vmId' | 'memory'>): void {
  if (!memory?.hotplug && !memory?.blocks?.length) return;
  const message = `VM ${vmId} has blocks of memory, or memory to plug in: its VMM cannot be forked. Restore its snapshot from the file.`;
  throw new SparklerError('OPERATION_UNSUPPORTED', message, { step: 'restore' });
}

function checkHotplug(
  { maxMiB, stepMiB }: NonNullable<MemoryLayout['hotplug']>,
  leastMiB: number,
): void {
  const step = stepMiB ?? leastMiB;
  if (step < leastMiB || !Number.isInteger(Math.log2(step / leastMiB))) {
    const message = `Memory cannot be plugged in in steps of ${step} MiB: they are ${leastMiB}, doubled some times.`;
    throw new SparklerError('INVALID_REQUEST', message);
  }
  checkSize('Memory to plug in', maxMiB, step, [step, Infinity]);
}

/** Why a snapshot is refused; see VmHandle. */
export function unsavedMemory(vmId: string): SparklerError {
  const message = `VM ${vmId} has memory in use that a snapshot does not hold. End what runs in its blocks and discard them, and unplug what was plugged in.`;
  return new SparklerError('OPERATION_UNSUPPORTED', message, { step: 'snapshot' });
}
