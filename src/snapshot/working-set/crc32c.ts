/**
 * CRC32C (Castagnoli, reflected, begun and ended with ~0, as in iSCSI): what the formats that native
 * programs share with the daemon are protected with. `zlib.crc32` is another polynomial.
 */

/** 0x1EDC6F41 with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;
/** Bytes taken in one step. */
const STEP = 8;

/** Table `k` at `256 * k`: the checksum of a byte that is followed by k zero bytes. */
const TABLES = makeTables();

function makeTables(): Uint32Array {
  const tables = new Uint32Array(STEP * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    tables[byte] = value;
  }
  for (let at = 256; at < tables.length; at++) {
    const before = entry(tables, at - 256);
    tables[at] = (before >>> 8) ^ entry(tables, before & 0xff);
  }
  return tables;
}

function entry(tables: Uint32Array, at: number): number {
  return tables[at] as number;
}

/** The checksum of `data`, or of what `before` is the checksum of, followed by `data`. */
export function crc32c(data: Uint8Array, before = 0): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let crc = ~before;
  let at = 0;
  for (; at + STEP <= data.length; at += STEP) {
    const low = view.getUint32(at, true) ^ crc;
    const high = view.getUint32(at + 4, true);
    crc =
      entry(TABLES, 0x700 + (low & 0xff)) ^
      entry(TABLES, 0x600 + ((low >>> 8) & 0xff)) ^
      entry(TABLES, 0x500 + ((low >>> 16) & 0xff)) ^
      entry(TABLES, 0x400 + (low >>> 24)) ^
      entry(TABLES, 0x300 + (high & 0xff)) ^
      entry(TABLES, 0x200 + ((high >>> 8) & 0xff)) ^
      entry(TABLES, 0x100 + ((high >>> 16) & 0xff)) ^
      entry(TABLES, high >>> 24);
  }
  for (; at < data.length; at++) {
    crc = (crc >>> 8) ^ entry(TABLES, (crc ^ view.getUint8(at)) & 0xff);
  }
  return ~crc >>> 0;
}
