/** Brings a VM to where it can serve: boot or restore, then a live instance. */
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import type { Config } from '../config/index.js';
import { SparklerError, type ErrorCode } from '../errors.js';
import { GuestSession, SEED_BYTES } from '../guest/index.js';
import type { Journal } from '../registry/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import {
  bootMachine,
  restoreMachine,
  type Machine,
  type MachineLimits,
  type ObservedSpec,
  type VmmDriver,
} from '../vmm/index.js';
import type { Instances } from './instances.js';
import { journalVm } from './journaling.js';
import type { FunctionLogs } from './logs.js';
import type { Restores } from './restores.js';
import type { VmMemories } from './vm-memory.js';
import type { Vm, VmParts } from './vm.js';

export interface StarterDeps {
  readonly config: Config;
  readonly driver: VmmDriver;
  readonly journal: Journal;
  readonly logs: FunctionLogs;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly restores: Restores;
  readonly memories: VmMemories;
  readonly instances: Instances;
}

/** A boot that ended so may succeed when tried again. */
const WORTH_ANOTHER_TRY: readonly ErrorCode[] = [
  'VMM_FAILED',
  'GUEST_NOT_READY',
  'GUEST_PANICKED',
  'GUEST_PROTOCOL',
  'VM_DIED',
];

export class Starter {
  readonly #deps: StarterDeps;
  readonly #limits: MachineLimits;

