/** Which sizes a VM can have, and what to say to one that it cannot. Pure. */
import { SparklerError } from '../errors.js';

const MIB = 1024 * 1024;

/** MiB that hold `bytes`. */
export const mibOf = (bytes: number): number => Math.ceil(bytes / MIB);

/** The least multiple of `unit` above `from` that is not below `value`. */
export function alignUp(value: number, unit: number, from = 0): number {
  return from + Math.ceil(Math.max(0, value - from) / unit) * unit;
}

/**
 * What describes its pages to the guest's kernel: 64 bytes for each 4 KiB. It lies in the base,
 * whether the memory is there or not. MiB.
 */
export const pageTableMiB = (memMiB: number): number => Math.ceil(memMiB / 64);

/**
 * How much of `memMiB` can come and go, as a multiple of `unit`, when the guest needs `ownMiB` for
 * itself and the description of the rest. MiB; 0 when there is no room.
 */
export function elasticPart(memMiB: number, ownMiB: number, unit: number): number {
  let part = Math.floor(Math.max(0, memMiB - ownMiB) / unit) * unit;
  while (part > 0 && ownMiB + pageTableMiB(part) + part > memMiB) part -= unit;
  return part;
}

/** The sizes a VM can be given by hand, MiB. */
export interface Sizes {
  /** What is in use. */
  readonly min: number;
  readonly max: number;
  /** The greatest possible size that is not above `memMiB`, if any, and the least not below it. */
  readonly around: (
    memMiB: number,
  ) => readonly [below: number | undefined, above: number | undefined];
}

/** Sizes `base`, `base + unit`, … of which those from `inUse` to `max` are possible. */
export function steps(base: number, unit: number, inUse: number, max: number): Sizes {
  const min = alignUp(inUse, unit, base);
  const top = base + Math.floor((max - base) / unit) * unit;
  const within = (size: number): number | undefined =>
    size >= min && size <= top ? size : undefined;
  return {
    min,
    max: top,
    around: (memMiB) => {
      const below = base + Math.floor((Math.min(memMiB, top) - base) / unit) * unit;
      return [within(below), within(alignUp(Math.max(memMiB, min), unit, base))];
    },
  };
}

/** These sizes, ascending and at least one. */
export function oneOf(sizes: readonly number[]): Sizes {
  return {
    min: sizes[0] ?? 0,
    max: sizes.at(-1) ?? 0,
    around: (memMiB) => [
      sizes.findLast((size) => size <= memMiB),
      sizes.find((size) => size >= memMiB),
    ],
  };
}

/** @throws SparklerError INVALID_REQUEST, with the nearest that works, unless `memMiB` is one of `sizes`. */
export function mustBePossible(memMiB: number, sizes: Sizes): void {
  const { min, max } = sizes;
  if (!Number.isSafeInteger(memMiB) || memMiB < 1) throw refused('is not a whole number of MiB');
  if (memMiB > max) throw refused(`is more than the VM can have; the nearest that works is ${max}`);
  if (memMiB < min) throw refused(`is less than is in use; the nearest that works is ${min}`);
  const [below, above] = sizes.around(memMiB);
  if (below === memMiB) return;
  const near = [below, above].filter((size) => size !== undefined);
  const verb = near.length === 1 ? 'works is' : 'work are';
  throw refused(`is no size that the VM can have; the nearest that ${verb} ${near.join(' and ')}`);

  function refused(reason: string): SparklerError {
    return new SparklerError('INVALID_REQUEST', `mem: ${memMiB} MiB ${reason}.`, { field: 'mem' });
  }
}

/** @throws SparklerError INVALID_REQUEST when `memMiB` does not hold the base and one instance. */
export function mustHoldOne(memMiB: number, baseMiB: number, instanceMiB: number): void {
  const least = baseMiB + instanceMiB;
  if (memMiB >= least) return;
  throw new SparklerError(
    'INVALID_REQUEST',
    `mem: ${memMiB} MiB are too few for one instance of ${instanceMiB} MiB beside the guest's own ${baseMiB} MiB; the nearest that works is ${least}.`,
    { field: 'mem' },
  );
}
