/** Random operations on VMs of every memory policy whose instances check what they keep. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Invocation, InvocationResult } from '../../src/client/index.js';
import { asSparklerError, type ErrorCode } from '../../src/errors.js';
import type { DaemonProcess } from '../harness.js';
import type { Random } from '../random.js';
import { deployTouch } from './touch.js';

export interface OperationsOptions {
  readonly daemon: DaemonProcess;
  readonly count: number;
  /** From 0 up to, not including, 1. */
  readonly random: Random;
  readonly signal?: AbortSignal;
}

export interface OperationsResult {
  /** How many of each kind were done. */
  readonly done: Readonly<Record<string, number>>;
  /** Bytes that were found as nobody has written them. */
  readonly wrongBytes: number;
  /** Operations that were not answered in time. */
  readonly hangs: number;
  /** Resizes, and instances that wanted room, that the guest did not get to in time: as is promised. */
  readonly timedOut: number;
  /** What else went wrong, in words. */
  readonly failures: readonly string[];
  /** Bytes that instances kept and checked, in all. */
  readonly checkedBytes: number;
}

/** What the daemon must be configured with. */
export const OPERATIONS_CONFIG = {
  timeouts: { defaultInvocationMs: 120_000, resizeMs: 30_000, idleInstanceMs: 2_000 },
  memory: { baseMiB: 320, instances: 3, giveBackMs: 200, eagerMiB: 16 },
  placement: { maxInstancesPerVm: 3 },
} as const;

/** Longer than anything that is answered at all, ms. */
const HANG_MS = 240_000;
const FUNCTION_MIB = 128;
/** What an instance fills, at most, and what is more than it may have, MiB. */
const FILL_MIB = 64;
const TOO_MUCH_MIB = 192;
/** Operations under way at once on one VM. */
const WORKERS = 2;
const POLICIES = ['balloon', 'virtio-mem', 'blocks'] as const;

/** There is no room now: another instance has it, or it was taken out by hand. */
const NO_ROOM: readonly ErrorCode[] = ['NO_MEMORY_BLOCK', 'NO_PLACE'];

interface Kind {
  readonly name: string;
  /** How often it is chosen among all. */
  readonly weight: number;
  readonly run: (ground: Operations, policy: string, vmId: string) => Promise<void>;
  /** Errors that are right answers; with `must`, one of these it has to be. */
  readonly expected: readonly ErrorCode[];
  readonly must?: true;
}

const KINDS: readonly Kind[] = [
  {
    ...{ name: 'renew', weight: 30, expected: NO_ROOM },
    run: (ground, policy) => ground.call(policy, { do: 'renew', mib: ground.some(FILL_MIB) }),
  },
  {
    ...{ name: 'check', weight: 20, expected: NO_ROOM },
    run: (ground, policy) => ground.call(policy, { do: 'check' }),
  },
  {
    ...{ name: 'another instance', weight: 15, expected: NO_ROOM },
    run: (ground, policy) =>
      ground.call(policy, { do: 'renew', mib: ground.some(FILL_MIB) }, ['vertical']),
  },
  {
    ...{ name: 'resize', weight: 20, expected: ['INVALID_REQUEST'] },
    run: (ground, _, vmId) => ground.resize(vmId),
  },
  {
    ...{ name: 'exit', weight: 7, expected: ['HANDLER_EXITED', ...NO_ROOM], must: true },
    run: (ground, policy) => ground.call(policy, { do: 'exit' }),
  },
  {
    ...{ name: 'overfill', weight: 8, expected: ['HANDLER_OUT_OF_MEMORY', ...NO_ROOM], must: true },
    run: (ground, policy) => ground.call(policy, { do: 'renew', mib: TOO_MUCH_MIB }),
  },
];

/** Does them, two at a time on each VM; its VMs are gone afterwards. */
export async function randomOperations(options: OperationsOptions): Promise<OperationsResult> {
  const operations = new Operations(options);
  await operations.prepare();
  try {
    await operations.run();
    return operations.result;
  } finally {
    await operations.end();
  }
}

class Operations {
  readonly #options: OperationsOptions;
  readonly #vms = new Map<string, string>();
  readonly #done: Record<string, number> = {};
  readonly #failures: string[] = [];
  #left: number;
  #wrongBytes = 0;
  #checkedBytes = 0;
  #hangs = 0;
  #timedOut = 0;
  #seed = 0;

  constructor(options: OperationsOptions) {
    this.#options = options;
    this.#left = options.count;
  }

