/** Memory of one size that follows the sum of its instances: balloon and virtio-mem. */
import { SparklerError } from '../errors.js';
import type { GuestMemory } from '../guest/index.js';
import type { Resized } from '../vmm/index.js';
import { askGuest, usedBytes } from './ask.js';
import type { ElasticMemory, Grant, MemorySummary, MemoryView, MemoryVm } from './policy.js';
import { alignUp, mibOf, mustBePossible, steps } from './sizes.js';
import { noRoom } from './static.js';

/** The device that gives and takes. */
export interface SizeDevice {
  /** Sizes are the base and multiples of this, MiB. */
  readonly unitMiB: number;
  /** What the guest has before the first change, MiB. */
  readonly startMiB: number;
  /** The guest is to have `memMiB` in all; answers what it has then. */
  set(memMiB: number, limitMs: number): Promise<Resized>;
  /** What an instance keeps between two invocations, of the bytes it uses; absent: all it has. */
  readonly restingMiB?: (currentBytes: number) => number;
  /**
   * What the guest counts as used although the device has it, MiB. A balloon that gives way when the
   * guest runs out of memory stays in the guest's total.
   */
  readonly takenMiB?: (sizeMiB: number, memory: GuestMemory) => number;
  /** More for the view. */
  readonly shown: () => Promise<Partial<MemoryView>>;
}

interface Share {
  readonly memMiB: number;
  /** What it needs now: less than `memMiB` between two invocations. */
  needMiB: number;
  /** Invocations so far: what was measured after one says nothing in the next. */
  turn: number;
}

export class FollowingMemory implements ElasticMemory {
  readonly #vm: MemoryVm;
  readonly #device: SizeDevice;
  readonly #shares = new Set<Share>();
  #sizeMiB: number;
  /** Set by hand: it does not go below this by itself. */
  #floorMiB: number;
  /** The device does one thing at a time. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(vm: MemoryVm, device: SizeDevice) {
    this.#vm = vm;
    this.#device = device;
    this.#sizeMiB = device.startMiB;
    this.#floorMiB = vm.plan.baseMiB;
  }

  get policy() {
    return this.#vm.plan.policy;
  }

  get promisedMiB(): number {
    return Math.max(this.#sizeMiB, this.#target());
  }

  fits(memMiB: number): string | undefined {
    const { maxMiB } = this.#vm.plan;
    const left = maxMiB - this.#inUse();
    if (memMiB <= left) return undefined;
    return `${left} MiB of ${maxMiB} MiB are left, ${memMiB} MiB are needed`;
  }

  async grow(memMiB: number): Promise<Grant> {
    const why = this.fits(memMiB);
    if (why !== undefined) throw noRoom(this.#vm.vmId, why);
    const share: Share = { memMiB, needMiB: memMiB, turn: 0 };
    this.#shares.add(share);
    try {
      await this.#reach();
    } catch (error) {
      this.#shares.delete(share);
      throw error;
    } finally {
      // The first one finds the guest with all that it booted with.
      this.#follow();
    }
    return {
      memMiB,
      engage: () => this.#engage(share),
      rest: (instance) => void this.#rest(share, instance),
      release: async () => {
        if (!this.#shares.delete(share)) return;
        this.#follow();
        await Promise.resolve();
      },
    };
  }

  async resize(memMiB: number): Promise<void> {
    const { baseMiB, maxMiB } = this.#vm.plan;
    const { unitMiB } = this.#device;
    const guest = usedBytes(await this.#vm.guest.memory(), this.#taken);
    const used = Math.max(this.#inUse(), mibOf(guest));
    mustBePossible(memMiB, steps(baseMiB, unitMiB, used, maxMiB));
    await this.#inTurn(async () => {
      // An instance may have come while it waited.
      mustBePossible(memMiB, steps(baseMiB, unitMiB, this.#inUse(), maxMiB));
      await this.#mustSet(memMiB);
      this.#floorMiB = memMiB;
    });
  }

  summary(): MemorySummary {
    const { policy, maxMiB } = this.#vm.plan;
    return {
      policy,
      configuredMiB: maxMiB,
      pluggedMiB: this.#sizeMiB,
      grantedMiB: this.#inUse() - this.#vm.plan.baseMiB,
    };
  }

  async view(): Promise<MemoryView> {
    const [asked, shown] = await Promise.all([
      askGuest(this.#vm, this.#taken),
      this.#device.shown(),
    ]);
    return { ...this.summary(), ...asked.shown, ...shown };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn;
  }

  readonly #taken = (memory: GuestMemory): number =>
    this.#device.takenMiB?.(this.#sizeMiB, memory) ?? 0;

  /** The base and all that instances may use, MiB. */
  #inUse(): number {
    return [...this.#shares].reduce((sum, { memMiB }) => sum + memMiB, this.#vm.plan.baseMiB);
  }

  #target(): number {
    const { baseMiB, maxMiB } = this.#vm.plan;
    const needed = [...this.#shares].reduce((sum, { needMiB }) => sum + needMiB, baseMiB);
    const wanted = Math.max(needed, this.#floorMiB);
    return Math.min(alignUp(wanted, this.#device.unitMiB, baseMiB), maxMiB);
  }

  /** Resolves when the guest has what its instances need now. */
  #reach(): Promise<void> {
    return this.#inTurn(async () => {
      const target = this.#target();
      if (target > this.#sizeMiB) await this.#mustSet(target);
    });
  }

  /** Takes what nobody needs, beside. */
  #follow(): void {
    void this.#inTurn(async () => {
      const target = this.#target();
      if (target >= this.#sizeMiB || this.#closed) return;
      const { reached, mib } = await this.#set(target);
      if (!reached) {
        this.#vm.warn(
          undefined,
          `the guest did not give memory back: it got to ${mib} MiB, not ${target} MiB`,
        );
      }
    }).catch((error: unknown) => {
      if (!this.#closed) this.#vm.warn(error, 'memory could not be taken from the guest');
    });
  }

  async #engage(share: Share): Promise<void> {
    const before = share.needMiB;
    share.turn++;
    share.needMiB = share.memMiB;
    try {
      await this.#reach();
    } catch (error) {
      share.needMiB = before;
      throw error;
    }
  }

  async #rest(share: Share, instance: number): Promise<void> {
    const { restingMiB } = this.#device;
    if (restingMiB === undefined || this.#closed) return;
    const { turn } = share;
    const { memory } = await askGuest(this.#vm);
    const info = memory?.instances.find((one) => one.instance === instance);
    if (info === undefined || share.turn !== turn || !this.#shares.has(share)) return;
    share.needMiB = Math.min(share.memMiB, restingMiB(info.currentBytes));
    this.#follow();
  }

  async #set(memMiB: number): Promise<Resized> {
    const resized = await this.#device.set(memMiB, this.#vm.resizeMs);
    // Else the size of before is wanted again, wherever the guest is on its way.
    if (resized.reached) this.#sizeMiB = memMiB;
    return resized;
  }

  async #mustSet(memMiB: number): Promise<void> {
    const { reached, mib } = await this.#set(memMiB);
    if (reached) return;
    const message = `The guest of VM ${this.#vm.vmId} did not get to ${memMiB} MiB within ${this.#vm.resizeMs} ms; it got to ${mib} MiB and keeps ${this.#sizeMiB} MiB.`;
    throw new SparklerError('RESIZE_TIMED_OUT', message, { field: 'mem', step: 'resize' });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    // Whoever asked hears of a failure; the next one goes on.
    this.#turn = done.catch(() => undefined);
    return done;
  }
}
