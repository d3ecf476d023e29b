/** The plan of a layered restore as the preload reads it: see native/qemu-preload/memory.c. */
import type { MappedRegion, MemorySource } from '../driver.js';

const MAGIC = 'SPKLMAP1';
const HEADER_BYTES = 24;
const REGION_BYTES = 32;

const FILE: Record<MappedRegion['from'], number> = { memory: 0, workingSet: 1, base: 2 };
const POPULATE: Record<MappedRegion['populate'], number> = { no: 0, read: 1, write: 2 };

type Layers = Extract<MemorySource, { kind: 'layers' }>;

/** Plans of regions that come again and again: the clones of a snapshot are given the same ones. */
const encoded = new WeakMap<Layers['regions'], { readonly of: string; readonly plan: Buffer }>();

/** The plan's bytes for a guest memory of `memoryBytes`; not to be changed, nor are the regions. */
export function encodePlan(layers: Layers, memoryBytes: number): Buffer {
  const of = `${layers.base} ${memoryBytes}`;
  const known = encoded.get(layers.regions);
  if (known?.of === of) return known.plan;
  const plan = encode(layers, memoryBytes);
  encoded.set(layers.regions, { of, plan });
  return plan;
}

function encode(layers: Layers, memoryBytes: number): Buffer {
  const { base, regions } = layers;
  const plan = Buffer.alloc(HEADER_BYTES + regions.length * REGION_BYTES);
  plan.write(MAGIC, 'latin1');
  plan.writeUInt32LE(regions.length, 8);
  plan.writeUInt32LE(base === 'anonymous' ? 1 : 0, 12);
  plan.writeBigUInt64LE(BigInt(memoryBytes), 16);
  regions.forEach((region, index) => {
    const at = HEADER_BYTES + index * REGION_BYTES;
    plan.writeBigUInt64LE(BigInt(region.page), at);
    plan.writeBigUInt64LE(BigInt(region.pages), at + 8);
    plan.writeBigUInt64LE(BigInt(region.filePage), at + 16);
    plan.writeUInt32LE(FILE[region.from], at + 24);
    plan.writeUInt32LE(POPULATE[region.populate], at + 28);
  });
  return plan;
}
