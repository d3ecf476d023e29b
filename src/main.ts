/** Wires the rooms into a daemon. The only file that knows them all. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { buildApi } from './api/index.js';
import type { Config } from './config/index.js';
import {
  createPlatform,
  journalAhead,
  journalVm,
  type ImagePort,
  type KernelInfo,
  type Platform,
} from './control/index.js';
import { isErrno, SparklerError } from './errors.js';
import { buildCodeDrive, resolveImage, resolveKernel } from './image/index.js';
import { reclaim, Registry, type Reclaimed } from './registry/index.js';
import { scanSnapshots, SnapshotStore, type PageTools } from './snapshot/index.js';
import { createLogger, type Logger } from './telemetry/index.js';
import {
  chooseAccelerator,
  chooseCgroupRoot,
  protectFromOomKiller,
  createQemuDriver,
  findCgroupHost,
  findCgroupMount,
  probe,
  qemuVersion,
  tryCgroupRoot,
  type QemuOptions,
  type VmmDriver,
} from './vmm/index.js';

/** What tests and benchmarks put in place of what the configuration would give. */
export interface DaemonOverrides {
  /** Instead of QEMU with the accelerator that proves itself. */
  readonly driver?: VmmDriver;
  readonly images?: ImagePort;
  readonly logger?: Logger;
  /** The process is the daemon's own: the kernel is asked to spare it when memory runs out. */
  readonly isOwnProcess?: boolean;
}

export interface Daemon {
  /** Where the API listens: `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly platform: Platform;
  /** Stops listening, ends all VMs and lets the data folder go. Harmless when called again. */
  close(): Promise<void>;
}

/**
 * Starts the daemon: takes the data folder, ends what an earlier daemon left in it, and listens.
 * @throws SparklerError DATA_IN_USE, INVALID_CONFIG, DEPENDENCY_MISSING; nothing is left running.
 */
export async function startDaemon(
  config: Config,
  overrides: DaemonOverrides = {},
): Promise<Daemon> {
  const logger = overrides.logger ?? createLogger(config.logLevel);
  if (overrides.isOwnProcess === true) await protectProcess(logger);
  const registry = Registry.open(config.dataDir);
  let platform: Platform | undefined;
  try {
    const store = new SnapshotStore({ ...config, tools: pageTools(config) });
    const reclaimed = await cleanUp(config, registry, store, logger);
    await scan(registry, store, logger);
    const images = overrides.images ?? imagesOf(config);
    const { driver, reason, warnings } = await driverOf(
      config,
      overrides.driver,
      registry,
      images,
      logger,
    );
    for (const warning of warnings) logger.warn(warning);
    const version = ownVersion();
    const deps = { config, registry, driver, images, store, logger, version, reclaimed, warnings };
    platform = await createPlatform({ ...deps, acceleratorReason: reason });
    return await listen(platform, config, logger);
  } catch (error) {
    if (platform) await platform.close();
    else registry.close();
    throw error;
  }
}

/** A daemon that may not do it is as likely to be ended as any other program. */
async function protectProcess(logger: Logger): Promise<void> {
  const why = await protectFromOomKiller();
  if (why !== undefined) logger.info({ why }, 'the kernel may end the daemon when memory runs out');
}

/** Ends what the journal of the last daemon names. */
async function cleanUp(
  config: Config,
  registry: Registry,
  store: SnapshotStore,
  logger: Logger,
): Promise<Reclaimed> {
  const mount = findCgroupMount();
  const reclaimed = await reclaim(registry.journal, {
    roots: [config.dataDir, ...config.snapshotDirs],
    waitMs: config.timeouts.closeMs,
    ...(mount !== undefined && { cgroupMount: mount }),
    keep: (entry) => store.isWhole(entry),
    warn: (entry, reason) => logger.warn({ entry, reason }, 'could not be reclaimed'),
  });
  if (Object.values(reclaimed).some((count) => count > 0)) {
    logger.info(reclaimed, 'ended what an earlier daemon left');
  }
  return reclaimed;
}

