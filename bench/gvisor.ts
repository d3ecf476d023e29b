/**
 * The yardstick for restores: gVisor, which someone without KVM would use instead. The same Python,
 * bootstrap and handler as in our guests are restored from a checkpoint of runsc.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadConfig } from '../src/config/index.js';
import { encodeFrame, encodeInvoke, FrameDecoder, FrameType } from '../src/guest/index.js';
import { resolveImage } from '../src/image/index.js';
import {
  addUpMemory,
  bundleConfig,
  descendants,
  type GvisorPaths,
  type GvisorPlatform,
  isKnownRelease,
  type MemoryUse,
  parseRunscVersion,
  runscCommands,
  TASK_ROOT,
} from './gvisor-bundle.js';
import { REPOSITORY } from './harness.js';
import { Keeper } from './keeper.js';
import { HELLO_FOLDER } from './scenarios.js';

const execute = promisify(execFile);

/** How long unpacking or making the image may take, ms. */
const IMAGE_LIMIT_MS = 120_000;
/** How long a container may take to answer, ms. A first start is no more than seconds. */
const ANSWER_LIMIT_MS = 30_000;
const REQUEST = 1;

export interface GvisorOptions {
  readonly signal: AbortSignal;
  /** What runs system calls. Default: ptrace, which restores a little sooner than systrap. */
  readonly platform?: GvisorPlatform;
  /** Told what goes on. */
  readonly say?: (text: string) => void;
}

export interface RestoreOptions {
  /** Whether the checkpoint must be read from disk: it is dropped from the page cache first. */
  readonly cold: boolean;
  /** Whether the sandbox is there before the clock starts (`runsc create`). Default: it is not. */
  readonly ahead?: boolean;
}

/** One restore. Times are counted from the moment we asked for `runsc restore`. */
export interface GvisorRestore extends MemoryUse {
  /** `runsc restore` had returned, ms. */
  readonly restoredMs: number;
  /** The handler's first answer was here, ms. */
  readonly firstResponseMs: number;
  /** `runsc delete --force`: until no process is left, ms. */
  readonly teardownMs: number;
}

export class GvisorYardstick {
  readonly #dir: string;
  readonly #paths: GvisorPaths;
  #restores = 0;

