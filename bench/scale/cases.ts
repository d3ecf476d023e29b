/** What `bench scale` measures of the mechanisms: sizes by ways by states of the guest. Pure. */

/** Memory that is added and taken away, MiB. */
export const SIZES: readonly number[] = [512, 1024, 2048, 3072];

export type Mechanism = 'balloon' | 'virtio-mem' | 'blocks';

/** A mechanism at its best setting. */
export interface Way {
  readonly name: string;
  readonly mechanism: Mechanism;
  /** The host has memory for it before the function touches it. A balloon has no such thing. */
  readonly populated: boolean;
}

export const WAYS: readonly Way[] = [
  { name: 'balloon', mechanism: 'balloon', populated: false },
  { name: 'virtio-mem', mechanism: 'virtio-mem', populated: false },
  { name: 'virtio-mem, populated', mechanism: 'virtio-mem', populated: true },
  { name: 'blocks', mechanism: 'blocks', populated: false },
  { name: 'blocks, populated', mechanism: 'blocks', populated: true },
];

/** `fresh`: just booted. `used`: functions have come and gone in it. */
export type State = 'fresh' | 'used';

export const caseName = (sizeMiB: number, way: string, state: State): string =>
  `${sizeMiB} MiB: ${way}, ${state}`;

/** What is touched in the write-through experiment, MiB, of this much new memory. */
export const TOUCHED_MIB = 512;
export const TOUCHED_IN_MIB = 640;

export const touchName = (way: string): string => `touching ${TOUCHED_MIB} MiB: ${way}`;

/** What an instance leaves of its memory: the interpreter needs some of it. MiB. */
export const LEFT_MIB = 64;

/** Room beside `sizeMiB` for another function while the guest is used, MiB. */
export const BESIDE_MIB = 256;

/** The guest's own memory without the description of the rest, MiB. */
const BASE_MIB = 448;
/** One MiB of page descriptors for so many MiB of memory. */
const MIB_PER_DESCRIBED = 64;

/** virtio-mem's step: what the guest's kernel adds and removes as a whole on x86. MiB. */
export const PLUG_STEP_MIB = 128;

/** What the guest keeps for itself when `elasticMiB` come and go, MiB. */
export const baseMiBFor = (elasticMiB: number): number =>
  BASE_MIB + Math.ceil(elasticMiB / MIB_PER_DESCRIBED);

/** What the host must have for one VM beside its guest's memory, MiB. */
const VMM_MIB = 512;

/** Why the host cannot hold a VM that grows by `sizeMiB`; undefined: it can. */
export function tooLarge(sizeMiB: number, availableMiB: number): string | undefined {
  const elastic = sizeMiB + BESIDE_MIB;
  const need = baseMiBFor(elastic) + elastic + VMM_MIB;
  if (need <= availableMiB) return undefined;
  return `${sizeMiB} MiB are left out: they need ${need} MiB of the host, which has ${availableMiB} MiB`;
}