/** Makes the registry's snapshots and the folders on the disk agree. */
async function scan(registry: Registry, store: SnapshotStore, logger: Logger): Promise<void> {
  const functions = new Set(registry.functions().map(({ name }) => name));
  const { dropped, strange } = await scanSnapshots(registry, store, functions);
  for (const entry of dropped) logger.warn(entry, 'dropped a snapshot that cannot be used');
  for (const entry of strange) logger.warn(entry, 'a folder in snapshots is no snapshot of ours');
}

function imagesOf(config: Config): ImagePort {
  const { limits, timeouts } = config;
  return {
    hasImage: (alias) => Object.hasOwn(config.images, alias),
    hasKernel: (alias) => Object.hasOwn(config.kernels, alias),
    image: (alias) => resolveImage(config, alias),
    kernel: (alias) => resolveKernel(config, alias),
    buildCode: async (archive, path) => {
      const { sha256, bytes } = await buildCodeDrive(archive, path, {
        limits: {
          maxArchiveBytes: limits.codeArchiveBytes,
          maxUnpackedBytes: limits.codeUnpackedBytes,
          maxFileBytes: limits.codeFileBytes,
          maxEntries: limits.codeEntries,
          makeTimeoutMs: timeouts.imageStepMs,
        },
      });
      return { codeId: sha256, bytes };
    },
  };
}

async function driverOf(
  config: Config,
  given: VmmDriver | undefined,
  registry: Registry,
  images: ImagePort,
  logger: Logger,
): Promise<{ driver: VmmDriver; reason: string; warnings: readonly string[] }> {
  if (given) return { driver: given, reason: 'the driver was given', warnings: [] };
  const version = await qemuVersion(config.vmm.qemuPath);
  const { root, warnings } = await cgroupRootOf(config);
  const kernel = await kernelOf(config, images);
  const { accelerator, reason } = await chooseAccelerator({
    setting: config.accel,
    // It is the host's, not the data folder's.
    rememberIn: join(config.cacheDir, 'accelerator.json'),
    dependsOn: `qemu ${version} kernel ${kernel?.id ?? 'none'}`,
    probeKvm: () => probeKvm(config, root, registry, kernel),
  });
  const observer = journalAhead(registry.journal, (why) => logger.warn({ why }, 'template'));
  const options = { ...qemuOptions(config, accelerator, root), observer };
  const driver = await createQemuDriver(options);
  return { driver, reason, warnings };
}

/** @throws SparklerError INVALID_CONFIG when the configured one cannot be used. */
async function cgroupRootOf(
  config: Config,
): Promise<{ root: string | undefined; warnings: readonly string[] }> {
  const { cgroupRoot } = config.vmm;
  const attempt = (path: string): Promise<string | undefined> => tryCgroupRoot(path, nativeDir());
  if (cgroupRoot === '') {
    const { root, warning } = await chooseCgroupRoot(findCgroupHost(), attempt);
    return { root, warnings: warning === undefined ? [] : [warning] };
  }
  const refusal = await attempt(cgroupRoot);
  if (refusal === undefined) return { root: cgroupRoot, warnings: [] };
  throw new SparklerError('INVALID_CONFIG', `vmm.cgroupRoot cannot be used: ${refusal}.`, {
    field: 'vmm.cgroupRoot',
  });
}

