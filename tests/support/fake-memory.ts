/** A VM's memory of blocks, in memory. */
import { SparklerError } from '../../src/errors.js';
import type { ElasticMemory, Grant, MemorySummary, MemoryView } from '../../src/memory/index.js';

/** Blocks of one size, one for each instance. */
export class FakeMemory implements ElasticMemory {
  readonly policy = 'blocks';
  /** Nodes that are given away. */
  readonly given = new Set<number>();
  /** What was given and taken back, in order: `+1`, `-1`. */
  readonly history: string[] = [];
  /** Set by a test: the next growths fail with it. */
  failure: SparklerError | undefined;

  /** @param blocks how many there are. @param baseMiB what the guest has without any. */
  constructor(
    readonly blocks: number,
    readonly baseMiB = 128,
    readonly blockMiB = 128,
  ) {}

  fits(memMiB: number): string | undefined {
    if (memMiB > this.blockMiB) return `a block has ${this.blockMiB} MiB`;
    return this.given.size < this.blocks ? undefined : 'all its blocks are taken';
  }

  async grow(memMiB: number): Promise<Grant> {
    await Promise.resolve();
    if (this.failure) throw this.failure;
    const why = this.fits(memMiB);
    if (why !== undefined) throw new SparklerError('VM_WRONG_STATE', why);
    const node = Array.from({ length: this.blocks }, (_, i) => i + 1).find(
      (one) => !this.given.has(one),
    );
    if (node === undefined) throw new TypeError('no node');
    this.given.add(node);
    this.history.push(`+${node}`);
    const release = async (): Promise<void> => {
      await Promise.resolve();
      this.given.delete(node);
      this.history.push(`-${node}`);
    };
    return {
      memMiB,
      nodes: [node],
      engage: () => Promise.resolve(),
      rest: () => undefined,
      release,
    };
  }

  get promisedMiB(): number {
    return this.baseMiB + this.given.size * this.blockMiB;
  }

  resize(): Promise<void> {
    return Promise.resolve();
  }

  summary(): MemorySummary {
    const configuredMiB = this.baseMiB + this.blocks * this.blockMiB;
    const grantedMiB = this.given.size * this.blockMiB;
    return { policy: this.policy, configuredMiB, pluggedMiB: configuredMiB, grantedMiB };
  }

  view(): Promise<MemoryView> {
    return Promise.resolve({ ...this.summary(), instances: [] });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
