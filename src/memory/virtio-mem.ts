/**
 * Policy `virtio-mem`: the VM boots with its base, and the memory of each instance is plugged in
 * before the instance starts and unplugged after its end.
 */
import { deviceOf } from './ask.js';
import { FollowingMemory } from './following.js';
import type { MemoryPolicy } from './policy.js';
import { mustHoldOne, pageTableMiB } from './sizes.js';

/** What the device plugs at least, and multiples of it, MiB. */
const UNIT_MIB = 2;

export const virtioMemPolicy: MemoryPolicy = {
  name: 'virtio-mem',
  needs: ['hotplug'],
  plan: ({ instanceMiB, memMiB, settings }) => {
    const instances = settings.instances * Math.ceil(instanceMiB / UNIT_MIB) * UNIT_MIB;
    // What describes plugged memory may lie in the base.
    const own = settings.baseMiB + pageTableMiB(memMiB ?? instances);
    const wanted = memMiB ?? own + instances;
    mustHoldOne(wanted, own, Math.ceil(instanceMiB / UNIT_MIB) * UNIT_MIB);
    const maxMiB = Math.floor((wanted - own) / UNIT_MIB) * UNIT_MIB;
    const baseMiB = wanted - maxMiB;
    return {
      ...{ policy: 'virtio-mem', memMiB: baseMiB, baseMiB, maxMiB: wanted, instanceMiB },
      layout: { hotplug: { maxMiB } },
    };
  },
  open: (vm) => {
    const { baseMiB } = vm.plan;
    return Promise.resolve(
      new FollowingMemory(vm, {
        unitMiB: UNIT_MIB,
        startMiB: baseMiB,
        set: async (memMiB, limitMs) => {
          const resized = await deviceOf(vm).setPlugged(memMiB - baseMiB, limitMs);
          return { ...resized, mib: baseMiB + resized.mib };
        },
        shown: async () => {
          const { residentBytes } = await deviceOf(vm).state();
          return { residentBytes };
        },
      }),
    );
  },
};