/** The default kernel, undefined while it is not built: the daemon starts all the same. */
async function kernelOf(config: Config, images: ImagePort): Promise<KernelInfo | undefined> {
  try {
    return await images.kernel(config.defaultKernel);
  } catch (error) {
    if (error instanceof SparklerError && error.code === 'KERNEL_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Runs a guest with KVM and journals it: no platform looks after it. */
async function probeKvm(
  config: Config,
  cgroupRoot: string | undefined,
  registry: Registry,
  kernel: KernelInfo | undefined,
): Promise<string | undefined> {
  if (kernel === undefined) return 'the guest kernel that would prove it is not built';
  const kvm = await createQemuDriver(qemuOptions(config, 'kvm', cgroupRoot));
  const open: number[] = [];
  const driver: VmmDriver = {
    capabilities: kvm.capabilities,
    restore: (spec, files, memory) => kvm.restore(spec, files, memory),
    boot: async (plain) => {
      const { spec, ids } = journalVm(registry.journal, kvm, plain);
      open.push(...ids);
      await mkdir(plain.dir, { recursive: true, mode: 0o700 });
      return kvm.boot(spec);
    },
  };
  const { kernelPath, initrdPath } = kernel;
  const dir = join(config.dataDir, 'vms');
  const limitMs = config.timeouts.accelProbeMs;
  const answer = await probe(driver, { kernelPath, initrdPath, dir, limitMs });
  registry.journal.doneAll(open);
  return answer;
}

function qemuOptions(
  config: Config,
  accelerator: 'kvm' | 'tcg',
  cgroupRoot: string | undefined,
): QemuOptions {
  const { vmm, limits, timeouts } = config;
  return {
    accelerator,
    qemuPath: vmm.qemuPath,
    nativeDir: nativeDir(),
    cgroupRoot,
    firstUid: vmm.firstUid,
    uidCount: vmm.uidCount,
    tbSizeMiB: vmm.tbSizeMiB,
    consoleBytes: limits.consoleBytes,
    closeMs: timeouts.closeMs,
    startMs: timeouts.vmmStartMs,
    restoreMs: timeouts.restoreMs,
    pageServerMs: timeouts.pageServerMs,
    templates: vmm.templates,
  };
}

async function listen(platform: Platform, config: Config, logger: Logger): Promise<Daemon> {
  const api = buildApi(platform, config, logger);
  try {
    await api.listen({ host: config.host, port: config.port });
  } catch (error) {
    throw listenError(error, config);
  }
  const { address, port, family } = api.server.address() as AddressInfo;
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  logger.info({ url, ...platform.info() }, 'listening');
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    // The platform first: requests that wait for a VM are answered SHUTTING_DOWN, not cut off.
    await platform.close();
    await api.close();
  };
  return { url, platform, close: () => (closing ??= close()) };
}

/** What the system says about an address that cannot be had. */
const ADDRESS_ERRORS: Readonly<Record<string, readonly [field: string, reason: string]>> = {
  EADDRINUSE: ['port', 'is in use by another program; give another --port'],
  EACCES: ['port', 'may not be used by this user; give a --port above 1023'],
  EADDRNOTAVAIL: ['host', 'is not an address of this machine; give another --host'],
  ENOTFOUND: ['host', 'is not an address of this machine; give another --host'],
};

function listenError(error: unknown, { host, port }: Config): unknown {
  const known = Object.entries(ADDRESS_ERRORS).find(([code]) => isErrno(error, code));
  if (known === undefined) return error;
  const [field, reason] = known[1];
  const message = `Cannot listen on ${host}:${port}: the ${field} ${reason}.`;
  return new SparklerError('INVALID_CONFIG', message, { field }, error);
}

/** The folder of package.json, above this file: whether it runs from source or from dist/. */
/** The programs that read guest memory. */
function pageTools(config: Config): PageTools {
  return { nativeDir: nativeDir(), limitMs: config.timeouts.snapshotMs };
}

function ownFolder(): string {
  let dir = import.meta.dirname;
  while (!existsSync(join(dir, 'package.json')) && dir !== dirname(dir)) dir = dirname(dir);
  return dir;
}

/** The folder of the programs in C. */
function nativeDir(): string {
  return join(ownFolder(), 'build', 'native');
}

function ownVersion(): string {
  const text = readFileSync(join(ownFolder(), 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
