/** Joins memory policies to VMs: what is asked of a VM's memory, and the memory of one that runs. */
import type { Config } from '../config/index.js';
import { asSparklerError, SparklerError } from '../errors.js';
import {
  Peaks,
  planMemory,
  policyMissing,
  policyOf,
  type ElasticMemory,
  type MemoryPlan,
  type MemorySummary,
  type MemoryView,
  type PeakStore,
} from '../memory/index.js';
import type { Logger } from '../telemetry/index.js';
import type { VmmCapabilities, VmmDriver } from '../vmm/index.js';
import type { FunctionRecord, VmInput } from './types.js';
import type { Vm } from './vm.js';

export interface VmMemoriesDeps {
  readonly config: Config;
  readonly driver: VmmDriver;
  readonly logger: Logger;
  /** Where peaks are kept. */
  readonly registry: PeakStore;
  /** Instead of what the VM's policy makes of its memory; undefined: that. */
  readonly openMemory?: (vm: Vm) => ElasticMemory | undefined;
}

export class VmMemories {
  readonly #deps: VmMemoriesDeps;
  readonly #peaks: Peaks;

  /** @throws SparklerError INVALID_CONFIG when the configured policy is not to be had. */
  constructor(deps: VmMemoriesDeps) {
    this.#deps = deps;
    this.#peaks = new Peaks(deps.registry);
    const { policy } = deps.config.memory;
    const missing = policyMissing(policy, deps.driver.capabilities);
    if (missing === undefined) return;
    const message = `memory.policy cannot be ${policy} here: ${missing}.`;
    throw new SparklerError('INVALID_CONFIG', message, { field: 'memory.policy' });
  }

  /** @throws SparklerError OPERATION_UNSUPPORTED, INVALID_REQUEST, LIMIT_EXCEEDED: see `planMemory`. */
  plan(input: VmInput, fn: FunctionRecord): MemoryPlan {
    const { config, driver } = this.#deps;
    const { capabilities } = driver;
    const settings = config.memory;
    const wish = {
      ...{ instanceMiB: fn.memMiB, settings, capabilities },
      ...(input.memMiB !== undefined && { memMiB: input.memMiB }),
      ...(input.blocksMiB && { blocksMiB: input.blocksMiB }),
      ...(input.limited && { limited: true }),
    };
    const plan = planMemory(input.memoryPolicy ?? settings.policy, wish, capabilities);
    if (plan.maxMiB <= config.limits.maxMemMiB) return plan;
    const message = `mem: ${plan.maxMiB} MiB are more than limits.maxMemMiB allows, ${config.limits.maxMemMiB} MiB.`;
    throw new SparklerError('LIMIT_EXCEEDED', message, { field: 'mem' });
  }

  /** The memory of a VM that has just come up. @throws SparklerError OPERATION_UNSUPPORTED */
  open(vm: Vm): Promise<ElasticMemory> {
    const other = this.#deps.openMemory?.(vm);
    if (other) return Promise.resolve(other);
    const { config, driver, logger } = this.#deps;
    const { machine, session } = vm.live();
    const plan = vm.request.memory;
    return policyOf(plan.policy).open({
      ...{ vmId: vm.vmId, functionName: vm.functionName, plan },
      ...{ memory: machine.memory, guest: session },
      isRunning: () => machine.state === 'running',
      residentBytes: () => vm.residentBytes(),
      settings: config.memory,
      capabilities: driver.capabilities,
      resizeMs: config.timeouts.resizeMs,
      peaks: this.#peaks,
      warn: (err, message) =>
        logger.warn({ vmId: vm.vmId, ...(err !== undefined && { err }) }, message),
    });
  }
}

/** What this host cannot do of what the configuration asks for, for the operator. */
export function memoryWarnings(
  { memory }: Pick<Config, 'memory'>,
  capabilities: VmmCapabilities,
): string[] {
  if (!memory.preTdpFault || capabilities.memory.includes('prefault')) return [];
  const why = capabilities.missingMemory?.prefault ?? 'the VMM cannot do it';
  return [`memory.preTdpFault is unavailable: ${why}`];
}

/** What is known of a VM's memory without asking anybody. */
export function memorySummary({ elastic, request }: Vm): MemorySummary {
  const { policy, memMiB, maxMiB } = request.memory;
  const start = { policy, configuredMiB: maxMiB, pluggedMiB: memMiB, grantedMiB: 0 };
  return elastic?.summary() ?? start;
}

/** All that is known of it. A VM that ends while it is asked has a summary. */
export async function memoryView(vm: Vm): Promise<MemorySummary | MemoryView> {
  return (await vm.elastic?.view().catch(() => undefined)) ?? memorySummary(vm);
}

/**
 * Sets a VM's memory by hand.
 * @throws SparklerError OPERATION_UNSUPPORTED, INVALID_REQUEST, RESIZE_TIMED_OUT, VM_WRONG_STATE, and
 * what its start failed with.
 */
export async function resizeMemory(vm: Vm, memMiB: number): Promise<void> {
  try {
    await vm.started;
    const { machine } = vm.live();
    // It has no policy while it waits for its first invocation.
    if (vm.asleep || vm.elastic === undefined) {
      const message = `VM ${vm.vmId} is ${machine.state}: its first invocation resumes it.`;
      throw new SparklerError('VM_WRONG_STATE', message, { field: 'vmId' });
    }
    await vm.elastic.resize(memMiB);
  } catch (error) {
    throw await vm.failure(asSparklerError(error));
  }
}
