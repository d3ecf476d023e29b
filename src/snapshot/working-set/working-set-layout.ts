/** The working-set file's header and tables as bytes; the format's table is in native/README.md. */
import { unusable } from '../manifest.js';
import { crc32c } from './crc32c.js';
import { countPages, PAGE_BYTES, union, type GroupedRun } from './runs.js';

const MAGIC = Buffer.from('SPKLWSF1');
/** Bytes of the header, at offset 0. */
export const HEADER_BYTES = 4096;
/** Bytes of the data under one checksum. */
export const BLOCK_BYTES = 64 * 1024;
const REGION_BYTES = 16;
const SUM_BYTES = 4;
/** Hexadecimal digits of a memory id, a SHA-256. */
const MEMORY_ID = /^[0-9a-f]{64}$/;

/** Offsets in the header. */
const AT = {
  crc: 8,
  pageSize: 12,
  memoryBytes: 16,
  regions: 24,
  regionsAt: 32,
  sumsAt: 40,
  dataAt: 48,
  dataBytes: 56,
  tablesCrc: 64,
  memoryId: 72,
} as const;

/** A working-set file but for its data. */
export interface WorkingSet {
  /** Of the memory that the pages come from, hexadecimal. */
  readonly memoryId: string;
  readonly memoryBytes: number;
  /** In the order of their data. */
  readonly regions: readonly GroupedRun[];
  /** CRC32C of each BLOCK_BYTES of the data. */
  readonly sums: readonly number[];
  /** Offset of the data in the file, a multiple of PAGE_BYTES. */
  readonly dataAt: number;
  readonly dataBytes: number;
}

/** Where the data begins and how long it is, for these regions. */
export function layoutOf(regions: readonly GroupedRun[]): { dataAt: number; dataBytes: number } {
  const dataBytes = countPages(regions) * PAGE_BYTES;
  const tables = regions.length * REGION_BYTES + Math.ceil(dataBytes / BLOCK_BYTES) * SUM_BYTES;
  const dataAt = HEADER_BYTES + Math.ceil(tables / PAGE_BYTES) * PAGE_BYTES;
  return { dataAt, dataBytes };
}

/**
 * Header and tables, padded up to the data.
 * @throws SparklerError SNAPSHOT_UNUSABLE when regions overlap or leave the memory.
 */
export function encodeWorkingSet(set: WorkingSet): Buffer {
  const wrong = wrongRegions(set.regions, set.memoryBytes) ?? wrongId(set.memoryId);
  if (wrong !== undefined) throw unusable(wrong);
  const bytes = Buffer.alloc(set.dataAt);
  const sumsAt = HEADER_BYTES + set.regions.length * REGION_BYTES;
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(PAGE_BYTES, AT.pageSize);
  writeNumber(bytes, set.memoryBytes, AT.memoryBytes);
  writeNumber(bytes, set.regions.length, AT.regions);
  writeNumber(bytes, HEADER_BYTES, AT.regionsAt);
  writeNumber(bytes, sumsAt, AT.sumsAt);
  writeNumber(bytes, set.dataAt, AT.dataAt);
  writeNumber(bytes, set.dataBytes, AT.dataBytes);
  bytes.write(set.memoryId, AT.memoryId, 'hex');
  set.regions.forEach((region, i) => {
    const at = HEADER_BYTES + i * REGION_BYTES;
    writeNumber(bytes, region.page, at);
    bytes.writeUInt32LE(region.pages, at + 8);
    bytes.writeUInt32LE(region.group, at + 12);
  });
  set.sums.forEach((sum, i) => bytes.writeUInt32LE(sum, sumsAt + i * SUM_BYTES));
  const tables = bytes.subarray(HEADER_BYTES, sumsAt + set.sums.length * SUM_BYTES);
  bytes.writeUInt32LE(crc32c(tables), AT.tablesCrc);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, HEADER_BYTES)), AT.crc);
  return bytes;
}

/**
 * The offset of the data, from a header that has been verified.
 * @throws SparklerError SNAPSHOT_UNUSABLE when the header is damaged, or says other things than
 * that a file of `fileBytes` bytes can hold.
 */
