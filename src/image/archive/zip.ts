/** Reads zip archives. */
import { open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import * as yauzl from 'yauzl';
import {
  archiveFailure,
  archiveTooLarge,
  invalidArchive,
  invalidEntry,
  type CodeLimits,
} from './limits.js';
import type { ArchiveWriter } from './writer.js';

/** File types in the upper half of the attributes, as Unix has them. */
const TYPE_MASK = 0o170000;
const TYPE_FILE = 0o100000;
const TYPE_FOLDER = 0o040000;
const TYPE_LINK = 0o120000;
const STORED = 0;
const DEFLATED = 8;
/** What follows the central directory: its end record, or that of zip64. */
const END_SIGNATURES = ['504b0506', '504b0606'];

/**
 * Unpacks the zip file `path` with `writer`.
 * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL.
 */
export async function unpackZip(
  path: string,
  writer: ArchiveWriter,
  limits: CodeLimits,
): Promise<void> {
  let zip: yauzl.ZipFile;
  try {
    zip = await yauzl.openPromise(path, { autoClose: false, decodeStrings: false });
  } catch (error) {
    throw archiveFailure(error);
  }
  try {
    if (zip.entryCount > limits.maxEntries) {
      throw archiveTooLarge(
        `it declares ${zip.entryCount} entries; ${limits.maxEntries} are allowed`,
      );
    }
    for await (const entry of zip.eachEntry()) await unpackEntry(zip, entry, writer, limits);
    // The types are wrong: this is the offset in bytes of the next entry's record.
    await checkEnd(path, zip.readEntryCursor as unknown as number);
  } catch (error) {
    throw archiveFailure(error);
  } finally {
    zip.close();
  }
}

async function unpackEntry(
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  writer: ArchiveWriter,
  limits: CodeLimits,
): Promise<void> {
  const name = entryName(entry);
  const type = (entry.externalFileAttributes >>> 16) & TYPE_MASK;
  const isFolder = name.endsWith('/');
  if (type !== 0 && ![TYPE_FILE, TYPE_FOLDER, TYPE_LINK].includes(type)) {
    throw invalidEntry(name, 'it is a device, a pipe or a socket');
  }
  if (isFolder ? type !== 0 && type !== TYPE_FOLDER : type === TYPE_FOLDER) {
    throw invalidEntry(name, 'its name and its type disagree on whether it is a folder');
  }
  if (isFolder) {
    if (entry.uncompressedSize !== 0) throw invalidEntry(name, 'it is a folder with content');
    writer.folder(name);
    return;
  }
  checkReadable(entry, name);
  const content = () => zip.openReadStreamPromise(entry);
  if (type !== TYPE_LINK) {
    await writer.file({ name, bytes: entry.uncompressedSize, crc32: entry.crc32, content });
    return;
  }
  if (entry.uncompressedSize > limits.maxPathBytes) {
    throw invalidEntry(name, `its link's target is longer than ${limits.maxPathBytes} bytes`);
  }
  const target = await content()
    .then(text)
    .catch((error: unknown) => {
      throw archiveFailure(error, name);
    });
  writer.link(name, target);
}

function entryName(entry: yauzl.Entry): string {
  // Decoded here, backslashes kept: the library would quietly make them slashes.
  const { generalPurposeBitFlag, fileNameRaw, extraFields } = entry;
  return yauzl.getFileNameLowLevel(generalPurposeBitFlag, fileNameRaw, extraFields, true);
}

function checkReadable(entry: yauzl.Entry, name: string): void {
  if (entry.isEncrypted()) throw invalidEntry(name, 'it is encrypted');
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
    const reason = `it is compressed with method ${entry.compressionMethod}; only deflate is known`;
    throw invalidEntry(name, reason);
  }
}

/** Entries beyond the declared count would be seen by other programs and not by this one. */
async function checkEnd(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r');
  try {
    const signature = Buffer.alloc(4);
    await file.read(signature, 0, signature.length, offset);
    if (!END_SIGNATURES.includes(signature.toString('hex'))) {
      throw invalidArchive('its directory does not end where its number of entries says');
    }
  } finally {
    await file.close();
  }
}
