/** For tests only: writes zip files by hand, so that they can be wrong in every way. */
import { crc32, deflateRawSync } from 'node:zlib';

/** One entry of a zip file; every field but the name has an honest default. */
export interface ZipEntry {
  readonly name: string | Buffer;
  readonly data?: Buffer | string;
  /** 0 stored, 8 deflated. */
  readonly method?: number;
  readonly flags?: number;
  /** Unix mode with file type; 0 as Windows tools write it. */
  readonly mode?: number;
  /** What the headers claim instead of the truth. */
  readonly claim?: {
    readonly bytes?: number;
    readonly compressedBytes?: number;
    readonly crc32?: number;
  };
  readonly extra?: Buffer;
}

/** What the end record claims instead of the truth. */
export interface ZipClaims {
  readonly entries?: number;
  readonly comment?: string;
  readonly disk?: number;
}

const VERSION = 20;
const MADE_BY_UNIX = (3 << 8) | VERSION;
const UTF8_FLAG = 0x800;

/** The bytes of a zip file with `entries`. */
export function makeZip(entries: readonly ZipEntry[], claims: ZipClaims = {}): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const data = Buffer.from(entry.data ?? '');
    const method = entry.method ?? 8;
    const stored = method === 8 ? deflateRawSync(data) : data;
    const name = Buffer.from(entry.name);
    const extra = entry.extra ?? Buffer.alloc(0);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(VERSION, 0);
    shared.writeUInt16LE(entry.flags ?? UTF8_FLAG, 2);
    shared.writeUInt16LE(method, 4);
    shared.writeUInt32LE(entry.claim?.crc32 ?? crc32(data), 10);
    shared.writeUInt32LE(entry.claim?.compressedBytes ?? stored.length, 14);
    shared.writeUInt32LE(entry.claim?.bytes ?? data.length, 18);
    shared.writeUInt16LE(name.length, 22);
    shared.writeUInt16LE(extra.length, 24);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), shared, name, extra, stored]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    const madeBy = Buffer.alloc(2);
    madeBy.writeUInt16LE(MADE_BY_UNIX);
    centrals.push(Buffer.concat([Buffer.from('PK\x01\x02'), madeBy, shared, tail, name, extra]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const count = claims.entries ?? entries.length;
  const end = Buffer.alloc(18);
  end.writeUInt16LE(claims.disk ?? 0, 0);
  end.writeUInt16LE(count, 4);
  end.writeUInt16LE(count, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  const comment = Buffer.from(claims.comment ?? '');
  end.writeUInt16LE(comment.length, 16);
  return Buffer.concat([...locals, directory, Buffer.from('PK\x05\x06'), end, comment]);
}
