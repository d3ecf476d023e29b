/** All policies. A new one is a file here and a line in this list. */
import { SparklerError } from '../errors.js';
import type { VmmCapabilities } from '../vmm/index.js';
import { balloonPolicy } from './balloon.js';
import { blocksPolicy } from './blocks.js';
import type { MemoryPlan, MemoryPolicy, MemoryWish, PolicyName } from './policy.js';
import { staticPolicy } from './static.js';
import { virtioMemPolicy } from './virtio-mem.js';

const POLICIES: Readonly<Record<PolicyName, MemoryPolicy>> = {
  static: staticPolicy,
  balloon: balloonPolicy,
  'virtio-mem': virtioMemPolicy,
  blocks: blocksPolicy,
};

export function policyOf(name: PolicyName): MemoryPolicy {
  return POLICIES[name];
}

/** Why the VMM cannot do it; undefined: it can. */
export function policyMissing(
  name: PolicyName,
  { vmm, memory, missingMemory }: VmmCapabilities,
): string | undefined {
  const missing = policyOf(name).needs.find((need) => !memory.includes(need));
  return missing && (missingMemory?.[missing] ?? `${vmm} cannot do it`);
}

/**
 * What a VM's memory is made of under a policy.
 * @throws SparklerError OPERATION_UNSUPPORTED when the VMM cannot do it, with the reason;
 * INVALID_REQUEST for sizes that cannot be, with the nearest that can.
 */
export function planMemory(
  name: PolicyName,
  wish: MemoryWish,
  capabilities: VmmCapabilities,
): MemoryPlan {
  const missing = policyMissing(name, capabilities);
  if (missing !== undefined) {
    const message = `The memory policy ${name} is not to be had here: ${missing}.`;
    throw new SparklerError('OPERATION_UNSUPPORTED', message, { field: 'memory_policy' });
  }
  if (wish.blocksMiB?.length && name !== 'blocks') {
    const message = `blocks: only the memory policy blocks has blocks; this VM has ${name}.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'blocks' });
  }
  return policyOf(name).plan(wish);
}
