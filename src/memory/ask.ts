/** What the guest and the VMM say of a VM's memory. */
import { SparklerError } from '../errors.js';
import type { GuestMemory } from '../guest/index.js';
import type { VmMemory } from '../vmm/index.js';
import type { InstanceView, MemoryView, MemoryVm } from './policy.js';

const KIB = 1024;

export interface Asked {
  /** Undefined: it could not be asked. */
  readonly memory: GuestMemory | undefined;
  readonly shown: Pick<MemoryView, 'usedByGuestBytes' | 'instances'>;
}

/** A guest that stands still or does not answer is left out of the view, which is no error. */
export async function askGuest(
  vm: MemoryVm,
  takenMiB: (memory: GuestMemory) => number = () => 0,
): Promise<Asked> {
  const memory = vm.isRunning() ? await vm.guest.memory().catch(() => undefined) : undefined;
  if (memory === undefined) return { memory, shown: { instances: [] } };
  return {
    memory,
    shown: {
      usedByGuestBytes: usedBytes(memory, takenMiB),
      instances: memory.instances.map(instanceView),
    },
  };
}

/** What is neither free in the guest nor could be at once. */
export function usedBytes(memory: GuestMemory, takenMiB: (memory: GuestMemory) => number): number {
  const { totalKiB, availableKiB } = memory;
  return Math.max(0, totalKiB - availableKiB - takenMiB(memory) * KIB) * KIB;
}

function instanceView(info: GuestMemory['instances'][number]): InstanceView {
  const { instance, currentBytes, peakBytes, limitBytes, nodes } = info;
  const known = { instance, currentBytes, peakBytes, nodes };
  return limitBytes === null ? known : { ...known, limitBytes };
}

/** The device of a VM whose plan has one. */
export function deviceOf({ vmId, memory }: Pick<MemoryVm, 'vmId' | 'memory'>): VmMemory {
  if (memory) return memory;
  throw new SparklerError('INTERNAL', `VM ${vmId} was made without the memory that it needs.`);
}
