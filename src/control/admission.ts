/** What must be true before anything of a VM is made. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import type { SnapshotPlan, SnapshotStore } from '../snapshot/index.js';
import type { VmmDriver } from '../vmm/index.js';
import type { DiskLedger, Reservation } from './disk.js';
import type { Functions } from './functions.js';
import type { MemoryLedger, MemoryReservation } from './memory-ledger.js';
import type { ImagePort } from './ports.js';
import type { SnapshotRecord } from './types.js';
import type { Vm, VmParts, VmRequest } from './vm.js';

export interface AdmissionDeps {
  readonly config: Config;
  readonly driver: VmmDriver;
  readonly images: ImagePort;
  readonly functions: Functions;
  readonly store: SnapshotStore;
  readonly ledger: DiskLedger;
  readonly memoryLedger: MemoryLedger;
}

const MIB = 1024 * 1024;

/** More than a VM's device state takes; it is 0.4 MiB with one vCPU. MiB. */
const DEVICE_STATE_MIB = 2;

/**
 * Keeps the space that the VM may write to the data folder as it runs, until it is released.
 * @throws SparklerError STORAGE_FULL
 */
export function admit(vm: Vm, deps: AdmissionDeps): Promise<Reservation> {
  const { ledger, config } = deps;
  const claim = { folder: config.dataDir, bytes: () => vm.unwrittenBytes() };
  return ledger.reserve('the memory of the VM', [claim]);
}

/**
 * Keeps the host's memory that the VM may come to use, until it is released: waits for it, and idle
 * VMs give way, unless the VM is one of the pool's own.
 * @throws SparklerError HOST_MEMORY_FULL, and what the VM is being ended with.
 */
export function admitMemory(
  vm: Vm,
  { memoryLedger, config }: AdmissionDeps,
): Promise<MemoryReservation> {
  const { vmmMiB, chargePercent } = config.admission;
  return memoryLedger.reserve({
    what: 'the VM',
    need: () => promisedBytes(vm, config),
    bytes: async () => ((await vm.unusedBytes(vmmMiB)) * chargePercent) / 100,
    isUrgent: vm.pooled?.isAsked !== false,
    over: () => vm.ending,
  });
}

/** What the VM is charged before it uses anything, bytes. */
export function promisedBytes(vm: Vm, { admission }: Config): number {
  const { vmmMiB, chargePercent } = admission;
  return ((vm.promisedMiB + vmmMiB) * MIB * chargePercent) / 100;
}

/**
 * Keeps the space that a snapshot of the VM, taken now, needs where its files lie.
 * @throws SparklerError STORAGE_FULL
 */
export async function admitSnapshot(
  vm: Vm,
  plan: SnapshotPlan,
  deps: Pick<AdmissionDeps, 'ledger' | 'store'>,
): Promise<Reservation> {
  const { ledger, store } = deps;
  const { memoryPath, statePath } = plan.files;
  // The snapshot's own folder is not made yet.
  const folderOf = (path: string): string =>
    dirname(path) === plan.dir ? store.dir : dirname(path);
  const memoryFolder = folderOf(memoryPath);
  const { snapshot, snapshotElsewhere } = await vm.live().machine.writes();
  const near = (await stat(memoryFolder)).dev === (await stat(vm.dir)).dev;
  const memory = near ? snapshot : snapshotElsewhere;
  const state = DEVICE_STATE_MIB * MIB;
  return ledger.reserve('the snapshot', [
    { folder: memoryFolder, bytes: () => memory },
    { folder: folderOf(statePath), bytes: () => state },
    // The VMM writes it to the VM's folder first.
    { folder: vm.dir, bytes: () => state },
  ]);
}

/**
 * Keeps the space that a copy of a snapshot needs where its files will lie.
 * @throws SparklerError STORAGE_FULL
 */
export async function admitCopy(
  source: SnapshotRecord,
  plan: SnapshotPlan,
  { ledger, store }: Pick<AdmissionDeps, 'ledger' | 'store'>,
): Promise<Reservation> {
  const { memoryPath } = plan.files;
  const elsewhere = dirname(memoryPath) !== plan.dir;
  const { memory, others } = await store.occupied(source);
  return ledger.reserve('the copy of the snapshot', [
    { folder: elsewhere ? dirname(memoryPath) : store.dir, bytes: () => memory },
    { folder: store.dir, bytes: () => others },
  ]);
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
  const snapshot = await loading;
  const { kernelArgs, instances } = snapshot.manifest;
  return { image, kernel, codePath, kernelArgs, instances, snapshot };
}