  private constructor(
    /** As runsc says it. */
    readonly version: string,
    readonly platform: GvisorPlatform,
    readonly signal: AbortSignal,
  ) {
    this.#dir = mkdtempSync(join(tmpdir(), 'sparkler-gvisor-'));
    const folder = (name: string): string => {
      mkdirSync(join(this.#dir, name));
      return join(this.#dir, name);
    };
    this.#paths = {
      state: folder('state'),
      log: join(this.#dir, 'runsc.log'),
      bundle: folder('bundle'),
      checkpoint: folder('checkpoint'),
    };
  }

  /**
   * Makes the image and the checkpoint: seconds. Answers why when gVisor cannot run on this host.
   * @throws Error when something else does not work, or after `signal`
   */
  static async prepare({
    signal,
    platform = 'ptrace',
    say = () => undefined,
  }: GvisorOptions): Promise<GvisorYardstick | { readonly unavailable: string }> {
    const { version, unavailable } = await findRunsc();
    if (unavailable !== undefined) return { unavailable };
    const yardstick = new GvisorYardstick(version, platform, signal);
    try {
      say('gVisor: making an image of our root and hello');
      await yardstick.#makeBundle();
      say('gVisor: starting hello and taking the checkpoint');
      const failure = await yardstick.#makeCheckpoint();
      if (failure === undefined) return yardstick;
      await yardstick.dispose();
      return { unavailable: failure };
    } catch (error) {
      await yardstick.dispose();
      throw error;
    }
  }

  /**
   * Restores the checkpoint in a new sandbox, which is gone afterwards on every path.
   * @throws Error when it fails or answers wrongly, or after `signal`
   */
  async restoreOnce({ cold, ahead = false }: RestoreOptions): Promise<GvisorRestore> {
    this.signal.throwIfAborted();
    const commands = runscCommands(this.#paths, this.platform, `restored-${++this.#restores}`);
    if (cold) await this.#eachFile((path) => dropFromCache(path));
    const keeper = await Keeper.start();
    try {
      if (ahead) await keeper.run(commands.create);
      const invocation = invokeHello();
      const began = performance.now();
      const elapsed = (): number => performance.now() - began;
      const restored = keeper.run(commands.restore).then(elapsed);
      keeper.channel.write(invocation);
      const answered = this.#answer(keeper, FrameType.RESULT).then(elapsed);
      const [restoredMs, firstResponseMs] = await Promise.all([restored, answered]);
      const memory = memoryBelow(keeper.pid);
      const before = performance.now();
      await keeper.run(commands.delete);
      return { restoredMs, firstResponseMs, teardownMs: performance.now() - before, ...memory };
    } finally {
      await keeper.close();
    }
  }

  /** Removes its files; nothing of it runs between two calls. */
  dispose(): Promise<void> {
    rmSync(this.#dir, { recursive: true, force: true });
    return Promise.resolve();
  }

  /** Our root image with `hello` in it, in the one layout of erofs files that gVisor reads. */
  async #makeBundle(): Promise<void> {
    const config = loadConfig({ env: process.env });
    const { rootPath } = await resolveImage(config, config.defaultImage);
    const limits = { timeout: IMAGE_LIMIT_MS, signal: this.signal };
    const root = join(this.#dir, 'root');
    const empty = join(this.#dir, 'empty');
    const image = join(this.#dir, 'root.erofs');
    await execute('fsck.erofs', [`--extract=${root}`, rootPath], limits);
    cpSync(join(REPOSITORY, HELLO_FOLDER), join(root, TASK_ROOT), { recursive: true });
    // Files' ends beside their inodes: gVisor answers EFAULT for those.
    await execute('mkfs.erofs', ['-Enoinline_data', '-x-1', image, root], limits);
    rmSync(root, { recursive: true });
    mkdirSync(empty);
    const text = JSON.stringify(bundleConfig(image, empty));
    await writeFile(join(this.#paths.bundle, 'config.json'), text);
  }

  /** As our snapshots: the handler is loaded and has served one invocation. Answers what failed. */
  async #makeCheckpoint(): Promise<string | undefined> {
    const commands = runscCommands(this.#paths, this.platform, 'first');
    const keeper = await Keeper.start();
    try {
      await keeper.run(commands.run);
      await this.#answer(keeper, FrameType.READY);
      keeper.channel.write(invokeHello());
      await this.#answer(keeper, FrameType.RESULT);
      await keeper.run(commands.checkpoint);
      await keeper.run(commands.delete);
      await this.#eachFile(writeBack);
      return undefined;
    } catch (error) {
      this.signal.throwIfAborted();
      return `runsc ${this.version} does not work here: ${String(error)}`;
    } finally {
      await keeper.close();
    }
  }

  /** Waits for the container's next frame, which must be of this type. */
  async #answer(keeper: Keeper, type: FrameType): Promise<void> {
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
    const { payload, type: found } = await nextFrame(keeper, signal);
    const text = payload.toString();
    if (found !== type) throw new Error(`the runtime answered with frame ${found}: ${text}`);
    if (type === FrameType.RESULT && !text.includes('"message": "Hello, World!"')) {
      throw new Error(`not hello's answer: ${text}`);
    }
  }

  async #eachFile(act: (path: string) => Promise<unknown>): Promise<void> {
    for (const name of readdirSync(this.#paths.checkpoint)) {
      await act(join(this.#paths.checkpoint, name));
    }
  }
}

type Found =
  | { readonly version: string; readonly unavailable?: undefined }
  | { readonly version?: undefined; readonly unavailable: string };

async function findRunsc(): Promise<Found> {
  const hint = '`node scripts/setup.mjs --bench` installs it';
  if (process.getuid?.() !== 0) {
    return { unavailable: '`runsc restore` works for root only: it has no rootless mode' };
  }
  try {
    const { stdout } = await execute('runsc', ['--version']);
    const version = parseRunscVersion(stdout);
    if (version !== undefined && isKnownRelease(version)) return { version };
    return { unavailable: `runsc is too old or unknown (${stdout.trim()}); ${hint}` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return { unavailable: `runsc is not installed; ${hint}` };
  }
}

function invokeHello(): Buffer {
  const context = { requestId: 'yardstick', functionName: 'hello', memoryMiB: 512 };
  const deadlineMs = Date.now() + ANSWER_LIMIT_MS;
  const payload = encodeInvoke({ ...context, deadlineMs }, Buffer.from('{}'));
  return encodeFrame(FrameType.INVOKE, 0, REQUEST, ...payload);
}

interface Answer {
  readonly type: number;
  readonly payload: Buffer;
}

/** @throws Error when the channel ends first, or the reason of `signal` */
function nextFrame({ channel }: Keeper, signal: AbortSignal): Promise<Answer> {
  const decoder = new FrameDecoder('agent');
  return new Promise<Answer>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      try {
        const [frame] = decoder.push(chunk);
        if (frame) settle(() => resolve(frame));
      } catch (error) {
        settle(() => reject(error instanceof Error ? error : new Error(String(error))));
      }
    };
    const onEnd = (): void => settle(() => reject(new Error('the container closed its channel')));
    const onAbort = (): void => settle(() => reject(signal.reason as Error));
    const settle = (then: () => void): void => {
      channel.off('data', onData).off('end', onEnd).off('close', onEnd);
      signal.removeEventListener('abort', onAbort);
      then();
    };
    channel.on('data', onData).on('end', onEnd).on('close', onEnd);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** A page that is not on disk yet cannot be dropped from the cache. */
async function writeBack(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** With a count of 0, dd asks the kernel (posix_fadvise) to drop the whole file. */
function dropFromCache(path: string): Promise<unknown> {
  return execute('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** What the processes below `ancestor` occupy now. */
function memoryBelow(ancestor: number): MemoryUse {
  const read = (pid: string | number, name: string): string[] => {
    try {
      return [readFileSync(`/proc/${pid}/${name}`, 'utf8')];
    } catch {
      return []; // It ended meanwhile.
    }
  };
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const stats = pids.flatMap((pid) => read(pid, 'stat'));
  const rollups = descendants(stats, ancestor).flatMap((pid) => read(pid, 'smaps_rollup'));
  return addUpMemory(rollups);
}
