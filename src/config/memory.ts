/** The group `memory`: how the memory of a running microVM follows its instances. */
import { Type } from 'typebox';
import { count, flag, whole } from './fields.js';

export const memory = Type.Object(
  {
    policy: Type.Enum(['static', 'balloon', 'virtio-mem', 'blocks'], {
      default: 'static',
      description: 'Memory policy of a microVM that names none.',
    }),
    baseMiB: count(
      256,
      1_048_576,
      "What a guest keeps for itself beside its instances' memory: kernel, agent, cached files, processes kept ready, MiB. What describes the memory to the kernel (a 64th of it) is added.",
    ),
    instances: count(
      4,
      1_000,
      'For how many instances of its function a microVM has memory when its start names no size; not for `static`.',
    ),
    blockMiB: whole(
      0,
      0,
      1_048_576,
      "Size of a block, MiB, where a microVM's start does not list its blocks; 0: the function's memory. It is rounded up to what a guest's kernel can add at a time.",
    ),
    preAllocMem: flag(
      true,
      'Policy `blocks`: the host populates memory ahead while an instance starts, as much as earlier instances of its function needed (`pre_alloc_mem`).',
    ),
    eagerMiB: whole(
      32,
      0,
      1_048_576,
      'How much of it while nothing is known of the function, MiB; 0: none.',
    ),
    preTdpFault: flag(
      false,
      'What is populated is entered in the second-level page tables too, where VMM and kernel can do it (`pre_tdp_fault`).',
    ),
    giveBackMs: whole(
      10_000,
      -1,
      86_400_000,
      'Policy `blocks`: a block that nobody took for so long goes back to the host, ms; 0: at once; -1: never.',
    ),
    restingMiB: whole(
      32,
      0,
      1_048_576,
      'Policy `balloon`: what an instance keeps between two invocations above what it uses, MiB.',
    ),
    freePageReporting: flag(
      false,
      'Policy `balloon`: the guest reports free pages by itself, and the host takes them.',
    ),
    balloonStatsS: whole(
      0,
      0,
      86_400,
      'Policy `balloon`: how often the guest tells its memory statistics, seconds; 0: never. Nothing waits for them.',
    ),
  },
  { default: {}, additionalProperties: false, description: 'Memory of running microVMs.' },
);