export function dataOffset(header: Buffer, fileBytes: number): number {
  const bad = (what: string): Error => unusable(`its working-set file ${what}`);
  if (header.length < HEADER_BYTES) throw bad('is too short');
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) throw bad('is none');
  const blank = Buffer.from(header.subarray(0, HEADER_BYTES));
  blank.writeUInt32LE(0, AT.crc);
  if (crc32c(blank) !== header.readUInt32LE(AT.crc)) throw bad('has a damaged header');
  const dataAt = readNumber(header, AT.dataAt);
  const end = dataAt + readNumber(header, AT.dataBytes);
  if (end !== fileBytes) throw bad(`has ${fileBytes} bytes instead of ${end}`);
  return dataAt;
}

/**
 * Header and tables from a file's first bytes, up to the data (`dataOffset`).
 * @throws SparklerError SNAPSHOT_UNUSABLE when anything in them is not as it must be.
 */
export function decodeWorkingSet(bytes: Buffer, fileBytes: number): WorkingSet {
  const dataAt = dataOffset(bytes, fileBytes);
  const dataBytes = readNumber(bytes, AT.dataBytes);
  const memoryBytes = readNumber(bytes, AT.memoryBytes);
  const count = readNumber(bytes, AT.regions);
  const sumsAt = HEADER_BYTES + count * REGION_BYTES;
  const sumsEnd = sumsAt + Math.ceil(dataBytes / BLOCK_BYTES) * SUM_BYTES;
  const bad = (what: string): Error => unusable(`its working-set file ${what}`);
  const offsets = [readNumber(bytes, AT.regionsAt), readNumber(bytes, AT.sumsAt)];
  if (
    bytes.readUInt32LE(AT.pageSize) !== PAGE_BYTES ||
    offsets[0] !== HEADER_BYTES ||
    offsets[1] !== sumsAt ||
    dataAt !== Math.ceil(sumsEnd / PAGE_BYTES) * PAGE_BYTES ||
    bytes.length < dataAt
  ) {
    throw bad('has tables where none can be');
  }
  const tables = bytes.subarray(HEADER_BYTES, sumsEnd);
  if (crc32c(tables) !== bytes.readUInt32LE(AT.tablesCrc)) throw bad('has damaged tables');
  if (bytes.subarray(sumsEnd, dataAt).some((byte) => byte !== 0)) throw bad('has damaged tables');
  const regions = Array.from({ length: count }, (_, i): GroupedRun => {
    const at = HEADER_BYTES + i * REGION_BYTES;
    const [pages, group] = [bytes.readUInt32LE(at + 8), bytes.readUInt32LE(at + 12)];
    return { page: readNumber(bytes, at), pages, group };
  });
  const wrong = wrongRegions(regions, memoryBytes);
  if (wrong !== undefined) throw unusable(wrong);
  if (countPages(regions) * PAGE_BYTES !== dataBytes)
    throw bad('has more or less data than regions');
  const sums = Array.from({ length: (sumsEnd - sumsAt) / SUM_BYTES }, (_, i) =>
    bytes.readUInt32LE(sumsAt + i * SUM_BYTES),
  );
  const memoryId = bytes.toString('hex', AT.memoryId, AT.memoryId + 32);
  return { memoryId, memoryBytes, regions, sums, dataAt, dataBytes };
}

function wrongRegions(regions: readonly GroupedRun[], memoryBytes: number): string | undefined {
  const limit = memoryBytes / PAGE_BYTES;
  if (regions.some(({ page, pages }) => pages < 1 || page + pages > limit)) {
    return 'its working set has regions outside of its memory';
  }
  const covered = countPages(union(regions, []));
  return covered === countPages(regions) ? undefined : 'its working set has regions that overlap';
}

function wrongId(memoryId: string): string | undefined {
  return MEMORY_ID.test(memoryId) ? undefined : 'its memory id is no SHA-256';
}

function writeNumber(bytes: Buffer, value: number, at: number): void {
  bytes.writeBigUInt64LE(BigInt(value), at);
}

/** A u64; what is too large for a number stays too large for every check. */
function readNumber(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}
