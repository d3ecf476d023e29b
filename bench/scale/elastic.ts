/** A VM whose memory grows and shrinks by one mechanism, at its best setting. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asSparklerError } from '../../src/errors.js';
import { Peaks, policyOf, type ElasticMemory, type Grant } from '../../src/memory/index.js';
import type { MemoryLayout, Resized } from '../../src/vmm/index.js';
import { baseMiBFor, BESIDE_MIB, PLUG_STEP_MIB, type Way } from './cases.js';
import type { Ground, Guest } from './ground.js';

/** How long a guest may take to another size, ms. */
const RESIZE_LIMIT_MS = 60_000;
/** Between two proofs of a block that was not free, ms, and how many are asked for. */
const PROOF_RETRY_MS = 1000;
const PROOFS = 10;

/** Memory for one function. */
export interface Room {
  readonly nodes?: readonly number[];
  /** Once the host has populated it. */
  readonly populated: Promise<void>;
  /** The function is gone: another one can be given this memory. */
  release(): Promise<void>;
}

/** The guest did not give or take the memory within the limit. */
export class NotReached extends Error {}

export abstract class Elastic {
  constructor(
    readonly ground: Ground,
    readonly guest: Guest,
    readonly sizeMiB: number,
  ) {}

  /** Boots a VM that has its base, and may grow by `sizeMiB` and something beside. */
  static async boot(ground: Ground, way: Way, sizeMiB: number): Promise<Elastic> {
    const elasticMiB = sizeMiB + BESIDE_MIB;
    const baseMiB = baseMiBFor(elasticMiB);
    if (way.mechanism === 'blocks') return BlocksVm.make(ground, way, sizeMiB, baseMiB);
    const isBalloon = way.mechanism === 'balloon';
    const layout: MemoryLayout = isBalloon
      ? { balloon: { freePageReporting: false } }
      : { hotplug: { maxMiB: elasticMiB, stepMiB: PLUG_STEP_MIB, populated: way.populated } };
    const guest = await ground.boot(isBalloon ? baseMiB + elasticMiB : baseMiB, layout);
    const vm = isBalloon
      ? new DeviceVm(ground, guest, sizeMiB, (mib) =>
          guest.memory.setBalloon(baseMiB + mib, RESIZE_LIMIT_MS),
        )
      : new DeviceVm(ground, guest, sizeMiB, (mib) =>
          guest.memory.setPlugged(mib, RESIZE_LIMIT_MS),
        );
    // A balloon's guest boots with all of it.
    await vm.giveBack();
    return vm;
  }

  /** Memory for a function of `mib`, beside what others have. @throws NotReached */
  abstract grow(mib: number): Promise<Room>;
  /** What no function has goes back to the host. @throws NotReached */
  abstract giveBack(): Promise<void>;
  /** Host memory behind what comes and goes, MiB; of a balloon's guest, behind all. */
  async residentMiB(): Promise<number> {
    return (await this.guest.memory.state()).residentBytes / 2 ** 20;
  }

  async end(): Promise<void> {
    await this.ground.end(this.guest);
  }
}

/** Balloon and virtio-mem: one size for all functions together. */
class DeviceVm extends Elastic {
  readonly #set: (mib: number) => Promise<Resized>;
  #usedMiB = 0;

  constructor(
    ground: Ground,
    guest: Guest,
    sizeMiB: number,
    set: (mib: number) => Promise<Resized>,
  ) {
    super(ground, guest, sizeMiB);
    this.#set = set;
  }

  async grow(mib: number): Promise<Room> {
    this.#usedMiB += mib;
    await this.#reach();
    const release = (): Promise<void> => {
      this.#usedMiB -= mib;
      return this.giveBack();
    };
    return { release, populated: Promise.resolve() };
  }

  async giveBack(): Promise<void> {
    await this.#reach();
  }

  async #reach(): Promise<void> {
    const { reached, mib } = await this.#set(this.#usedMiB);
    if (!reached) throw new NotReached(`the guest has ${mib} MiB after ${RESIZE_LIMIT_MS} ms`);
  }
}

/** Blocks, by the policy's own allocation; what is free goes back when this benchmark says so. */
class BlocksVm extends Elastic {
  readonly #elastic: ElasticMemory;
  readonly #blocksMiB: number;

  private constructor(ground: Ground, guest: Guest, sizeMiB: number, elastic: ElasticMemory) {
    super(ground, guest, sizeMiB);
    this.#elastic = elastic;
    this.#blocksMiB = sizeMiB + BESIDE_MIB;
  }

  static async make(ground: Ground, way: Way, sizeMiB: number, baseMiB: number): Promise<BlocksVm> {
    const blocks = [{ memMiB: sizeMiB }, { memMiB: BESIDE_MIB }];
    const guest = await ground.boot(baseMiB, { blocks });
    try {
      const elastic = await policyOf('blocks').open({
        ...{ vmId: guest.machine.spec.vmId, functionName: 'touch' },
        plan: {
          ...{ policy: 'blocks', memMiB: baseMiB, baseMiB, instanceMiB: sizeMiB },
          ...{ maxMiB: baseMiB + sizeMiB + BESIDE_MIB, layout: { blocks } },
        },
        ...{ memory: guest.memory, guest: guest.session },
        isRunning: () => guest.machine.state === 'running',
        residentBytes: () => Promise.resolve(undefined),
        settings: {
          ...ground.config.memory,
          ...{ preAllocMem: way.populated, eagerMiB: sizeMiB, giveBackMs: -1 },
        },
        capabilities: ground.driver.capabilities,
        resizeMs: RESIZE_LIMIT_MS,
        peaks: new Peaks({ memoryPeaks: () => [], putMemoryPeaks: () => undefined }),
        warn: (error, message) => ground.say(`${message}: ${String(error)}`),
      });
      return new BlocksVm(ground, guest, sizeMiB, elastic);
    } catch (error) {
      await ground.end(guest);
      throw error;
    }
  }

  async grow(mib: number): Promise<Room> {
    const grant: Grant = await this.#elastic.grow(mib);
    const { nodes = [] } = grant;
    const populated = Promise.resolve(grant.populated).then(() => undefined);
    return { nodes, populated, release: () => grant.release() };
  }

  /** By the policy: all blocks are taken out by hand, which gives them back, and put in again. */
  async giveBack(): Promise<void> {
    const { configuredMiB, grantedMiB } = this.#elastic.summary();
    await this.#takeOut(configuredMiB - this.#blocksMiB + grantedMiB);
    await this.#elastic.resize(configuredMiB);
  }

  /** As the policy does by itself: what is not free is looked at again after a while. */
  async #takeOut(leftMiB: number): Promise<void> {
    for (let proof = 1; ; proof++) {
      try {
        await this.#elastic.resize(leftMiB);
        return;
      } catch (error) {
        const { code, message } = asSparklerError(error);
        if (code !== 'RESIZE_TIMED_OUT') throw error;
        if (proof === PROOFS) throw new NotReached(message);
        await sleep(PROOF_RETRY_MS);
      }
    }
  }

  override async residentMiB(): Promise<number> {
    const { blocks } = await this.guest.memory.state();
    return blocks.reduce((sum, { residentBytes }) => sum + residentBytes, 0) / 2 ** 20;
  }

  override async end(): Promise<void> {
    await this.#elastic.close();
    await super.end();
  }
}
