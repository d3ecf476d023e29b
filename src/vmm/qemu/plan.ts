/** The plan of a layered restore as the preload reads it: see native/qemu-preload/memory.c. */
import type { MappedRegion, MemorySource } from '../driver.js';

const MAGIC = 'SPKLMAP1';
const HEADER_BYTES = 24;
const REGION_BYTES = 32;

const FILE: Record<MappedRegion['from'], number> = { memory: 0, workingSet: 1, base: 2 };
const POPULATE: Record<MappedRegion['populate'], number> = { no: 0, read: 1, write: 2 };

/** The plan's bytes for a guest memory of `memoryBytes`. */
export function encodePlan(
  layers: Extract<MemorySource, { kind: 'layers' }>,
  memoryBytes: number,
): Buffer {
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
