/**
 * Policy `blocks`: beside its base the VM has blocks, each a NUMA node with nothing but memory. An
 * instance is bound to blocks of its own, so that what it used is free as a whole when it ends.
 */
import { SparklerError } from '../errors.js';
import { sumOf } from './allocator.js';
import { BlockMemory } from './block-memory.js';
import type { MemoryPlan, MemoryPolicy, MemoryVm, MemoryWish } from './policy.js';
import { alignUp, mustHoldOne, pageTableMiB } from './sizes.js';

/** Blocks are multiples of this: what a guest's kernel adds and removes at a time, MiB. */
const UNIT_MIB = 128;

/** NUMA nodes that a guest's kernel knows beside its base. */
const MAX_BLOCKS = 63;

const baseFor = ({ settings }: MemoryWish, blocksMiB: number): number =>
  settings.baseMiB + pageTableMiB(blocksMiB);

function refused(field: string, reason: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${reason}.`, { field });
}

/** Blocks of these sizes. */
function listed(wish: MemoryWish, sizes: readonly number[]): MemoryPlan {
  for (const size of sizes) {
    if (Number.isSafeInteger(size) && size > 0 && size % UNIT_MIB === 0) continue;
    const near = alignUp(Math.max(1, size), UNIT_MIB);
    const below = near - UNIT_MIB;
    const others = below > 0 && below !== size ? `${below} and ${near}` : String(near);
    throw refused('blocks', `${size} MiB is no size of a block; the nearest that work: ${others}`);
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
  const size = alignUp(settings.blockMiB || instanceMiB, UNIT_MIB);
  const each = Math.ceil(instanceMiB / size);
  const wanted = settings.instances * each * size;
  const maxMiB = memMiB ?? baseFor(wish, wanted) + wanted;
  const own = baseFor(wish, memMiB ?? wanted);
  mustHoldOne(maxMiB, own, each * size);
  const count = Math.floor((maxMiB - own) / size);
  return planOf(wish, maxMiB, Array<number>(count).fill(size));
}

function planOf(wish: MemoryWish, maxMiB: number, sizes: readonly number[]): MemoryPlan {
  if (sizes.length > MAX_BLOCKS) {
    const message = `A VM has at most ${MAX_BLOCKS} blocks of memory, not ${sizes.length}: take larger ones.`;
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

/** @throws SparklerError OPERATION_UNSUPPORTED unless the guest's kernel has all blocks. */
async function mustHaveBlocks(vm: MemoryVm): Promise<void> {
  const { nodes } = await vm.guest.memory();
  const missing = (vm.plan.layout?.blocks ?? []).flatMap((_, i) =>
    nodes.some(({ node, managedKiB }) => node === i + 1 && managedKiB > 0) ? [] : [i + 1],
  );
  if (missing.length === 0) return;
  const message = `The kernel of VM ${vm.vmId} did not bring up its blocks of memory (nodes ${missing.join(', ')} are missing): memory_policy blocks needs a kernel with NUMA and memory hotplug.`;
  throw new SparklerError('OPERATION_UNSUPPORTED', message, { field: 'memory_policy' });
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
