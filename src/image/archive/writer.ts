/** Writes an archive's entries below a folder, as its tree allows. */
import { chmod, link, mkdir, open, symlink, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { archiveFailure, invalidEntry, type CodeLimits } from './limits.js';
import { ArchiveTree } from './tree.js';

/**
 * Everything in a code drive is readable and executable, whatever tool packed it: the same files
 * give the same drive.
 */
const FILE_MODE = 0o555;
const WORK_FOLDER_MODE = 0o755;

/** One file of an archive, about to be read. */
export interface IncomingFile {
  readonly name: string;
  /** As the archive declares it. */
  readonly bytes: number;
  /** CRC-32 as the archive declares it; undefined where the format has none. */
  readonly crc32?: number;
  readonly content: () => Promise<Readable>;
}

export class ArchiveWriter {
  readonly tree: ArchiveTree;
  private readonly made = new Set<string>();

  /** @param root an existing, empty folder. */
  constructor(
    private readonly root: string,
    limits: CodeLimits,
  ) {
    this.tree = new ArchiveTree(limits);
  }

  /** @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL. */
  async file(incoming: IncomingFile): Promise<void> {
    const path = join(this.root, this.tree.addFile(incoming.name, incoming.bytes));
    await this.makeFolder(dirname(path));
    // `wx` follows no link and replaces nothing.
    const file = await open(path, 'wx', FILE_MODE);
    try {
      const checked = new Check();
      await pipeline(await incoming.content(), checked, (chunks) =>
        writeAll(file, chunks as AsyncIterable<Buffer>),
      );
      checked.compare(incoming);
      await file.chmod(FILE_MODE);
    } catch (error) {
      throw archiveFailure(error, incoming.name);
    } finally {
      await file.close();
    }
  }

  folder(name: string): void {
    this.tree.addFolder(name);
  }

  link(name: string, target: string): void {
    this.tree.addLink(name, target);
  }

  async hardLink(name: string, target: string): Promise<void> {
    const added = this.tree.addHardLink(name, target);
    const path = join(this.root, added.path);
    await this.makeFolder(dirname(path));
    await link(join(this.root, added.target), path);
  }

  /** Makes folders without files, and the links, all of which are known to stay inside. */
  async finish(): Promise<void> {
    this.tree.finish();
    for (const folder of this.tree.folders) await this.makeFolder(join(this.root, folder));
    for (const { path, target } of this.tree.links) await symlink(target, join(this.root, path));
    await this.setFolderModes(FILE_MODE);
  }

  /** Lets a user who is not root remove what was written. */
  async makeRemovable(): Promise<void> {
    await this.setFolderModes(WORK_FOLDER_MODE);
  }

  private async setFolderModes(mode: number): Promise<void> {
    for (const folder of ['.', ...this.tree.folders]) {
      const path = join(this.root, folder);
      if (folder === '.' || this.made.has(path)) await chmod(path, mode);
    }
  }

  private async makeFolder(path: string): Promise<void> {
    if (path === this.root || this.made.has(path)) return;
    await this.makeFolder(dirname(path));
    await mkdir(path, { mode: WORK_FOLDER_MODE });
    this.made.add(path);
  }
}

function writeAll(file: FileHandle, chunks: AsyncIterable<Buffer>): Promise<void> {
  return writeFile(file, chunks);
}

/** Counts and sums what passes. */
class Check extends Transform {
  private bytes = 0;
  private sum = 0;

  override _transform(
    chunk: Buffer,
    _: BufferEncoding,
    done: (e: null, data: Buffer) => void,
  ): void {
    this.bytes += chunk.length;
    this.sum = crc32(chunk, this.sum);
    done(null, chunk);
  }

  /** @throws SparklerError INVALID_ARCHIVE when what passed is not what was declared. */
  compare(declared: IncomingFile): void {
    if (this.bytes !== declared.bytes) {
      const reason = `it declares ${declared.bytes} bytes and holds ${this.bytes}`;
      throw invalidEntry(declared.name, reason);
    }
    if (declared.crc32 !== undefined && declared.crc32 !== this.sum) {
      throw invalidEntry(declared.name, 'its checksum does not match its content');
    }
  }
}
