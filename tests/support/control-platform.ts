/** A whole platform over the fake driver, in a data folder of its own. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { loadConfig, type Config } from '../../src/config/index.js';
import {
  createPlatform,
  type HostMemory,
  type ImageInfo,
  type ImagePort,
  type KernelInfo,
  type Platform,
} from '../../src/control/index.js';
import { SparklerError } from '../../src/errors.js';
import type { FakeMemory } from './fake-memory.js';
import { reclaim, Registry } from '../../src/registry/index.js';
import { scanSnapshots, SnapshotStore, type ScanResult } from '../../src/snapshot/index.js';
import { createLogger } from '../../src/telemetry/index.js';
import {
  FakeDriver,
  programGuest,
  type FakeFaults,
  type MachineSpec,
  type VmmCapabilities,
} from '../../src/vmm/index.js';

/** What the fake function understands in its event. */
export interface TestEvent {
  readonly add?: number;
  readonly throw?: string;
  readonly hang?: boolean;
  readonly log?: string;
  readonly sleepMs?: number;
}

export interface TestOptions {
  readonly dataDir?: string;
  /** Fields of the configuration by path. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly faults?: (spec: MachineSpec, start: number) => FakeFaults | undefined;
  readonly capabilities?: Partial<VmmCapabilities>;
  /** Why guests cannot be frozen; undefined: they can. */
  readonly unfreezable?: () => string | undefined;
  readonly image?: Partial<ImageInfo>;
  readonly kernel?: Partial<KernelInfo>;
  /** The host's memory, instead of the real one; default: more than any test needs. */
  readonly hostMemory?: () => Promise<HostMemory>;
  /** Free bytes of the file system of a folder, instead of the real ones. */
  readonly freeBytes?: (folder: string) => Promise<number>;
  /** Gets the log's warnings. */
  readonly warn?: (message: string) => void;
  /** The memory of the VM that boots as the nth, from 1 on. */
  readonly memory?: (nth: number) => FakeMemory | undefined;
  /** Processors of the host, instead of the real ones; default 1. */
  readonly cpus?: number;
}

/** 1 TiB. */
const PLENTY: HostMemory = { availableBytes: 2 ** 40, totalBytes: 2 ** 40 };

export interface TestPlatform {
  readonly platform: Platform;
  readonly config: Config;
  readonly driver: FakeDriver;
  readonly registry: Registry;
  readonly store: SnapshotStore;
  readonly scan: ScanResult;
  readonly reclaimed: Readonly<Record<string, number>>;
  /** The same data folder in a new platform; this one is closed first, or left as if killed. */
  restart(how: 'closed' | 'killed', options?: TestOptions): Promise<TestPlatform>;
  /** Ends everything and removes the data folder. */
  dispose(): Promise<void>;
}

/** Images without files: `debian` is there, `unbuilt` is configured and not built. */
export function testImages(
  config: Config,
  image: Partial<ImageInfo> = {},
  kernel: Partial<KernelInfo> = {},
): ImagePort {
  const known = (aliases: Readonly<Record<string, string>>, alias: string): boolean =>
    Object.hasOwn(aliases, alias);
  return {
    hasImage: (alias) => known(config.images, alias),
    hasKernel: (alias) => known(config.kernels, alias),
    image: (alias) => {
      if (alias === 'unbuilt') {
        return Promise.reject(new SparklerError('IMAGE_NOT_FOUND', 'not built'));
      }
      return Promise.resolve({ id: `image-${alias}`, rootPath: '/r', minMemMiB: 96, ...image });
    },
    kernel: (alias) => {
      const id = `kernel-${alias}`;
      return Promise.resolve({ id, kernelPath: '/k', initrdPath: '/i', ...kernel });
    },
    buildCode: async (archive, path) => {
      const bytes = await readAll(archive);
      if (bytes.toString() === 'bad') throw new SparklerError('INVALID_ARCHIVE', 'bad archive');
      writeFileSync(path, bytes);
      return { codeId: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
    },
  };
}

/** A fake driver whose guests run the test function. */
export function testDriver(options: TestOptions = {}): FakeDriver {
  return new FakeDriver({
    guest: programGuest({
      program: (memory) => async (_handler, event, _context, log) => {
        const { add = 0, throw: message, hang, log: text, sleepMs } = (event ?? {}) as TestEvent;
        if (text !== undefined) log(text);
        if (message !== undefined) throw new RangeError(message);
        if (hang) await new Promise(() => undefined);
        if (sleepMs !== undefined) await new Promise((resolve) => setTimeout(resolve, sleepMs));
        memory['count'] = Number(memory['count'] ?? 0) + add;
        return { count: memory['count'] };
      },
      load: (spec) => {
        if (spec.handler.startsWith('missing.')) throw new TypeError('no such handler');
      },
      ...(options.unfreezable && { unfreezable: options.unfreezable }),
    }),
    ...(options.faults && { faults: options.faults }),
    ...(options.capabilities && { capabilities: options.capabilities }),
  });
}

/** Makes a platform, with a function `hello` that has code unless the folder was used before. */
export async function testPlatform(options: TestOptions = {}): Promise<TestPlatform> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'platform-'));
  const config = loadConfig({
    env: {},
    flags: {
      dataDir,
      cacheDir: join(dataDir, 'cache'),
      'limits.minFreeDiskMiB': 0,
      // VMs that start by themselves: only where a test is about them.
      'pool.maxVms': 0,
      ...options.config,
    },
  });
  const registry = Registry.open(dataDir);
  const { warn: heard } = options;
  const logger = createLogger('silent');
  if (heard)
    logger.warn = ((_facts: object, message: string) => heard(message)) as typeof logger.warn;
  const roots = [dataDir, ...config.snapshotDirs];
  const warn = () => undefined;
  const store = new SnapshotStore({
    ...config,
    tools: { nativeDir: join(import.meta.dirname, '../../build/native'), limitMs: 10_000 },
  });
  const keep = store.isWhole.bind(store);
  const reclaimed = await reclaim(registry.journal, { roots, waitMs: 1000, warn, keep });
  const names = new Set(registry.functions().map(({ name }) => name));
  const scan = await scanSnapshots(registry, store, names);
  const driver = testDriver(options);
  const images = testImages(config, options.image, options.kernel);
  let booted = 0;
  const platform = await createPlatform({
    ...{ config, registry, driver, images, store, logger, reclaimed },
    version: 'test',
    acceleratorReason: 'a test',
    ...(options.freeBytes && { freeBytes: options.freeBytes }),
    openMemory: () => options.memory?.(++booted),
    hostMemory: options.hostMemory ?? (() => Promise.resolve(PLENTY)),
    cpus: options.cpus ?? 1,
  });
  if (options.dataDir === undefined) await deploy(platform, 'hello');
  const close = async (): Promise<void> => {
    await platform.close();
  };
  return {
    ...{ platform, config, driver, registry, store, scan, reclaimed },
    restart: async (how, next = {}) => {
      // As if killed: the lock goes, nothing else is done.
      if (how === 'killed') registry.close();
      else await close();
      return testPlatform({ ...options, ...next, dataDir });
    },
    dispose: async () => {
      await close();
      // Snapshots are summed up in the background.
      await store.settled();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** A function of 128 MiB with code. */
export async function deploy(platform: Platform, name: string, code = name): Promise<void> {
  platform.putFunction({ name, memMiB: 128, vcpus: 1, timeoutMs: 2000 });
  await platform.putCode(name, Readable.from([Buffer.from(code)]));
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
