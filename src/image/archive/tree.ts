/**
 * The files, folders and links of an archive as they are read: what each name is, so that no two
 * are in each other's way, no entry is written through a link, and no link leaves the archive.
 */
import {
  archiveTooLarge,
  invalidArchive,
  invalidEntry,
  showBytes,
  type CodeLimits,
} from './limits.js';
import { checkTarget, foldName, splitName } from './names.js';

interface Folder {
  readonly kind: 'folder';
  /** By folded name. */
  readonly children: Map<string, Node>;
  /** Named by an entry, not only implied by another's path. */
  listed: boolean;
}
interface File {
  readonly kind: 'file';
}
interface Link {
  readonly kind: 'link';
  readonly target: string;
}
type Node = (Folder | File | Link) & { readonly name: string };

/** A symbolic link: its path relative to the root, and its target as the archive has it. */
export interface SymbolicLink {
  readonly path: string;
  readonly target: string;
}

/** A chain of links longer than this is taken for a loop, as Linux does. */
const MAX_LINK_HOPS = 40;

export class ArchiveTree {
  /** Paths of all folders relative to the root, parents first. */
  readonly folders: string[] = [];
  readonly links: SymbolicLink[] = [];
  /** Number of files. */
  files = 0;
  /** Unpacked size of all files in bytes. */
  bytes = 0;
  private entries = 0;
  private readonly root: Folder & { name: string } = newFolder('');

  constructor(private readonly limits: CodeLimits) {}

  /**
   * Adds a file of `bytes`, before any of them is read.
   * @returns its path relative to the root.
   * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE.
   */
  addFile(name: string, bytes: number): string {
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw invalidEntry(name, 'its size is no number');
    if (bytes > this.limits.maxFileBytes) {
      throw archiveTooLarge(
        `its entry "${name}" has ${bytes} bytes; one file may have ${showBytes(this.limits.maxFileBytes)}`,
      );
    }
    this.bytes += bytes;
    if (this.bytes > this.limits.maxUnpackedBytes) {
      throw archiveTooLarge(`it unpacks to more than ${showBytes(this.limits.maxUnpackedBytes)}`);
    }
    if (name.endsWith('/'))
      throw invalidEntry(name, 'a file needs a name without a slash at its end');
    const segments = splitName(name, this.limits);
    this.place(name, segments, (last) => ({ kind: 'file', name: last }));
    this.files++;
    return segments.join('/');
  }

  /** Adds a folder; the archive's root itself is welcome. */
  addFolder(name: string): void {
    const segments = splitName(name, this.limits);
    const last = segments.pop();
    if (last === undefined) return;
    const parent = this.parentOf(name, segments);
    const folder = this.folderIn(parent, last, name, segments);
    if (folder.listed) throw invalidEntry(name, 'the archive holds this name twice');
    folder.listed = true;
  }

  /** Adds a symbolic link. Where it leads is checked by `finish`: its target may come later. */
  addLink(name: string, target: string): void {
    checkTarget(name, target, this.limits);
    const segments = splitName(name, this.limits);
    this.place(name, segments, (last) => ({ kind: 'link', name: last, target }));
    this.links.push({ path: segments.join('/'), target });
  }

  /**
   * Adds a second name for the file `target`, which must have come before.
   * @returns both paths relative to the root.
   */
  addHardLink(name: string, target: string): { readonly path: string; readonly target: string } {
    checkTarget(name, target, this.limits);
    const from = splitName(target, this.limits);
    if (this.nodeAt(from)?.kind !== 'file') {
      throw invalidEntry(name, `it is a hard link to "${target}", which is no earlier file`);
    }
    const segments = splitName(name, this.limits);
    this.place(name, segments, (last) => ({ kind: 'file', name: last }));
    this.files++;
    return { path: segments.join('/'), target: from.join('/') };
  }

  /** Checks what can only be known at the end. @throws SparklerError INVALID_ARCHIVE. */
  finish(): void {
    if (this.files === 0) throw invalidArchive('it holds no files');
    for (const { path, target } of this.links) {
      const folder = path.split('/').slice(0, -1);
      this.follow(path, folder, target);
    }
  }

  /** Walks a link's target as Linux would; fails when a step leaves the root. */
  private follow(name: string, from: readonly string[], target: string): void {
    let at = [...from];
    const todo = target.split('/');
    for (let hops = 0; todo.length > 0;) {
      const step = todo.shift() ?? '';
      if (step === '' || step === '.') continue;
      if (step === '..') {
        if (at.length === 0) throw invalidEntry(name, `its link to "${target}" leaves the archive`);
        at.pop();
        continue;
      }
      const node = this.nodeAt([...at, step]);
      if (node?.kind !== 'link') {
        at = [...at, step];
        continue;
      }
      if (++hops > MAX_LINK_HOPS) throw invalidEntry(name, 'its links go round in circles');
      todo.unshift(...node.target.split('/'));
    }
  }

  private nodeAt(segments: readonly string[]): Node | undefined {
    let node: Node | undefined = this.root;
    for (const segment of segments) {
      const child: Node | undefined =
        node.kind === 'folder' ? node.children.get(foldName(segment)) : undefined;
      if (child?.name !== segment) return undefined;
      node = child;
    }
    return node;
  }

  private place(name: string, segments: readonly string[], make: (last: string) => Node): void {
    const last = segments.at(-1);
    if (last === undefined) throw invalidEntry(name, 'it stands for the archive itself');
    const parent = this.parentOf(name, segments.slice(0, -1));
    const present = parent.children.get(foldName(last));
    if (present !== undefined) throw collision(name, last, present);
    this.count();
    parent.children.set(foldName(last), make(last));
  }

  private parentOf(name: string, segments: readonly string[]): Folder {
    let folder: Folder = this.root;
    for (const [depth, segment] of segments.entries()) {
      folder = this.folderIn(folder, segment, name, segments.slice(0, depth));
    }
    return folder;
  }

  private folderIn(
    parent: Folder,
    segment: string,
    name: string,
    above: readonly string[],
  ): Folder {
    const present = parent.children.get(foldName(segment));
    if (present === undefined) {
      this.count();
      const folder = newFolder(segment);
      parent.children.set(foldName(segment), folder);
      this.folders.push([...above, segment].join('/'));
      return folder;
    }
    if (present.name !== segment) throw collision(name, segment, present);
    if (present.kind !== 'folder') {
      throw invalidEntry(name, `"${segment}" is a ${present.kind} in the archive, not a folder`);
    }
    return present;
  }

  private count(): void {
    if (++this.entries > this.limits.maxEntries) {
      throw archiveTooLarge(`it holds more than ${this.limits.maxEntries} files and folders`);
    }
  }
}

function newFolder(name: string): Folder & { readonly name: string } {
  return { kind: 'folder', name, children: new Map(), listed: false };
}

function collision(name: string, segment: string, present: Node): Error {
  if (present.name !== segment) {
    const reason = `"${segment}" and "${present.name}" differ only by case or Unicode form`;
    return invalidEntry(name, reason);
  }
  if (present.kind === 'folder') return invalidEntry(name, 'a folder has the same name');
  return invalidEntry(name, 'the archive holds this name twice');
}
