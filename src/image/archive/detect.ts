/** What kind of archive some bytes are, by the bytes: names and content types lie. */

/** The kinds that functions' code may come in. */
export type ArchiveKind = 'zip' | 'tar' | 'gzip';

/** How many bytes `detectArchive` wants to see: a tar's first header. */
export const DETECT_BYTES = 512;

const TAR_MAGIC_OFFSET = 257;
const SIGNATURES: readonly (readonly [string, string])[] = [
  ['504b0304', 'zip'],
  ['504b0506', 'zip'],
  ['1f8b', 'gzip'],
  ['425a68', 'bzip2'],
  ['fd377a585a00', 'xz'],
  ['28b52ffd', 'zstd'],
  ['377abcaf271c', '7z'],
  ['526172211a07', 'rar'],
  ['7f454c46', 'ELF'],
];
const KINDS: readonly string[] = ['zip', 'tar', 'gzip'] satisfies ArchiveKind[];

/** The kind of the archive that starts with `start`, or in words what it looks like instead. */
export function detectArchive(start: Buffer): ArchiveKind | { readonly looksLike: string } {
  const hex = start.toString('hex');
  const name = looksLikeTar(start) ? 'tar' : SIGNATURES.find(([s]) => hex.startsWith(s))?.[1];
  if (name === undefined) return { looksLike: start.length === 0 ? 'empty' : 'something else' };
  return isKind(name) ? name : { looksLike: name };
}

function isKind(name: string): name is ArchiveKind {
  return KINDS.includes(name);
}

/** A header with the format's magic, or the zero block that an empty tar starts with. */
function looksLikeTar(start: Buffer): boolean {
  if (start.length < DETECT_BYTES) return false;
  const magic = start.toString('latin1', TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + 5);
  return magic === 'ustar' || start.every((byte) => byte === 0);
}
