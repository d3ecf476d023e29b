/** Which blocks an instance gets: plain data in, plain data out. */

/** A block that may be given away. */
export interface FreeBlock {
  /** The guest's NUMA node. */
  readonly node: number;
  readonly memMiB: number;
  /** The host has memory for it already: it is given away before an equal one that has none. */
  readonly warm: boolean;
}

/** The blocks of an instance, or what is missing. */
export type Choice =
  { readonly nodes: readonly number[] } | { readonly nodes?: undefined; readonly freeMiB: number };

/**
 * Chooses blocks for `memMiB`: those that leave the least unused; among these the fewest; among
 * these warm ones, then those of low number. A sum below `memMiB` is never chosen.
 */
export function chooseBlocks(free: readonly FreeBlock[], memMiB: number): Choice {
  const sizes = best(free, memMiB);
  if (sizes === undefined) return { freeMiB: sumOf(free) };
  const left = [...free].sort((a, b) => Number(b.warm) - Number(a.warm) || a.node - b.node);
  const nodes = sizes.map((size) => {
    const at = left.findIndex((block) => block.memMiB === size);
    return left.splice(at, 1)[0]?.node ?? 0;
  });
  return { nodes: nodes.sort((a, b) => a - b) };
}

/** Sizes that the free blocks could make up between them, MiB, ascending; 0 is among them. */
export function sums(blocks: readonly { readonly memMiB: number }[]): number[] {
  const reachable = new Set([0]);
  for (const { memMiB } of blocks) for (const sum of [...reachable]) reachable.add(sum + memMiB);
  return [...reachable].sort((a, b) => a - b);
}

/** `1 × 512 MiB, 2 × 1024 MiB`; `none` when there are none. */
export function describeSizes(blocks: readonly { readonly memMiB: number }[]): string {
  const counts = new Map<number, number>();
  for (const { memMiB } of blocks) counts.set(memMiB, (counts.get(memMiB) ?? 0) + 1);
  const parts = [...counts].sort(([a], [b]) => a - b).map(([size, n]) => `${n} × ${size} MiB`);
  return parts.join(', ') || 'none';
}

export function sumOf(blocks: readonly { readonly memMiB: number }[]): number {
  return blocks.reduce((sum, { memMiB }) => sum + memMiB, 0);
}

/** The sizes of the fewest blocks whose sum is the least that is enough. */
function best(free: readonly FreeBlock[], memMiB: number): readonly number[] | undefined {
  // For each sum that some blocks make up: the fewest that do.
  let fewest = new Map<number, readonly number[]>([[0, []]]);
  for (const { memMiB: size } of free) {
    const next = new Map(fewest);
    for (const [sum, sizes] of fewest) {
      const known = next.get(sum + size);
      // What is enough already only wastes with one more.
      if (sum >= memMiB || (known && known.length <= sizes.length + 1)) continue;
      next.set(sum + size, [...sizes, size]);
    }
    fewest = next;
  }
  const enough = [...fewest.keys()].filter((sum) => sum >= memMiB);
  return enough.length === 0 ? undefined : fewest.get(Math.min(...enough));
}
