/** A recorded working set: which pages one invocation touched, and in which order. */
import { readFile } from 'node:fs/promises';
import { isErrno } from '../../errors.js';
import { unusable } from '../manifest.js';
import { crc32c } from './crc32c.js';
import { writeAt, writeDurably } from './durable.js';
import { countLayers, decodeLayers, encodeLayers, type Layers } from './layers.js';
import { PAGE_BYTES } from './runs.js';

/** What is known of a recording beside its pages. */
export interface RecordingFacts {
  readonly snapshotId: string;
  /** Hexadecimal SHA-256 over the memory's checksum table: it fits no other memory. */
  readonly memoryId: string;
  readonly memoryBytes: number;
  /** Of the event that the function was invoked with: hexadecimal SHA-256, and size in bytes. */
  readonly eventSha256: string;
  readonly eventBytes: number;
  /** Milliseconds since the epoch. */
  readonly recordedAt: number;
}

/** By faults, one page at a time: page numbers in the order of their first touch. */
export interface TraceRecording extends RecordingFacts {
  readonly strategy: 'userfault';
  readonly trace: Uint32Array;
}

/** By scans of the page cache: groups, read-ahead included. */
export interface LayerRecording extends RecordingFacts {
  readonly strategy: 'mincore';
  readonly layers: Layers;
}

export type Recording = TraceRecording | LayerRecording;

/** How much a recording holds. */
export interface RecordingCounts {
  /** Pages in the working set. */
  readonly pages: number;
  /** Groups; 0 for a trace, which has none. */
  readonly groups: number;
}

interface Header extends RecordingFacts, RecordingCounts {
  readonly format: number;
  readonly strategy: Recording['strategy'];
}

/*
 * The file: magic (8 bytes), length of the header (u32), CRC32C of all that follows (u32), the
 * header (JSON), then the pages: u32 numbers of a trace, or a u16 group for each page of the memory.
 */
const MAGIC = Buffer.from('SPKLREC1');
const FORMAT = 1;
const PREFIX_BYTES = 16;
const PAGE_NUMBER_BYTES = 4;

const FIELDS = {
  format: 'number',
  strategy: 'string',
  snapshotId: 'string',
  memoryId: 'string',
  memoryBytes: 'number',
  eventSha256: 'string',
  eventBytes: 'number',
  recordedAt: 'number',
  pages: 'number',
  groups: 'number',
} as const satisfies Record<keyof Header, string>;

/** The recording's pages by first touch, each once; within a group by page number. */
export function firstTouches(recording: Recording): Uint32Array {
  if (recording.strategy === 'userfault') return Uint32Array.from(new Set(recording.trace));
  const { layers } = recording;
  const found: number[] = [];
  layers.forEach((group, page) => {
    if (group !== 0) found.push(page);
  });
  const groupOf = (page: number): number => layers[page] ?? 0;
  return Uint32Array.from(found.sort((a, b) => groupOf(a) - groupOf(b) || a - b));
}

export function recordingCounts(recording: Recording): RecordingCounts {
  if (recording.strategy === 'userfault')
    return { pages: new Set(recording.trace).size, groups: 0 };
  const pages = recording.layers.reduce((sum, group) => sum + (group === 0 ? 0 : 1), 0);
  return { pages, groups: countLayers(recording.layers) };
}

/** A trace as the page server writes it: u32 page numbers. @throws SNAPSHOT_UNUSABLE */
export function decodeTrace(bytes: Uint8Array): Uint32Array {
  if (bytes.length % PAGE_NUMBER_BYTES !== 0) throw unusable('its trace has a part of a number');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length / PAGE_NUMBER_BYTES;
  return Uint32Array.from({ length }, (_, i) => view.getUint32(PAGE_NUMBER_BYTES * i, true));
}

/** Raw u32 page numbers. */
export function encodeTrace(trace: Uint32Array): Buffer {
  const bytes = Buffer.alloc(trace.length * PAGE_NUMBER_BYTES);
  trace.forEach((page, i) => bytes.writeUInt32LE(page, PAGE_NUMBER_BYTES * i));
  return bytes;
}

export function encodeRecording(recording: Recording): Buffer {
  const { snapshotId, memoryId, memoryBytes, eventSha256, eventBytes, recordedAt } = recording;
  const facts = { snapshotId, memoryId, memoryBytes, eventSha256, eventBytes, recordedAt };
  const { strategy } = recording;
  const header: Header = { format: FORMAT, strategy, ...facts, ...recordingCounts(recording) };
  const text = Buffer.from(JSON.stringify(header));
  const pages =
    strategy === 'userfault' ? encodeTrace(recording.trace) : encodeLayers(recording.layers);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  MAGIC.copy(prefix);
  prefix.writeUInt32LE(text.length, 8);
  prefix.writeUInt32LE(crc32c(pages, crc32c(text)), 12);
  return Buffer.concat([prefix, text, pages]);
}

/** @throws SparklerError SNAPSHOT_UNUSABLE when it is damaged or not of memory `memoryId`. */
export function decodeRecording(bytes: Buffer, memoryId: string): Recording {
  const bad = (what: string): Error => unusable(`its recorded working set ${what}`);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw bad('is none');
  const pagesAt = bytes.length < PREFIX_BYTES ? Infinity : PREFIX_BYTES + bytes.readUInt32LE(8);
  if (pagesAt > bytes.length) throw bad('is damaged: it ends early');
  if (crc32c(bytes.subarray(PREFIX_BYTES)) !== bytes.readUInt32LE(12)) throw bad('is damaged');
  const header = parseHeader(bytes.toString('utf8', PREFIX_BYTES, pagesAt));
  if (header === undefined) throw bad('has a header that is not understood');
  const { format, strategy, pages, groups, ...facts } = header;
  if (facts.memoryId !== memoryId) throw bad(`is of memory ${facts.memoryId}, not ${memoryId}`);
  const recording = withPages(facts, strategy, bytes.subarray(pagesAt));
  const counts = recordingCounts(recording);
  const limit = facts.memoryBytes / PAGE_BYTES;
  const fits =
    recording.strategy === 'userfault'
      ? recording.trace.every((page) => page < limit)
      : recording.layers.length === limit;
  if (format !== FORMAT || counts.pages !== pages || counts.groups !== groups || !fits) {
    throw bad('contradicts its header');
  }
  return recording;
}

function withPages(facts: RecordingFacts, strategy: string, bytes: Buffer): Recording {
  if (strategy === 'userfault') return { ...facts, strategy, trace: decodeTrace(bytes) };
  if (strategy === 'mincore') return { ...facts, strategy, layers: decodeLayers(bytes) };
  throw unusable(`its recorded working set was made by ${strategy}`);
}

/** The header, or undefined when it has not exactly the fields that it must have. */
function parseHeader(text: string): Header | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const found = parsed as Record<string, unknown>;
  const fields = Object.entries(FIELDS);
  const isWhole = fields.every(([field, type]) => typeof found[field] === type);
  return isWhole && Object.keys(found).length === fields.length
    ? (found as unknown as Header)
    : undefined;
}

/** Writes a recording; it is there whole or not at all. */
export async function writeRecording(path: string, recording: Recording): Promise<void> {
  await writeDurably(path, (file) => writeAt(file, encodeRecording(recording), 0));
}

/** @throws SparklerError SNAPSHOT_UNUSABLE when it is missing, damaged or of another memory. */
export async function readRecording(path: string, memoryId: string): Promise<Recording> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw unusable('its recorded working set is missing', error);
    throw error;
  }
  return decodeRecording(bytes, memoryId);
}
