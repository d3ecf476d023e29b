/**
 * Looks at a tar stream before the tar library does, and refuses what the library would accept
 * or hold in memory: huge extended headers, sizes given twice, a missing end, anything after it.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { archiveFailure, archiveTooLarge, invalidArchive, type CodeLimits } from './limits.js';

const BLOCK_BYTES = 512;
/** An extended header holds a path, times and owners; more is a trick. */
const MAX_EXTENDED_BYTES = 64 * 1024;
/** Zeros after the end: tar pads to its blocking factor, by default 10 KiB. */
const MAX_PADDING_BYTES = 1024 * 1024;
/** A path, a link's target and a pax header may come before an entry. */
const HEADERS_PER_ENTRY = 4;
const TYPE_OFFSET = 156;
const SIZE_OFFSET = 124;
const SIZE_LENGTH = 12;
const NAME_LENGTH = 100;
const EXTENDED_TYPES = 'xgKLN';
const FILE_TYPES = '0\0';

type State = 'header' | 'extended' | 'content' | 'end';

export class TarGuard extends Transform {
  private state: State = 'header';
  /** Bytes of the current part still to come. */
  private missing = BLOCK_BYTES;
  /** The header or extended header so far. */
  private parts: Buffer[] = [];
  private extendedBytes = 0;
  private headers = 0;
  private padding = 0;

  constructor(private readonly limits: CodeLimits) {
    super();
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    try {
      for (let at = 0; at < chunk.length;) at += this.look(chunk.subarray(at));
      done(null, chunk);
    } catch (error) {
      done(archiveFailure(error));
    }
  }

  override _flush(done: TransformCallback): void {
    if (this.state === 'end') done();
    else done(invalidArchive('the tar ends too early: it was cut off'));
  }

  /** Looks at the first bytes of `rest`; returns how many. */
  private look(rest: Buffer): number {
    if (this.state === 'end') return this.takePadding(rest);
    const part = rest.subarray(0, this.missing);
    this.missing -= part.length;
    if (this.state !== 'content') this.parts.push(part);
    if (this.missing === 0) this.complete();
    return part.length;
  }

  private takePadding(rest: Buffer): number {
    this.padding += rest.length;
    if (rest.some((byte) => byte !== 0))
      throw invalidArchive('something follows the end of the tar');
    if (this.padding > MAX_PADDING_BYTES)
      throw invalidArchive('too many zeros follow the end of the tar');
    return rest.length;
  }

  private complete(): void {
    const bytes = Buffer.concat(this.parts);
    this.parts = [];
    if (this.state === 'header') this.readHeader(bytes);
    else {
      if (this.state === 'extended') checkExtended(bytes.subarray(0, this.extendedBytes));
      this.expect('header', BLOCK_BYTES);
    }
  }

  private readHeader(block: Buffer): void {
    if (block.every((byte) => byte === 0)) {
      this.state = 'end';
      return;
    }
    if (++this.headers > this.limits.maxEntries * HEADERS_PER_ENTRY) {
      throw archiveTooLarge(`it holds more than ${this.limits.maxEntries} entries`);
    }
    const type = block.toString('latin1', TYPE_OFFSET, TYPE_OFFSET + 1);
    const size = headerSize(block);
    if (EXTENDED_TYPES.includes(type)) {
      if (size > MAX_EXTENDED_BYTES) throw invalidArchive('an extended header is too large');
      this.extendedBytes = size;
      this.expect('extended', size);
    } else {
      if (size > 0 && (!FILE_TYPES.includes(type) || namesFolder(block))) {
        throw invalidArchive('a folder, link or special file has content');
      }
      this.expect('content', size);
    }
  }

  /** Content fills whole blocks. */
  private expect(state: State, bytes: number): void {
    this.state = bytes === 0 ? 'header' : state;
    this.missing = Math.ceil((bytes === 0 ? BLOCK_BYTES : bytes) / BLOCK_BYTES) * BLOCK_BYTES;
  }
}

function headerSize(block: Buffer): number {
  const field = block.toString('latin1', SIZE_OFFSET, SIZE_OFFSET + SIZE_LENGTH);
  // Larger numbers have a binary form, for sizes from 8 GiB on: over every limit.
  const digits = /^ *\0*([0-7]*)[ \0]*$/.exec(field)?.[1];
  if (digits === undefined) throw invalidArchive("an entry's size is not an octal number");
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function namesFolder(block: Buffer): boolean {
  const end = block.indexOf(0);
  return block[(end < 0 || end > NAME_LENGTH ? NAME_LENGTH : end) - 1] === '/'.charCodeAt(0);
}

/** A size in a pax header is for files over 8 GiB, or to be read differently by two programs. */
function checkExtended(bytes: Buffer): void {
  const body = bytes.toString('latin1');
  if (/(^|\n)\d+ size=/.test(body)) throw invalidArchive('an extended header changes a size');
  if (/(^|\n)\d+ GNU\.sparse\./.test(body)) throw invalidArchive('it holds a sparse file');
}