  get result(): OperationsResult {
    return {
      ...{ done: this.#done, failures: this.#failures, hangs: this.#hangs },
      ...{ wrongBytes: this.#wrongBytes, checkedBytes: this.#checkedBytes },
      timedOut: this.#timedOut,
    };
  }

  async prepare(): Promise<void> {
    const { daemon } = this.#options;
    for (const policy of POLICIES) {
      const name = functionOf(policy);
      await deployTouch(daemon, { func_name: name, mem_size: FUNCTION_MIB, timeout_ms: 120_000 });
      const { vmId } = await daemon.client.vms.start({ func_name: name, memory_policy: policy });
      this.#vms.set(policy, vmId);
      await this.call(policy, { do: 'renew', mib: FILL_MIB }, undefined, vmId);
    }
  }

  async run(): Promise<void> {
    const workers = POLICIES.flatMap((policy) =>
      Array.from({ length: WORKERS }, () => this.#work(policy)),
    );
    await Promise.all(workers);
    // What the last operations have done shows in what the instances keep.
    for (const policy of POLICIES) {
      const kind = { name: 'last check', weight: 0, expected: NO_ROOM };
      await this.#do({ ...kind, run: () => this.call(policy, { do: 'check' }) }, policy);
    }
  }

  async end(): Promise<void> {
    for (const vmId of this.#vms.values()) await this.#options.daemon.client.vms.delete(vmId);
  }

  /** A whole number from 1 to `most`. */
  some(most: number): number {
    return 1 + Math.floor(this.#options.random() * most);
  }

  async call(
    policy: string,
    event: object,
    placement: Invocation['placement'] = ['warm', 'vertical'],
    vmId?: string,
  ): Promise<void> {
    const params = JSON.stringify({ ...event, seed: ++this.#seed });
    const target = vmId === undefined ? { placement } : { vmId };
    const func_name = functionOf(policy);
    const { result }: InvocationResult = await this.#options.daemon.client.invoke({
      ...{ func_name, params, ...target },
    });
    const { wrong, kept } = JSON.parse(result) as { wrong: number; kept: number };
    this.#wrongBytes += wrong;
    this.#checkedBytes += kept;
  }

  /** To a size that may or may not be possible. */
  async resize(vmId: string): Promise<void> {
    const { client } = this.#options.daemon;
    const { configuredMiB } = (await client.vms.get(vmId)).memory;
    const most = Math.floor(configuredMiB / FUNCTION_MIB) + 1;
    const below = FUNCTION_MIB * (this.some(most) - 1);
    // Mostly one of the sizes that blocks make up; else any.
    const mem = this.#options.random() < 0.7 ? configuredMiB - below : this.some(configuredMiB);
    await client.vms.resize(vmId, Math.max(1, mem));
  }

  async #work(policy: string): Promise<void> {
    while (this.#left > 0 && this.#hangs === 0) {
      this.#options.signal?.throwIfAborted();
      this.#left--;
      await this.#do(this.#choose(), policy);
    }
  }

  #choose(): Kind {
    const all = KINDS.reduce((sum, { weight }) => sum + weight, 0);
    let at = this.#options.random() * all;
    const found = KINDS.find(({ weight }) => (at -= weight) < 0);
    if (found === undefined) throw new RangeError('no kind was chosen');
    return found;
  }

  async #do(kind: Kind, policy: string): Promise<void> {
    this.#done[kind.name] = (this.#done[kind.name] ?? 0) + 1;
    const timer = new AbortController();
    const late = sleep(HANG_MS, 'late', { signal: timer.signal }).catch(() => 'in time');
    const outcome = kind.run(this, policy, this.#vms.get(policy) ?? '').then(
      () => undefined,
      (error: unknown) => error,
    );
    const first = await Promise.race([outcome, late]);
    timer.abort();
    if (first === 'late') {
      this.#hangs++;
      this.#failures.push(`${policy}: ${kind.name} was not answered within ${HANG_MS} ms`);
      return;
    }
    this.#judge(kind, policy, first);
  }

  #judge({ name, expected, must }: Kind, policy: string, error: unknown): void {
    this.#options.signal?.throwIfAborted();
    if (error === undefined) {
      if (must) this.#failures.push(`${policy}: ${name} was answered as if all were well`);
      return;
    }
    const { code, message } = asSparklerError(error);
    if (code === 'RESIZE_TIMED_OUT') this.#timedOut++;
    else if (!expected.includes(code)) {
      this.#failures.push(`${policy}: ${name}: ${code}: ${message}`);
    }
  }
}

const functionOf = (policy: string): string => `keep-${policy}`;
