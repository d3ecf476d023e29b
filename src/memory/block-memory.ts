/** The blocks of a running VM: who has which, what the host has of them, and their way back. */
import { SparklerError } from '../errors.js';
import type { Populated } from '../vmm/index.js';
import { chooseBlocks, describeSizes, sumOf, sums } from './allocator.js';
import { askGuest, deviceOf } from './ask.js';
import type {
  BlockView,
  ElasticMemory,
  Grant,
  MemorySummary,
  MemoryView,
  MemoryVm,
  PopulationView,
} from './policy.js';
import { eagerBytes, pieces } from './population.js';
import { GiveBack, type Block } from './give-back.js';
import { mustBePossible, oneOf } from './sizes.js';
import { noRoom } from './static.js';

export class BlockMemory implements ElasticMemory {
  readonly policy = 'blocks';
  readonly #vm: MemoryVm;
  readonly #blocks: readonly Block[];
  readonly #giveBack: GiveBack;
  readonly #grants = new Set<Grant>();
  /** Populations under way. */
  readonly #populating = new Set<Promise<unknown>>();
  /** One resize by hand at a time. */
  #resizing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(vm: MemoryVm) {
    this.#vm = vm;
    this.#blocks = (vm.plan.layout?.blocks ?? []).map(({ memMiB }, i) => ({
      node: i + 1,
      memMiB,
      state: 'free',
      warm: false,
      touchedBytes: 0,
    }));
    this.#giveBack = new GiveBack(vm, () => this.#closed);
  }

  get promisedMiB(): number {
    const held = this.#blocks.filter(({ state, warm }) => warm || state === 'taken');
    return this.#vm.plan.baseMiB + sumOf(held);
  }

  fits(memMiB: number): string | undefined {
    // What is on its way back can be waited for.
    const soon = this.#in('free', 'returning');
    if (chooseBlocks(soon, memMiB).nodes) return undefined;
    const closed = sumOf(this.#in('closed'));
    const away = closed > 0 ? `; ${closed} MiB were taken out by hand` : '';
    return `it needs ${memMiB} MiB, and the blocks that are left are ${describeSizes(soon)}${away}`;
  }

  async grow(memMiB: number): Promise<Grant> {
    const blocks = await this.#take(memMiB);
    const grant = this.#grantOf(memMiB, blocks);
    this.#grants.add(grant);
    return grant;
  }

  /** @throws SparklerError NO_MEMORY_BLOCK */
  async #take(memMiB: number): Promise<readonly Block[]> {
    for (;;) {
      const why = this.#closed ? 'the VM is being ended' : this.fits(memMiB);
      if (why !== undefined) throw noRoom(this.#vm.vmId, why);
      const { nodes } = chooseBlocks(this.#in('free'), memMiB);
      if (nodes) {
        const taken = this.#blocks.filter(({ node }) => nodes.includes(node));
        for (const block of taken) {
          this.#giveBack.cancel(block);
          block.state = 'taken';
        }
        return taken;
      }
      await this.#giveBack.next();
    }
  }

  #grantOf(memMiB: number, blocks: readonly Block[]): Grant {
    const stop = { now: false };
    const populated = this.#populate(memMiB, blocks, stop);
    // Asked for its peak after invocation 1, 2, 4, 8, …: it rarely changes later.
    let invocations = 0;
    const grant: Grant = {
      memMiB,
      nodes: blocks.map(({ node }) => node),
      engage: () => Promise.resolve(),
      rest: (instance) => {
        if (isPowerOfTwo(++invocations)) void this.#learn(grant, instance);
      },
      release: async () => {
        if (!this.#grants.delete(grant)) return;
        stop.now = true;
        await populated;
        for (const block of blocks) {
          block.state = 'free';
          block.warm = true;
          this.#giveBack.later(block);
        }
      },
      ...(populated && { populated }),
    };
    return grant;
  }

  /** Beside the start of the instance, so that it does not pay for first touches. Never rejects. */
  #populate(
    memMiB: number,
    blocks: readonly Block[],
    stop: { readonly now: boolean },
  ): Promise<Populated> | undefined {
    const bytes = this.#eagerBytes(memMiB);
    // What a warm one holds is what a guest takes first.
    const cold = blocks.filter(({ warm }) => !warm);
    if (bytes === 0 || cold.length === 0) return undefined;
    const populating = this.#populatePieces(bytes, cold, stop);
    this.#populating.add(populating);
    void populating.finally(() => this.#populating.delete(populating));
    return populating;
  }

  async #populatePieces(
    bytes: number,
    blocks: readonly Block[],
    stop: { readonly now: boolean },
  ): Promise<Populated> {
    let [pages, ms] = [0, 0];
    try {
      for (const { block, offset, bytes: size } of pieces(blocks, bytes)) {
        if (stop.now || this.#closed) break;
        const done = await deviceOf(this.#vm).populate(block, offset, size);
        pages += done.pages;
        ms += done.ms;
      }
    } catch (error) {
      // The function pays for first touches then, which is all that is lost.
      if (!this.#closed) this.#vm.warn(error, 'memory could not be populated ahead');
    }
    return { pages, ms };
  }

  #eagerBytes(memMiB: number): number {
    const { settings, peaks, functionName } = this.#vm;
    if (!settings.preAllocMem) return 0;
    return eagerBytes(peaks.of(functionName), memMiB, settings.eagerMiB);
  }

  async #learn(grant: Grant, instance: number): Promise<void> {
    const { memory } = await askGuest(this.#vm);
    const info = memory?.instances.find((one) => one.instance === instance);
    if (info === undefined || !this.#grants.has(grant)) return;
    this.#vm.peaks.learn(this.#vm.functionName, grant, info.peakBytes);
  }

  resize(memMiB: number): Promise<void> {
    const done = this.#resizing.then(() => this.#resize(memMiB));
    this.#resizing = done.catch(() => undefined);
    return done;
  }

  async #resize(memMiB: number): Promise<void> {
    const { baseMiB } = this.#vm.plan;
    const taken = baseMiB + sumOf(this.#in('taken'));
    const others = this.#in('free', 'returning', 'closed');
    mustBePossible(memMiB, oneOf(sums(others).map((sum) => taken + sum)));
    // What is open stays so where it can; what the host has no memory for goes first.
    const preferred = others.map((block) => ({ ...block, warm: block.state !== 'closed' }));
    const { nodes = [] } = chooseBlocks(preferred, memMiB - taken);
    const goes = this.#in('free', 'returning').filter(({ node }) => !nodes.includes(node));
    await this.#close(goes);
    for (const block of this.#in('closed')) if (nodes.includes(block.node)) block.state = 'free';
  }

  /** Takes blocks out: all of them, or none. @throws SparklerError RESIZE_TIMED_OUT */
  async #close(blocks: readonly Block[]): Promise<void> {
    // At once, so that no instance gets one meanwhile.
    for (const block of blocks) block.state = 'closed';
    const answers = await Promise.all(blocks.map((block) => this.#giveBack.now(block)));
    const kept = answers.find((why) => why !== undefined);
    if (kept === undefined) return;
    for (const block of blocks) {
      block.state = 'free';
      this.#giveBack.later(block);
    }
    const message = `VM ${this.#vm.vmId} keeps its size: ${kept}.`;
    throw new SparklerError('RESIZE_TIMED_OUT', message, { field: 'mem', step: 'resize' });
  }

  summary(): MemorySummary {
    const { maxMiB } = this.#vm.plan;
    return {
      policy: this.policy,
      configuredMiB: maxMiB,
      pluggedMiB: maxMiB - sumOf(this.#in('closed')),
      grantedMiB: sumOf(this.#in('taken')),
    };
  }

  async view(): Promise<MemoryView> {
    const [asked, state] = await Promise.all([askGuest(this.#vm), deviceOf(this.#vm).state()]);
    return {
      ...this.summary(),
      ...asked.shown,
      residentBytes: state.residentBytes,
      blocks: this.#blocks.map((block, i): BlockView => {
        const node = asked.memory?.nodes.find((one) => one.node === block.node);
        return {
          node: block.node,
          memMiB: block.memMiB,
          state: block.state,
          residentBytes: state.blocks[i]?.residentBytes ?? 0,
          ...(node && { usedBytes: (node.managedKiB - node.freeKiB) * 1024 }),
        };
      }),
      population: this.#population(),
    };
  }

  #population(): PopulationView {
    const { plan, settings, capabilities, peaks, functionName } = this.#vm;
    const known = {
      eagerBytes: this.#eagerBytes(plan.instanceMiB),
      peaks: peaks.of(functionName).length,
    };
    if (!settings.preTdpFault) return { ...known, preTdpFault: 'off' };
    if (capabilities.memory.includes('prefault')) return { ...known, preTdpFault: 'on' };
    const why = capabilities.missingMemory?.prefault ?? 'the VMM cannot do it';
    return { ...known, preTdpFault: 'unavailable', why };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const block of this.#blocks) this.#giveBack.cancel(block);
    await Promise.all([...this.#populating, this.#giveBack.settled(), this.#resizing]);
  }

  #in(...states: readonly Block['state'][]): Block[] {
    return this.#blocks.filter(({ state }) => states.includes(state));
  }
}

function isPowerOfTwo(n: number): boolean {
  return (n & (n - 1)) === 0;
}
