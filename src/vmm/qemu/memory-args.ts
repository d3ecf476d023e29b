/**
 * The part of QEMU's command line that makes guest memory: a pure function of the machine.
 *
 * Memory beside `memMiB` is virtio-mem: each block is a device of its own whose NUMA node has
 * nothing else, so that all of it is plugged in by the guest, as movable memory. The firmware's
 * tables name a node without boot memory and without processors only for an initiator in it
 * (acpi-generic-initiator): the block's own device is that.
 */
import type { MachineSpec } from '../driver.js';
import type { MemoryLayout } from '../memory.js';

/** The paths by which the preload recognizes guest memory; see native/qemu-preload. */
const MEMORY_PATH = '/sparkler/memory';
const BLOCK_PATH = '/sparkler/block/';

/** The device ids of QMP. */
export const BALLOON = 'balloon';
export const HOTPLUG = 'hotplug';
export const blockDevice = (block: number): string => `block${block}`;

/**
 * What a stock guest plugs in at once, when its device does not ask for larger steps: a page block
 * of the x86 kernel. Also the step of QEMU's device.
 */
export const STEP_MIB = 2;

/**
 * The kernel adds memory in blocks of so much (x86-64, below 64 GiB), from multiples of it on; parts
 * of such a block can be plugged in, but two devices cannot share one.
 */
const SECTION_MIB = 128;

/** First PCI slot of the blocks, eight to a slot; QEMU gives those below to all other devices. */
const FIRST_SLOT = 8;
const SLOTS = 8;
const FUNCTIONS = 8;
export const MAX_BLOCKS = SLOTS * FUNCTIONS;

const spanOf = (mib: number): number => Math.ceil(mib / SECTION_MIB) * SECTION_MIB;

/** In place of `memory-backend=memory` where NUMA nodes say what each has. */
export const namesMemory = ({ memory }: MachineSpec): boolean => !memory?.blocks?.length;

/** `-m` and all memory backends. The file is first: a template stops where it is opened. */
export function memoryArgs(spec: MachineSpec): string[] {
  const { memMiB, vcpus } = spec;
  const { hotplug, blocks = [] } = spec.memory ?? {};
  const beside = [hotplug?.maxMiB ?? 0, ...blocks.map((block) => block.memMiB)];
  const besideMiB = beside.reduce((sum, mib) => sum + spanOf(mib), 0);
  const numa = blocks.flatMap((_, k) => ['-numa', `node,nodeid=${k + 1}`]);
  return [
    ...['-m', besideMiB === 0 ? `${memMiB}M` : `${memMiB}M,maxmem=${memMiB + besideMiB}M`],
    ...[
      '-object',
      `memory-backend-file,id=memory,size=${memMiB}M,share=on,mem-path=${MEMORY_PATH}`,
    ],
    ...(hotplug ? backend(0, hotplug.maxMiB) : []),
    ...blocks.flatMap(({ memMiB: size }, k) => backend(k + 1, size)),
    ...(blocks.length === 0
      ? []
      : ['-numa', `node,nodeid=0,memdev=memory,cpus=0-${vcpus - 1}`, ...numa]),
  ];
}

function backend(number: number, mib: number): string[] {
  const id = `block-memory${number}`;
  const path = `${BLOCK_PATH}${number}`;
  return ['-object', `memory-backend-file,id=${id},size=${spanOf(mib)}M,share=on,mem-path=${path}`];
}

/** After all other devices: those without a place take the lowest slots. */
export function memoryDeviceArgs({ balloon, hotplug, blocks = [] }: MemoryLayout): string[] {
  return [
    ...(balloon ? ['-device', balloonDevice(balloon.freePageReporting)] : []),
    ...(hotplug ? ['-device', hotplugDevice(hotplug)] : []),
    ...blocks.flatMap(({ memMiB }, k) => blockArgs(k + 1, memMiB)),
  ];
}

/**
 * A guest that runs out of memory takes it out of its balloon rather than end a process. One that
 * keeps its free pages at zero (`init_on_free`) would find a snapshot's old bytes in a page that it
 * reported free: without `page-poison` it does not report any.
 */
const balloonDevice = (reporting: boolean): string =>
  `virtio-balloon-pci,id=${BALLOON},deflate-on-oom=on,page-poison=off,free-page-reporting=${reporting ? 'on' : 'off'}`;

function hotplugDevice({ stepMiB, populated }: NonNullable<MemoryLayout['hotplug']>): string {
  const step = stepMiB === undefined ? '' : `,block-size=${stepMiB}M`;
  const prealloc = populated === true ? ',prealloc=on' : '';
  return `virtio-mem-pci,id=${HOTPLUG},memdev=block-memory0${step}${prealloc}`;
}

/** Without interrupt vectors of its own: so many devices would use up those of one processor. */
function blockArgs(block: number, mib: number): string[] {
  const id = blockDevice(block);
  const slot = FIRST_SLOT + Math.floor((block - 1) / FUNCTIONS);
  const fn = (block - 1) % FUNCTIONS;
  const place = `addr=${slot.toString(16)}.${fn}${fn === 0 ? ',multifunction=on' : ''}`;
  return [
    '-device',
    `virtio-mem-pci,id=${id},memdev=block-memory${block},node=${block},requested-size=${mib}M,vectors=0,${place}`,
    '-object',
    `acpi-generic-initiator,id=initiator${block},pci-dev=${id},node=${block}`,
  ];
}

/**
 * Kernel parameters of a guest with memory beside `memMiB`: it comes as movable memory, so that it
 * can go again; no 64 MiB are set aside for devices that cannot reach it, since there are none; and
 * no process's pages are unmapped to learn from which node it uses them.
 */
export function memoryKernelArgs(memory: MemoryLayout | undefined): string[] {
  const hasBlocks = (memory?.blocks?.length ?? 0) > 0;
  if (!memory?.hotplug && !hasBlocks) return [];
  const always = ['memhp_default_state=online_movable', 'swiotlb=noforce'];
  return hasBlocks ? [...always, 'numa_balancing=disable'] : always;
}
