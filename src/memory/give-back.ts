/**
 * Blocks on their way back to the host. A block's memory is discarded only while nobody has the
 * block, and only after the guest has proved that nothing is left in it; at any doubt it stays.
 */
import { deviceOf } from './ask.js';
import type { BlockView, MemoryVm } from './policy.js';

export interface Block extends Pick<BlockView, 'node' | 'memMiB'> {
  state: BlockView['state'];
  /** The host has memory for it, as far as is known. */
  warm: boolean;
  /** How far from its start guests have touched it, bytes, as far as the host could see. */
  touchedBytes: number;
  /** When it is to be given back. */
  timer?: NodeJS.Timeout | undefined;
  /** It is being given back. */
  going?: Promise<unknown> | undefined;
}

/** What was not free is looked at again after so long, then after twice as long, up to the most; ms. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** Value of `memory.giveBackMs`. */
const NEVER = -1;

export class GiveBack {
  readonly #vm: MemoryVm;
  readonly #isOver: () => boolean;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(vm: MemoryVm, isOver: () => boolean) {
    this.#vm = vm;
    this.#isOver = isOver;
  }

  /** The block has become free: it goes back when the operator's policy says so. */
  later(block: Block): void {
    const { giveBackMs } = this.#vm.settings;
    if (giveBackMs === NEVER || !block.warm || this.#isOver()) return;
    if (giveBackMs === 0) this.#begin(block, FIRST_RETRY_MS);
    else this.#schedule(block, giveBackMs, FIRST_RETRY_MS);
  }

  /** Somebody wants the block, or the VM ends. */
  cancel(block: Block): void {
    clearTimeout(block.timer);
    block.timer = undefined;
  }

  /**
   * Gives a block back that is `closed`, whatever the policy says. Answers why the guest keeps it;
   * undefined when it is gone. Never rejects.
   */
  async now(block: Block): Promise<string | undefined> {
    this.cancel(block);
    await block.going;
    return block.warm ? this.#return(block) : undefined;
  }

  /** Settles when one of the blocks that are on their way is through. */
  async next(): Promise<void> {
    if (this.#underWay.size > 0) await Promise.race(this.#underWay);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  #schedule(block: Block, afterMs: number, retryMs: number): void {
    this.cancel(block);
    block.timer = setTimeout(() => this.#begin(block, retryMs), afterMs).unref();
  }

  #begin(block: Block, retryMs: number): void {
    block.timer = undefined;
    block.state = 'returning';
    const going = this.#return(block).then((why) => {
      this.#underWay.delete(going);
      block.going = undefined;
      // It may have been taken out by hand meanwhile.
      if (block.state !== 'returning') return;
      block.state = 'free';
      if (why === undefined || this.#isOver()) return;
      this.#schedule(block, retryMs, Math.min(2 * retryMs, LAST_RETRY_MS));
    });
    block.going = going;
    this.#underWay.add(going);
  }

  /** Why the block stays; undefined: the host has its memory back. Never rejects. */
  async #return(block: Block): Promise<string | undefined> {
    const { vmId, guest, isRunning, warn } = this.#vm;
    if (!isRunning()) return `the VM stands still`;
    try {
      const { free, usedKiB } = await guest.proveFree(block.node);
      if (!free) return `block ${block.node} still holds ${usedKiB} KiB of the guest`;
      if (block.state === 'taken' || this.#isOver()) return `block ${block.node} is in use`;
      await this.#discard(block);
      return undefined;
    } catch (error) {
      if (!this.#isOver()) warn(error, `block ${block.node} of ${vmId} could not be given back`);
      return `the guest did not prove that block ${block.node} is free`;
    }
  }

  async #discard(block: Block): Promise<void> {
    const device = deviceOf(this.#vm);
    const { blocks } = await device.state();
    const { residentBytes = 0 } = blocks[block.node - 1] ?? {};
    await device.discard(block.node);
    block.touchedBytes = Math.max(block.touchedBytes, residentBytes);
    block.warm = false;
  }
}
