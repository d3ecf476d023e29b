/**
 * Policy `blocks`: beside its base the VM has blocks, each a NUMA node with nothing but memory. An
 * instance is bound to blocks of its own, so that what it used is free as a whole when it ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SparklerError } from '../errors.js';
import type { GuestMemory } from '../guest/index.js';
import { nearestSize } from '../vmm/index.js';
import { sumOf } from './allocator.js';
import { deviceOf } from './ask.js';
import { BlockMemory } from './block-memory.js';
import type { MemoryPlan, MemoryPolicy, MemoryVm, MemoryWish } from './policy.js';
import { alignUp, elasticPart, mustHoldOne, pageTableMiB } from './sizes.js';

const KIB_IN_MIB = 1024;

const baseFor = ({ settings }: MemoryWish, blocksMiB: number): number =>
  settings.baseMiB + pageTableMiB(blocksMiB);

function refused(field: string, reason: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${reason}.`, { field });
}

/** Blocks of these sizes. */
function listed(wish: MemoryWish, sizes: readonly number[]): MemoryPlan {
  const { blockMiB } = wish.capabilities.memorySteps;
  for (const size of sizes) {
    const nearest = nearestSize(size, blockMiB, blockMiB, Infinity);
    if (size === nearest) continue;
    const reason = `a block cannot have ${size} MiB; the nearest that works is ${nearest}`;
    throw refused('blocks', reason);
  }
  const all = sumOf(sizes.map((memMiB) => ({ memMiB })));
  const own = baseFor(wish, all);
  if (all < wish.instanceMiB) {
    const message = `one instance needs ${wish.instanceMiB} MiB, the blocks have ${all} MiB together`;
    throw refused('blocks', message);
  }
  const maxMiB = wish.memMiB ?? own + all;
  if (maxMiB < own + all) {
    const least = own + all;
    throw refused(
      'mem',
      `is too few for the blocks and the guest's own ${own} MiB; the nearest that works is ${least}`,
    );
  }
  return planOf(wish, maxMiB, sizes);
}

/** As many blocks of an instance's size as there is memory for; what is over belongs to the base. */
function equal(wish: MemoryWish): MemoryPlan {
  const { settings, instanceMiB, memMiB } = wish;
  const size = alignUp(settings.blockMiB || instanceMiB, wish.capabilities.memorySteps.blockMiB);
  const each = alignUp(instanceMiB, size);
  const wanted = settings.instances * each;
  const maxMiB = memMiB ?? baseFor(wish, wanted) + wanted;
  mustHoldOne(maxMiB, baseFor(wish, each), each);
  const count = elasticPart(maxMiB, settings.baseMiB, size) / size;
  return planOf(wish, maxMiB, Array<number>(count).fill(size));
}

function planOf(wish: MemoryWish, maxMiB: number, sizes: readonly number[]): MemoryPlan {
  const { maxBlocks } = wish.capabilities;
  if (sizes.length > maxBlocks) {
    const message = `A VM has at most ${maxBlocks} blocks of memory, not ${sizes.length}: take larger ones.`;
    throw new SparklerError('LIMIT_EXCEEDED', message, { field: 'mem' });
  }
  const blocks = sizes.map((memMiB) => ({ memMiB }));
  const baseMiB = maxMiB - sumOf(blocks);
  const { instanceMiB } = wish;
  return {
    ...{ policy: 'blocks', memMiB: baseMiB, baseMiB, maxMiB, instanceMiB },
    layout: { blocks },
  };
}

/** How often the guest is asked whether its kernel is through with its blocks, ms. */
const LOOK_MS = 20;

/**
 * Waits until the guest's kernel has all blocks. It tells the device that it takes memory before its
 * page allocator has it.
 * @throws SparklerError OPERATION_UNSUPPORTED when it does not.
 */
async function mustHaveBlocks(vm: MemoryVm): Promise<void> {
  const until = performance.now() + vm.resizeMs;
  const { reached } = await deviceOf(vm).ready(vm.resizeMs);
  let missing = missingNodes(vm, await vm.guest.memory());
  while (reached && missing.length > 0 && performance.now() < until) {
    await sleep(LOOK_MS);
    missing = missingNodes(vm, await vm.guest.memory());
  }
  if (reached && missing.length === 0) return;
  const which = missing.length === 0 ? '' : ` (nodes ${missing.join(', ')} are missing)`;
  const message = `The kernel of VM ${vm.vmId} did not bring up its blocks of memory within ${vm.resizeMs} ms${which}: memory_policy blocks needs a kernel with NUMA and virtio-mem.`;
  throw new SparklerError('OPERATION_UNSUPPORTED', message, { field: 'memory_policy' });
}

/** Blocks of which the guest's page allocator does not have all. */
function missingNodes({ plan }: MemoryVm, { nodes }: GuestMemory): number[] {
  const blocks = (plan.layout?.blocks ?? []).map(({ memMiB }, i) => ({ node: i + 1, memMiB }));
  const isThere = (block: { node: number; memMiB: number }): boolean =>
    nodes.some((one) => one.node === block.node && one.managedKiB >= block.memMiB * KIB_IN_MIB);
  return blocks.filter((block) => !isThere(block)).map(({ node }) => node);
}

export const blocksPolicy: MemoryPolicy = {
  name: 'blocks',
  needs: ['blocks'],
  plan: (wish) => (wish.blocksMiB?.length ? listed(wish, wish.blocksMiB) : equal(wish)),
  open: async (vm) => {
    await mustHaveBlocks(vm);
    return new BlockMemory(vm);
  },
};
