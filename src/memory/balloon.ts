/**
 * Policy `balloon`: the VM boots with all of its memory, and the host takes back by virtio-balloon
 * what no running invocation needs.
 */
import { deviceOf } from './ask.js';
import { FollowingMemory } from './following.js';
import type { MemoryPolicy, MemoryView, MemoryVm } from './policy.js';
import { mibOf, mustHoldOne, pageTableMiB } from './sizes.js';

const KIB_IN_MIB = 1024;

async function shown(vm: MemoryVm): Promise<Partial<MemoryView>> {
  const { residentBytes, guestStats } = await deviceOf(vm).state();
  return { residentBytes, ...(guestStats && { balloonStats: guestStats }) };
}

/** `memMiB` and what describes all of that to the guest's kernel. */
function describing(memMiB: number): number {
  let all = memMiB;
  while (all < memMiB + pageTableMiB(all)) all++;
  return all;
}

export const balloonPolicy: MemoryPolicy = {
  name: 'balloon',
  needs: ['balloon'],
  plan: ({ instanceMiB, memMiB, settings }) => {
    const own = settings.baseMiB;
    const instances = settings.instances * instanceMiB;
    const maxMiB = memMiB ?? describing(own + instances);
    // The guest describes all of its memory to itself, also what the balloon has taken.
    const baseMiB = own + pageTableMiB(maxMiB);
    mustHoldOne(maxMiB, baseMiB, instanceMiB);
    const { freePageReporting, balloonStatsS } = settings;
    const balloon = { freePageReporting, statsS: balloonStatsS };
    return {
      ...{ policy: 'balloon', memMiB: maxMiB, baseMiB, maxMiB, instanceMiB },
      layout: { balloon },
    };
  },
  open: async (vm) => {
    const { plan, settings, capabilities } = vm;
    // A restored VM has what it had when its snapshot was taken.
    const { balloonMiB } = await deviceOf(vm).state();
    return new FollowingMemory(vm, {
      unitMiB: capabilities.memorySteps.balloonMiB,
      startMiB: balloonMiB ?? plan.memMiB,
      set: (memMiB, limitMs) => deviceOf(vm).setBalloon(memMiB, limitMs),
      restingMiB: (currentBytes) => mibOf(currentBytes) + settings.restingMiB,
      takenMiB: (sizeMiB, { totalKiB }) =>
        totalKiB > sizeMiB * KIB_IN_MIB ? plan.memMiB - sizeMiB : 0,
      shown: () => shown(vm),
    });
  },
};
