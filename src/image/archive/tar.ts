/** Reads tar archives. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar-stream';
import { SparklerError } from '../../errors.js';
import { archiveFailure, invalidEntry, type CodeLimits } from './limits.js';
import { TarGuard } from './tar-guard.js';
import type { ArchiveWriter } from './writer.js';

type Entry = tar.ExtractEvents['entry'][1];

/**
 * Unpacks the tar stream that comes through `streams` (a source, then what decompresses it).
 * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL.
 */
export async function unpackTar(
  streams: readonly [Readable, ...NodeJS.ReadWriteStream[]],
  writer: ArchiveWriter,
  limits: CodeLimits,
): Promise<void> {
  const extract = tar.extract();
  // Each ends the other when it fails: a failed stream fails its entries, a loop that is left
  // destroys its stream. Nothing is written any more once both are settled.
  const ends = await Promise.allSettled([
    pipeline([...streams, new TarGuard(limits), extract]),
    unpackEntries(extract, writer),
  ]);
  const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
  if (reasons.length === 0) return;
  throw archiveFailure(reasons.find((reason) => reason instanceof SparklerError) ?? reasons[0]);
}

async function unpackEntries(extract: tar.Extract, writer: ArchiveWriter): Promise<void> {
  for await (const entry of extract) {
    await unpackEntry(entry, writer);
    entry.resume();
  }
}

async function unpackEntry(entry: Entry, writer: ArchiveWriter): Promise<void> {
  const { name, type, linkname, size } = entry.header;
  switch (type) {
    case 'file':
      // Taken before anything is awaited: it reports a failure only to who listens by then.
      await writer.file({ name, bytes: size, content: contentOf(entry) });
      return;
    case 'directory':
      writer.folder(name);
      return;
    case 'symlink':
      writer.link(name, linkname);
      return;
    case 'link':
      await writer.hardLink(name, linkname);
      return;
    case 'character-device':
    case 'block-device':
    case 'fifo':
      throw invalidEntry(name, 'it is a device or a pipe');
    default:
      throw invalidEntry(name, 'it is neither a file, a folder nor a link');
  }
}

function contentOf(entry: Entry): () => Promise<Readable> {
  const content = Readable.from(entry);
  return () => Promise.resolve(content);
}
