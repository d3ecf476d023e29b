/**
 * Policy `virtio-mem`: the VM boots with its base, and the memory of each instance is plugged in
 * before the instance starts and unplugged after its end.
 */
import { deviceOf } from './ask.js';
import { FollowingMemory } from './following.js';
import type { MemoryPolicy } from './policy.js';
import { alignUp, elasticPart, mustHoldOne, pageTableMiB } from './sizes.js';

export const virtioMemPolicy: MemoryPolicy = {
  name: 'virtio-mem',
  needs: ['hotplug'],
  plan: ({ instanceMiB, memMiB, settings, capabilities }) => {
    const unit = capabilities.memorySteps.hotplugMiB;
    const each = alignUp(instanceMiB, unit);
    const own = settings.baseMiB;
    const wanted = settings.instances * each;
    const allMiB = memMiB ?? own + pageTableMiB(wanted) + wanted;
    mustHoldOne(allMiB, own + pageTableMiB(each), each);
    const maxMiB = elasticPart(allMiB, own, unit);
    const baseMiB = allMiB - maxMiB;
    return {
      ...{ policy: 'virtio-mem', memMiB: baseMiB, baseMiB, maxMiB: allMiB, instanceMiB },
      layout: { hotplug: { maxMiB } },
    };
  },
  open: async (vm) => {
    const { baseMiB } = vm.plan;
    const { hotplugMiB } = vm.capabilities.memorySteps;
    const { pluggedMiB } = await deviceOf(vm).state();
    return new FollowingMemory(vm, {
      unitMiB: hotplugMiB,
      startMiB: baseMiB + pluggedMiB,
      set: async (memMiB, limitMs) => {
        const resized = await deviceOf(vm).setPlugged(memMiB - baseMiB, limitMs);
        return { ...resized, mib: baseMiB + resized.mib };
      },
      shown: async () => {
        const { residentBytes } = await deviceOf(vm).state();
        return { residentBytes };
      },
    });
  },
};
