/** Writes `newc` cpio archives: the format of an initramfs. */

/** A file or folder of the archive. */
export interface CpioEntry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** A file's bytes; undefined makes a folder. */
  readonly data?: Buffer;
}

const MAGIC = '070701';
const FOLDER = 0o040000;
const FILE = 0o100000;
const TRAILER = 'TRAILER!!!';
/** The kernel reads names and data at multiples of this. */
const ALIGNMENT = 4;

/** The archive of `entries`, in their order, owner 0:0, times zero: equal input, equal bytes. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => {
    const type = entry.data === undefined ? FOLDER : FILE;
    return record(entry.path, type | entry.mode, index + 1, entry.data ?? Buffer.alloc(0));
  });
  return Buffer.concat([...parts, ...record(TRAILER, 0, 0, Buffer.alloc(0))]);
}

function record(name: string, mode: number, inode: number, data: Buffer): Buffer[] {
  const bytes = Buffer.from(`${name}\0`);
  const links = 1;
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
  // namesize, check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, bytes.length, 0];
  const hex = fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  return [pad(Buffer.concat([Buffer.from(MAGIC + hex, 'latin1'), bytes])), pad(data)];
}

function pad(bytes: Buffer): Buffer {
  const missing = -bytes.length & (ALIGNMENT - 1);
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
