/** Policy `static`: the VM has what it was given, and one instance has the VM. */
import { SparklerError } from '../errors.js';
import { askGuest } from './ask.js';
import type {
  ElasticMemory,
  Grant,
  MemoryPlan,
  MemoryPolicy,
  MemorySummary,
  MemoryView,
  MemoryVm,
} from './policy.js';

class StaticMemory implements ElasticMemory {
  readonly policy = 'static';
  readonly #vm: MemoryVm;
  #grant: Grant | undefined;

  constructor(vm: MemoryVm) {
    this.#vm = vm;
  }

  get promisedMiB(): number {
    return this.#vm.plan.memMiB;
  }

  fits(): string | undefined {
    if (this.#grant === undefined) return undefined;
    return 'its memory is static: it holds one instance';
  }

  grow(): Promise<Grant> {
    const why = this.fits();
    if (why !== undefined) return Promise.reject(noRoom(this.#vm.vmId, why));
    const { limited, instanceMiB } = this.#vm.plan;
    const grant: Grant = {
      memMiB: limited ? instanceMiB : 0,
      engage: () => Promise.resolve(),
      rest: () => undefined,
      release: () => {
        if (this.#grant === grant) this.#grant = undefined;
        return Promise.resolve();
      },
    };
    this.#grant = grant;
    return Promise.resolve(grant);
  }

  resize(): Promise<void> {
    const message = `VM ${this.#vm.vmId} has the memory policy static: its memory has one size. Start a VM with memory_policy balloon, virtio-mem or blocks.`;
    return Promise.reject(new SparklerError('OPERATION_UNSUPPORTED', message, { field: 'mem' }));
  }

  summary(): MemorySummary {
    const { memMiB } = this.#vm.plan;
    return {
      policy: this.policy,
      configuredMiB: memMiB,
      pluggedMiB: memMiB,
      grantedMiB: this.#grant ? memMiB : 0,
    };
  }

  async view(): Promise<MemoryView> {
    const [asked, residentBytes] = await Promise.all([
      askGuest(this.#vm),
      this.#vm.residentBytes(),
    ]);
    return {
      ...this.summary(),
      ...asked.shown,
      ...(residentBytes !== undefined && { residentBytes }),
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What has no room in the VM. */
export function noRoom(vmId: string, why: string): SparklerError {
  return new SparklerError('NO_MEMORY_BLOCK', `VM ${vmId} has no room for the instance: ${why}.`);
}

export const staticPolicy: MemoryPolicy = {
  name: 'static',
  needs: [],
  plan: ({ memMiB, instanceMiB, limited }): MemoryPlan => {
    const size = memMiB ?? instanceMiB;
    const sizes = { memMiB: size, baseMiB: 0, maxMiB: size, instanceMiB };
    return { policy: 'static', ...sizes, ...(limited && { limited }) };
  },
  open: (vm) => Promise.resolve(new StaticMemory(vm)),
};
