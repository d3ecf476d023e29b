/** What the use cases need of images; main.ts connects the room that does it. */
import type { Readable } from 'node:stream';

export interface ImageInfo {
  /** Changes with the image's contents: a snapshot needs the same. */
  readonly id: string;
  readonly rootPath: string;
  /** Below this the guest does not come up, MiB. */
  readonly minMemMiB: number;
}

export interface KernelInfo {
  readonly id: string;
  readonly kernelPath: string;
  readonly initrdPath: string;
}

/** A code drive that was just built. */
export interface BuiltCode {
  /** Sha-256 of the drive, lower-case hexadecimal. */
  readonly codeId: string;
  readonly bytes: number;
}

export interface ImagePort {
  /** True when the configuration has this alias. */
  hasImage(alias: string): boolean;
  hasKernel(alias: string): boolean;
  /** @throws SparklerError IMAGE_NOT_FOUND when the alias is unknown or its image is not built. */
  image(alias: string): Promise<ImageInfo>;
  /** @throws SparklerError KERNEL_NOT_FOUND */
  kernel(alias: string): Promise<KernelInfo>;
  /**
   * Unpacks the archive and makes a drive of it at `path`, which does not exist before.
   * @throws SparklerError INVALID_ARCHIVE, ARCHIVE_TOO_LARGE, STORAGE_FULL; nothing is left behind.
   */
  buildCode(archive: Readable, path: string): Promise<BuiltCode>;
}
