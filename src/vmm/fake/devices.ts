/** The memory devices of a fake VM: numbers that change as the real ones would. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineSpec } from '../driver.js';
import {
  MIB,
  PAGE_BYTES,
  type MemoryLayout,
  type MemoryState,
  type Populated,
  type Resized,
  type VmMemory,
} from '../memory.js';
import type { FakeFaults } from './faults.js';

interface Block {
  readonly memMiB: number;
  /** Its pages that the host has memory for. */
  readonly pages: Set<number>;
}

/** Beside what the interface has, tests may let the guest touch memory. */
export class FakeDevices implements VmMemory {
  readonly #spec: MachineSpec;
  readonly #layout: MemoryLayout;
  readonly #faults: FakeFaults;
  readonly #blocks: readonly Block[];
  #balloonMiB: number;
  #pluggedMiB = 0;

  /** @param balloonMiB what the balloon left to the guest when its snapshot was taken. */
  constructor(
    spec: MachineSpec,
    layout: MemoryLayout,
    faults: FakeFaults,
    balloonMiB = spec.memMiB,
  ) {
    this.#spec = spec;
    this.#layout = layout;
    this.#faults = faults;
    this.#balloonMiB = balloonMiB;
    this.#blocks = (layout.blocks ?? []).map(({ memMiB }) => ({ memMiB, pages: new Set() }));
  }

  /** The guest writes to the first `bytes` of a block. */
  touch(block: number, bytes: number): void {
    this.#fill(block, 0, bytes);
  }

  get balloonMiB(): number {
    return this.#balloonMiB;
  }

  /** Host memory behind what a snapshot would leave out, bytes. */
  get unsavedBytes(): number {
    const pages = this.#blocks.reduce((sum, block) => sum + block.pages.size, 0);
    return pages * PAGE_BYTES + this.#pluggedMiB * MIB;
  }

  ready(limitMs: number): Promise<Resized> {
    return this.#resize(
      'blocks',
      limitMs,
      () => undefined,
      () => this.#blocksMiB(),
    );
  }

  setBalloon(guestMiB: number, limitMs: number): Promise<Resized> {
    const take = (): void => void (this.#balloonMiB = guestMiB);
    return this.#resize('balloon', limitMs, take, () => this.#balloonMiB);
  }

  setPlugged(mib: number, limitMs: number): Promise<Resized> {
    const take = (): void => void (this.#pluggedMiB = mib);
    return this.#resize('hotplug', limitMs, take, () => this.#pluggedMiB);
  }

  populate(block: number, offset: number, bytes: number): Promise<Populated> {
    this.#fill(block, offset, bytes);
    return Promise.resolve({ pages: bytes / PAGE_BYTES, ms: 0 });
  }

  discard(block: number): Promise<void> {
    this.#block(block).pages.clear();
    return Promise.resolve();
  }

  state(): Promise<MemoryState> {
    const { memMiB } = this.#spec;
    const blocks = this.#blocks.map((block) => ({
      memMiB: block.memMiB,
      pluggedMiB: this.#isDeaf('blocks') ? 0 : block.memMiB,
      residentBytes: block.pages.size * PAGE_BYTES,
    }));
    const blocksMiB = blocks.reduce((sum, block) => sum + block.memMiB, 0);
    return Promise.resolve({
      configuredMiB: memMiB + blocksMiB + (this.#layout.hotplug?.maxMiB ?? 0),
      pluggedMiB: this.#pluggedMiB,
      ...(this.#layout.balloon && { balloonMiB: this.#balloonMiB }),
      residentBytes: this.#balloonMiB * MIB + this.unsavedBytes,
      blocks,
    });
  }

  #blocksMiB(): number {
    if (this.#isDeaf('blocks')) return 0;
    return this.#blocks.reduce((sum, block) => sum + block.memMiB, 0);
  }

  #fill(block: number, offset: number, bytes: number): void {
    const { pages } = this.#block(block);
    const first = Math.floor(offset / PAGE_BYTES);
    const end = Math.ceil((offset + bytes) / PAGE_BYTES);
    for (let page = first; page < end; page++) pages.add(page);
  }

  #block(number: number): Block {
    const block = this.#blocks[number - 1];
    if (!block) throw new RangeError(`the fake machine has no block ${number}`);
    return block;
  }

  #isDeaf(device: 'balloon' | 'hotplug' | 'blocks'): boolean {
    return this.#faults.deaf?.includes(device) === true;
  }

  async #resize(
    device: 'balloon' | 'hotplug' | 'blocks',
    limitMs: number,
    take: () => void,
    mib: () => number,
  ): Promise<Resized> {
    const asked = performance.now();
    const isDeaf = this.#isDeaf(device);
    if (isDeaf) await sleep(limitMs);
    else if (this.#faults.delayMs !== undefined) await sleep(this.#faults.delayMs);
    if (!isDeaf) take();
    return { reached: !isDeaf, mib: mib(), ms: performance.now() - asked };
  }
}
