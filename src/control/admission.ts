/** What must be true before anything of a VM is made. */
import { statfs } from 'node:fs/promises';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { SnapshotStore } from '../snapshot/index.js';
import type { VmmDriver } from '../vmm/index.js';
import type { Functions } from './functions.js';
import type { ImagePort } from './ports.js';
import type { VmParts, VmRequest } from './vm.js';

export interface AdmissionDeps {
  readonly config: Config;
  readonly driver: VmmDriver;
  readonly images: ImagePort;
  readonly functions: Functions;
  readonly store: SnapshotStore;
}

const MIB = 1024 * 1024;

/** @throws SparklerError STORAGE_FULL */
export async function admit(request: VmRequest, deps: AdmissionDeps): Promise<void> {
  // A restored VM maps its snapshot's memory privately: it writes nothing of it to the disk.
  const needMiB = request.snapshot ? 0 : request.memMiB;
  await checkDisk(deps.config, needMiB, 'the memory of the VM');
}

/**
 * @param needMiB what is about to be written to the data folder, MiB.
 * @throws SparklerError STORAGE_FULL
 */
export async function checkDisk(config: Config, needMiB: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(config.dataDir);
  const freeMiB = Math.floor((bavail * bsize) / MIB);
  const { minFreeDiskMiB } = config.limits;
  if (freeMiB >= needMiB + minFreeDiskMiB) return;
  throw new SparklerError(
    'STORAGE_FULL',
    `${config.dataDir} has ${freeMiB} MiB free; ${what} needs ${needMiB} MiB and ` +
      `${minFreeDiskMiB} MiB must stay free (limits.minFreeDiskMiB). Free some space or delete snapshots.`,
  );
}

/**
 * Finds the image, kernel, code and, for a restore, proves that the snapshot is whole and fits.
 * @throws SparklerError IMAGE_NOT_FOUND, KERNEL_NOT_FOUND, FUNCTION_HAS_NO_CODE, MEMORY_TOO_SMALL,
 * SNAPSHOT_UNUSABLE
 */
export async function partsOf(request: VmRequest, deps: AdmissionDeps): Promise<VmParts> {
  const { images, functions, store, driver } = deps;
  const resolving = Promise.all([images.image(request.image), images.kernel(request.kernel)]);
  // The snapshot's files are read meanwhile.
  const fitness = resolving.then(([image, kernel]) => ({
    vmm: driver.capabilities,
    imageId: image.id,
    kernelId: kernel.id,
  }));
  const loading = request.snapshot && store.load(request.snapshot, fitness);
  // Awaited below, unless something else is wrong first.
  fitness.catch(() => undefined);
  loading?.catch(() => undefined);
  const [image, kernel] = await resolving;
  if (request.memMiB < image.minMemMiB) {
    throw new SparklerError(
      'MEMORY_TOO_SMALL',
      `${request.memMiB} MiB of memory are too few: the image ${request.image} needs ${image.minMemMiB} MiB.`,
      { field: 'mem_size' },
    );
  }
  const codePath = functions.drive(request.fn.name, request.codeId);
  if (loading === undefined) return { image, kernel, codePath, kernelArgs: '', instances: [] };
  const { kernelArgs, instances } = await loading;
  return { image, kernel, codePath, kernelArgs, instances };
}
