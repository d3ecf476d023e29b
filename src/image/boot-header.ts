/**
 * The Linux x86 boot protocol: where a bzImage keeps the compressed kernel. Starting the ELF
 * kernel inside directly (PVH) saves the guest from decompressing it on every boot.
 * See Documentation/arch/x86/boot.rst of the kernel.
 */
import { SparklerError } from '../errors.js';

const SETUP_SECTS = 0x1f1;
const MAGIC = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** The first protocol version whose header names the payload. */
const VERSION_WITH_PAYLOAD = 0x0208;
const SECTOR_BYTES = 512;
/** A setup_sects of zero means this many, for historical reasons. */
const DEFAULT_SETUP_SECTS = 4;
/** The kernel's build appends the uncompressed size (u32, little-endian) to the stream. */
const SIZE_SUFFIX_BYTES = 4;

/** How the payload of a kernel is compressed. */
type Compression = 'zstd' | 'xz' | 'gzip';

/** The compressed kernel inside a bzImage. */
export interface Payload {
  readonly compression: Compression;
  /** The compressed stream, without the size that follows it. */
  readonly data: Buffer;
  /** Bytes of the ELF file that the stream decompresses to. */
  readonly uncompressedBytes: number;
}

const SIGNATURES: readonly (readonly [Compression, readonly number[]])[] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['gzip', [0x1f, 0x8b]],
];

/**
 * Finds the compressed kernel in `image`, the bytes of a bzImage (`vmlinuz`).
 * @throws SparklerError IMAGE_BUILD_FAILED when it is none, or is compressed in another way.
 */
export function findPayload(image: Buffer): Payload {
  if (image.length < PAYLOAD_LENGTH + 4 || image.toString('latin1', MAGIC, MAGIC + 4) !== 'HdrS') {
    throw unusable('it has no Linux boot header');
  }
  const version = image.readUInt16LE(VERSION);
  if (version < VERSION_WITH_PAYLOAD) {
    throw unusable(`its boot protocol ${(version / 256).toFixed(0)}.${version % 256} is too old`);
  }
  const sectors = image.readUInt8(SETUP_SECTS);
  const setup = (sectors === 0 ? DEFAULT_SETUP_SECTS : sectors) + 1;
  const start = setup * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + image.readUInt32LE(PAYLOAD_LENGTH);
  if (end > image.length || end - start <= SIZE_SUFFIX_BYTES) {
    throw unusable('its payload lies outside of the file');
  }
  const data = image.subarray(start, end - SIZE_SUFFIX_BYTES);
  const known = SIGNATURES.find(([, bytes]) =>
    data.subarray(0, bytes.length).equals(Buffer.from(bytes)),
  );
  if (known === undefined) {
    const first = data.subarray(0, 6).toString('hex');
    throw unusable(`its compression is none of zstd, xz and gzip (it starts with ${first})`);
  }
  return {
    compression: known[0],
    data,
    uncompressedBytes: image.readUInt32LE(end - SIZE_SUFFIX_BYTES),
  };
}

/** Checks that `start`, a file's first bytes, are those of a 64-bit x86 ELF file. */
export function isKernelElf(start: Buffer): boolean {
  const machine = 18;
  const x86_64 = 62;
  return (
    start.length >= machine + 2 &&
    start.readUInt32BE(0) === 0x7f454c46 &&
    start.readUInt8(4) === 2 &&
    start.readUInt16LE(machine) === x86_64
  );
}

function unusable(reason: string): SparklerError {
  return new SparklerError('IMAGE_BUILD_FAILED', `The kernel image cannot be used: ${reason}.`);
}
