/** A snapshot's manifest: what it is, what it needs, and how to tell that it is whole. */
import { crc32 } from 'node:zlib';
import { SparklerError } from '../errors.js';
import type { MemoryPlan } from '../memory/index.js';
import type { VmmCapabilities } from '../vmm/index.js';

export const MANIFEST_FORMAT = 2;

/** The VMM that wrote the state and the only one that may read it. */
export type VmmIdentity = Pick<
  VmmCapabilities,
  'vmm' | 'version' | 'machine' | 'cpuModel' | 'accelerator'
>;

/** How a snapshot's non-zero regions are found; sizes in pages. */
export interface RegionSettings {
  /** The snapshot has overlay regions: `record_regions`. */
  readonly record: boolean;
  /** Gaps of fewer zero pages become part of a region. */
  readonly intervalThreshold: number;
  /** Shorter regions are not mapped on their own. */
  readonly sizeThreshold: number;
}

export interface SnapshotManifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly ssId: string;
  /** The VM that it was taken of. */
  readonly vmId: string;
  readonly functionName: string;
  /** Aliases, for people; the ids below decide whether a snapshot fits. */
  readonly image: string;
  readonly kernel: string;
  readonly imageId: string;
  readonly kernelId: string;
  readonly codeId: string;
  /** Which settings of the function its instances were started with; absent: not known. */
  readonly settingsId?: string;
  readonly vcpus: number;
  readonly memMiB: number;
  /** What its memory is made of beside that, and how it follows instances; absent: it is static. */
  readonly memory?: MemoryPlan;
  readonly kernelArgs: string;
  /** Numbers of the instances alive in the guest. */
  readonly instances: readonly number[];
  readonly vmm: VmmIdentity;
  /** File names: relative to the manifest's folder, or absolute where the caller chose a place. */
  readonly memoryFile: string;
  readonly stateFile: string;
  readonly memoryBytes: number;
  readonly stateBytes: number;
  /** CRC32C of each 64 KiB of the device state, the last one shorter. */
  readonly stateSums: readonly number[];
  /**
   * SHA-256 over the memory's checksum table (file `sums`: CRC32C of each 64 KiB), hexadecimal: the
   * memory's identity, which all that is derived from it carries. Empty for the moment between the
   * snapshot and its summing up.
   */
  readonly memoryId: string;
  /** CRC32C of the bitmap of pages that are not zero (file `nonzero`); 0 while `memoryId` is empty. */
  readonly nonZeroSum: number;
  /** FaaSnap's regions, as `POST /snapshots` asked for them. */
  readonly regions: RegionSettings;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The files are known to be on the disk, not only in the page cache. */
  readonly durable: boolean;
  /** The host's boot in which it was taken: a snapshot that is not durable does not outlive it. */
  readonly bootId: string;
}

/** The manifest as text, closed by a checksum over everything else in it. */
export function encodeManifest(manifest: SnapshotManifest): string {
  const checksum = crc32(JSON.stringify(manifest));
  return `${JSON.stringify({ ...manifest, checksum }, null, 2)}\n`;
}

/** @throws SparklerError SNAPSHOT_UNUSABLE saying what is wrong with the text. */
export function decodeManifest(text: string): SnapshotManifest {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw unusable('its manifest is not JSON', error);
  }
  if (!isRecord(parsed)) throw unusable('its manifest is not an object');
  const { checksum, ...rest } = parsed;
  if (rest['format'] !== MANIFEST_FORMAT) {
    throw unusable(`its manifest has format ${String(rest['format'])}, not ${MANIFEST_FORMAT}`);
  }
  if (checksum !== crc32(JSON.stringify(rest))) throw unusable('its manifest is damaged');
  const wrong = wrongField(rest, SHAPE);
  if (wrong !== undefined) throw unusable(`its manifest lacks a usable ${wrong}`);
  return rest as unknown as SnapshotManifest;
}

/** What `decodeManifest` and `load` throw; the caller knows which snapshot it is about. */
export function unusable(reason: string, cause?: unknown): SparklerError {
  return new SparklerError(
    'SNAPSHOT_UNUSABLE',
    `The snapshot cannot be used: ${reason}.`,
    {},
    cause,
  );
}

type Shape = { readonly [field: string]: 'string' | 'number' | 'boolean' | 'numbers' | Shape };

const SHAPE: Shape = {
  ssId: 'string',
  vmId: 'string',
  functionName: 'string',
  image: 'string',
  kernel: 'string',
  imageId: 'string',
  kernelId: 'string',
  codeId: 'string',
  vcpus: 'number',
  memMiB: 'number',
  kernelArgs: 'string',
  instances: 'numbers',
  vmm: {
    vmm: 'string',
    version: 'string',
    machine: 'string',
    cpuModel: 'string',
    accelerator: 'string',
  },
  memoryFile: 'string',
  stateFile: 'string',
  memoryBytes: 'number',
  stateBytes: 'number',
  stateSums: 'numbers',
  memoryId: 'string',
  nonZeroSum: 'number',
  regions: { record: 'boolean', intervalThreshold: 'number', sizeThreshold: 'number' },
  createdAt: 'number',
  durable: 'boolean',
  bootId: 'string',
};

/** The first field that does not have its kind, as a path. */
function wrongField(value: Record<string, unknown>, shape: Shape): string | undefined {
  for (const [field, kind] of Object.entries(shape)) {
    const found = value[field];
    if (typeof kind === 'object') {
      const inner = isRecord(found) ? wrongField(found, kind) : '';
      if (inner !== undefined) return inner === '' ? field : `${field}.${inner}`;
    } else if (kind === 'numbers') {
      if (!Array.isArray(found) || !found.every(Number.isSafeInteger)) return field;
    } else if (typeof found !== kind) return field;
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