  constructor(deps: StarterDeps) {
    this.#deps = deps;
    const { timeouts } = deps.config;
    this.#limits = {
      // The driver's own limit comes first; it then needs time to clean up.
      vmmStartMs: timeouts.vmmStartMs + timeouts.closeMs,
      restoreMs: timeouts.restoreMs,
      pauseMs: timeouts.pauseMs,
      snapshotMs: timeouts.snapshotMs,
      // The driver kills what does not end within closeMs: the same again for that.
      closeMs: 2 * timeouts.closeMs,
    };
  }

  /**
   * Journals and makes what the VM needs, and starts it. A booted VM has a live instance
   * afterwards, a restored one stands paused; one made `ahead` of its invocation has been rehearsed
   * before. Whoever called ends the VM when this throws.
   */
  async start(vm: Vm, parts: VmParts, ahead: boolean): Promise<void> {
    const { journal, driver } = this.#deps;
    const { spec, ids } = journalVm(journal, driver, vm.spec(parts));
    vm.journalIds = ids;
    await mkdir(vm.dir, { recursive: true, mode: 0o700 });
    if (vm.request.snapshot) {
      await this.#restore(vm, spec, parts);
      // Whoever waits for it already is served sooner without.
      if (ahead && !vm.slots.taken) await this.#rehearse(vm);
    } else {
      await this.#boot(vm, spec);
      vm.elastic = await this.#deps.memories.open(vm);
      await this.#deps.instances.first(vm);
    }
    vm.mustLive();
  }

  /** `activate`, once for all who want the VM awake. */
  wake(vm: Vm): Promise<number> {
    vm.waking ??= this.activate(vm).finally(() => (vm.waking = undefined));
    return vm.waking;
  }

  /** Resumes a restored VM and waits until its guest confirms. Answers when it was resumed. */
  async activate(vm: Vm): Promise<number> {
    const { machine, session } = vm.live();
    // The frame waits in the port when the guest's CPUs start, and user code is frozen until it is
    // obeyed.
    const confirmed = session.restore(randomBytes(SEED_BYTES), hostTimeNs());
    // Awaited below; until then a failing resume is the better error.
    confirmed.catch(() => undefined);
    await machine.resume();
    const resumed = performance.now();
    await confirmed;
    vm.elastic ??= await this.#deps.memories.open(vm);
    vm.asleep = false;
    return resumed;
  }

  /**
   * Lets a VM that nobody waits for run until its guest confirms the restore, and pauses it again.
   * In emulation this translates the code that its first invocation runs; that invocation's own
   * `activate` reseeds the guest and sets its clock once more, so it stands frozen until then.
   */
  async #rehearse(vm: Vm): Promise<void> {
    await this.activate(vm);
    const { machine, session } = vm.live();
    await session.freeze();
    await machine.pause();
    vm.asleep = true;
  }

  async #boot(vm: Vm, spec: ObservedSpec): Promise<void> {
    const { config, logger, metrics } = this.#deps;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#bootOnce(vm, spec);
        return;
      } catch (error) {
        // Closed first: the console's last lines are there when the VMM is gone.
        await vm.machine?.close();
        const failure = bootFailure(vm.explain(error));
        vm.dropMachine();
        const again = attempt < config.bootAttempts && WORTH_ANOTHER_TRY.includes(failure.code);
        if (!again || vm.ending) throw failure;
        metrics.bootRetried();
        logger.warn({ vmId: vm.vmId, attempt, err: failure }, 'a boot failed and is tried again');
        await rm(vm.dir, { recursive: true, force: true });
        await mkdir(vm.dir, { mode: 0o700 });
      }
    }
  }

  async #bootOnce(vm: Vm, spec: ObservedSpec): Promise<void> {
    vm.mustLive();
    const { config, driver } = this.#deps;
    const machine = await bootMachine(driver, spec, this.#limits);
    const spentMs = performance.now() - machine.marks.requested;
    const session = this.#open(vm, machine, Math.max(1, config.timeouts.bootMs - spentMs));
    vm.mustLive();
    await session.hello;
    // Its clock comes from an emulated RTC, to the second, and its randomness from what it found.
    await session.restore(randomBytes(SEED_BYTES), hostTimeNs());
  }

  async #restore(vm: Vm, spec: ObservedSpec, parts: VmParts): Promise<void> {
    vm.mustLive();
    if (parts.snapshot === undefined) {
      throw new SparklerError('INTERNAL', `VM ${vm.vmId} was admitted without its snapshot.`);
    }
    const { snapshot: loaded } = parts;
    const { memoryPath, statePath } = loaded;
    const { restores, driver, config } = this.#deps;
    const { forkedFrom } = vm;
    const restore = forkedFrom
      ? restores.fork(forkedFrom, loaded)
      : await restores.prepare(vm, loaded);
    vm.restore = restore;
    // What a page server fills belongs to the process that it was made for.
    const isShareable = restore.memory.kind === 'file' || restore.memory.kind === 'layers';
    const mayFork =
      config.pool.fork && driver.capabilities.memorySources.includes('fork') && isShareable;
    vm.canFork = vm.pooled !== undefined && mayFork;
    const onProcess = (pid: number): void => {
      spec.onProcess?.(pid);
      restore.onProcess?.(pid);
    };
    const hasClones = vm.canFork;
    const make = (): Promise<Machine> =>
      restoreMachine(
        driver,
        { ...spec, onProcess, hasClones },
        { memoryPath, statePath },
        restore.memory,
        this.#limits,
      );
    const making = forkedFrom ? forkedFrom.fork(make) : make();
    const machine = await making.catch(async (error: unknown) => {
      // A VMM that reads damaged state says anything.
      await restores.confirm(loaded, restore);
      throw error;
    });
    const instances = forkedFrom?.session?.instances ?? parts.instances;
    this.#open(vm, machine, 0).adopt(instances);
    vm.slots.adopt(instances);
    await restores.confirm(loaded, restore);
    vm.asleep = true;
  }

  #open(vm: Vm, machine: Machine, helloTimeoutMs: number): GuestSession {
    const { config, logs } = this.#deps;
    const { timeouts, limits } = config;
    vm.machine = machine;
    vm.slots.onVacated = (slot) => this.#deps.instances.vacated(vm, slot);
    vm.session = new GuestSession(machine.channel, {
      helloTimeoutMs,
      startTimeoutMs: timeouts.instanceStartMs,
      restoreTimeoutMs: timeouts.restoreConfirmMs,
      exitTimeoutMs: timeouts.closeMs,
      pingTimeoutMs: timeouts.pauseMs,
      freezeTimeoutMs: timeouts.freezeMs,
      logBytes: limits.invocationLogBytes,
      resultBytes: limits.resultBytes,
      onLog: (_instance, chunk) => logs.append(vm.functionName, chunk),
      onExit: (instance) => vm.slots.vacate(instance),
    });
    return vm.session;
  }
}

/** The host's time since the epoch, nanoseconds. */
function hostTimeNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** A VM that ended before its guest said hello was not ready, however it ended. */
function bootFailure(error: SparklerError): SparklerError {
  if (error.code !== 'VM_DIED') return error;
  const message = `The VM ended before its guest was ready: ${error.message}`;
  return new SparklerError('GUEST_NOT_READY', message, { ...error.details, step: 'boot' }, error);
}
