/** The manifest of a built folder: what it holds, from what it was made. Written last. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';
import { isErrno } from '../errors.js';

const MANIFEST_NAME = 'manifest.json';

const FileEntry = Type.Object({
  bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});

const ManifestSchema = Type.Object({
  format: Type.Literal(1),
  /** The alias that it was built for: `debian`. */
  name: Type.String(),
  kind: Type.Union([
    Type.Literal('kernel'),
    Type.Literal('image'),
    Type.Literal('kernel-base'),
    Type.Literal('image-base'),
  ]),
  /** The folder's name: a hash of all that it was made from. */
  key: Type.String(),
  /** ISO 8601. */
  created: Type.String(),
  /** What it was made from, by name, as hashes or settings. */
  inputs: Type.Record(Type.String(), Type.String()),
  /** Debian packages inside, with their versions. */
  packages: Type.Record(Type.String(), Type.String()),
  /** Memory in MiB that a VM needs for it; images only. */
  minMemMiB: Type.Optional(Type.Integer({ minimum: 1 })),
  files: Type.Record(Type.String(), FileEntry),
});

/** A built folder's description. */
export type Manifest = Static<typeof ManifestSchema>;
/** Size in bytes and SHA-256 (hex) of one file. */
export type FileDigest = Static<typeof FileEntry>;

/** Reads a file once and returns its size and hash. */
export async function digestFile(path: string): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), async (chunks) => {
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  });
  return { bytes, sha256: hash.digest('hex') };
}

/** Digests of all regular files under `dir`, by path relative to it, in a fixed order. */
export async function digestFolder(dir: string): Promise<Record<string, FileDigest>> {
  const files: Record<string, FileDigest> = {};
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
  for (const path of paths.sort()) {
    files[path.slice(dir.length + 1)] = await digestFile(path);
  }
  return files;
}

/** The first 16 hex digits of the SHA-256 of `value` as JSON: a folder's key. */
export function keyOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

/** The manifest of `dir`, or undefined when there is none or it is not one of ours. */
export async function readManifest(dir: string): Promise<Manifest | undefined> {
  let text: string;
  try {
    text = await readFile(join(dir, MANIFEST_NAME), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(ManifestSchema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the manifest of `dir` and makes it and every file of the folder durable. */
export async function writeManifest(dir: string, manifest: Manifest): Promise<void> {
  const file = await open(join(dir, MANIFEST_NAME), 'wx', 0o644);
  try {
    await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
  } finally {
    await file.close();
  }
  for (const name of [...Object.keys(manifest.files), MANIFEST_NAME, '.']) {
    await sync(join(dir, name));
  }
}

/**
 * What is wrong with the files of `dir` compared with its manifest: one sentence each, none when
 * all is well. `thorough` compares contents, otherwise sizes only.
 */
export async function verifyFolder(
  dir: string,
  manifest: Manifest,
  options: { readonly thorough: boolean },
): Promise<string[]> {
  const faults: string[] = [];
  for (const [name, expected] of Object.entries(manifest.files)) {
    const info = await stat(join(dir, name)).catch(() => undefined);
    if (info === undefined) faults.push(`${name} is missing`);
    else if (info.size !== expected.bytes) {
      faults.push(`${name} has ${info.size} bytes instead of ${expected.bytes}`);
    } else if (options.thorough && (await digestFile(join(dir, name))).sha256 !== expected.sha256) {
      faults.push(`${name} has changed since it was built`);
    }
  }
  return faults;
}

/** Makes a file's or folder's content durable. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
