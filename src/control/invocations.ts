/** An invocation: finds or starts its VM, waits for its turn, calls the handler, measures. */
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import { newTraceId, type Metrics } from '../telemetry/index.js';
import type { VmStats } from '../vmm/index.js';
import { invalid } from './errors.js';
import type { Functions } from './functions.js';
import { checkOptions } from './restore-options.js';
import type { InvocationInput, InvocationOutput, InvocationPhases, StartKind } from './types.js';
import type { Vm } from './vm.js';
import type { Pool, PoolHit } from './pool.js';
import type { Restores } from './restores.js';
import type { Vms } from './vms.js';

export interface InvocationsDeps {
  readonly config: Config;
  readonly functions: Functions;
  readonly vms: Vms;
  readonly pool: Pool;
  readonly metrics: Metrics;
  readonly restores: Restores;
}

/** One request, with what is known before its VM is. */
interface Call {
  readonly functionName: string;
  readonly event: string;
  readonly timeoutMs: number;
  readonly traceId: string;
  /** `performance.now()` at the request's arrival: all phases count from here. */
  readonly requested: number;
  /** What the input asks for, until the VM's state says better. */
  kind: StartKind;
  /** The handler was given its event: from then on nothing is tried again. */
  isGiven: boolean;
}

interface Target {
  readonly vm: Vm;
  /** Made for this invocation: when that fails, nothing is left behind. */
  readonly made: boolean;
  /** It was started ahead, and waited in the pool; or it is forked from one that does. */
  readonly pooled?: 'taken' | 'forked';
}

const NOTHING_YET: VmStats = { minorFaults: 0, majorFaults: 0, residentBytes: 0 };
const NO_EVENT = '{}';

export class Invocations {
  readonly #deps: InvocationsDeps;

  constructor(deps: InvocationsDeps) {
    this.#deps = deps;
  }

  /** @throws SparklerError of every kind; see docs/errors.md. */
  async invoke(input: InvocationInput): Promise<InvocationOutput> {
    const call = this.#check(input);
    const { pool } = this.#deps;
    pool.begin();
    try {
      const output = await this.#serve(input, call);
      this.#count(call, 'ok', output);
      return output;
    } catch (error) {
      this.#count(call, error instanceof SparklerError ? error.code : 'INTERNAL');
      throw error;
    } finally {
      pool.end();
    }
  }

  /** VMs are found at once, so that calls get their turns in the order in which they came. */
  async #serve(input: InvocationInput, call: Call): Promise<InvocationOutput> {
    const { pool } = this.#deps;
    if (input.vmId !== undefined) {
      return this.#run(this.#find(input.vmId, input.functionName), call);
    }
    const hit = pool.take(input);
    if (hit) {
      try {
        return await this.#run(await this.#fromPool(hit, input), call);
      } catch (error) {
        if (call.isGiven) throw error;
        pool.lost(hit.vm);
      }
    }
    return this.#run(await this.#make(input, call.event), call);
  }

  #check(input: InvocationInput): Call {
    const requested = performance.now();
    const fn = this.#deps.functions.get(input.functionName);
    const { limits } = this.#deps.config;
    const event = input.params ?? NO_EVENT;
    if (Buffer.byteLength(event) > limits.invocationBodyBytes) {
      const message = `params takes more than ${limits.invocationBodyBytes} bytes.`;
      throw new SparklerError('BODY_TOO_LARGE', message, { field: 'params' });
    }
    checkJson(event);
    const { restore } = input;
    if (restore) checkOptions(restore.strategy ?? fn.restoreStrategy, restore.options);
    const { timeoutMs } = input;
    if (timeoutMs !== undefined && (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1)) {
      throw invalid('timeout_ms', 'must be a whole number of milliseconds, at least 1');
    }
    return {
      functionName: fn.name,
      event,
      timeoutMs: Math.min(fn.timeoutMs, timeoutMs ?? fn.timeoutMs),
      traceId: input.traceId ?? newTraceId(),
      requested,
      kind: input.vmId !== undefined ? 'warm' : input.ssId ? 'snapshot' : 'cold',
      isGiven: false,
    };
  }

  async #fromPool({ vm, isForked }: PoolHit, input: InvocationInput): Promise<Target> {
    if (!isForked) return { vm, made: true, pooled: 'taken' };
    const { functionName, ssId, namespace } = input;
    const { strategy } = vm.request.restore ?? {};
    const wish = {
      functionName,
      ...(ssId !== undefined && { ssId }),
      ...(namespace !== undefined && { namespace }),
      ...(strategy !== undefined && { restore: { strategy } }),
    };
    const forked = await this.#deps.vms.create(wish, { forkedFrom: vm });
    return { vm: forked, made: true, pooled: 'forked' };
  }

  async #make(input: InvocationInput, event: string): Promise<Target> {
    const { functionName, ssId, namespace, restore } = input;
    const vm = await this.#deps.vms.create({
      functionName,
      ...(ssId !== undefined && { ssId, restore: { ...restore, event } }),
      ...(namespace !== undefined && { namespace }),
    });
    return { vm, made: true };
  }

  #find(vmId: string, functionName: string): Target {
    const vm = this.#deps.vms.get(vmId);
    if (vm.functionName === functionName) {
      return { vm: this.#deps.vms.claim(vmId), made: false };
    }
    throw new SparklerError(
      'FUNCTION_MISMATCH',
      `VM ${vmId} runs the function ${vm.functionName}, not ${functionName}.`,
      { field: 'func_name' },
    );
  }

  async #run(target: Target, call: Call): Promise<InvocationOutput> {
    const { vm, made } = target;
    const release = await vm.turns.take(this.#deps.config.limits.maxQueuedPerVm);
    try {
      await vm.usable();
      return await this.#call(target, call);
    } catch (error) {
      throw await this.#failed(vm, made, error);
    } finally {
      vm.usedAt = performance.now();
      // The answer does not wait for what is learned from it; the next one does.
      void vm.finishing.finally(release);
    }
  }

  async #call({ vm, made, pooled }: Target, call: Call): Promise<InvocationOutput> {
    const { starter } = this.#deps.vms;
    const isNew = made && pooled !== 'taken';
    if (pooled) mustBeLearned(vm);
    const before = isNew ? NOTHING_YET : await vm.stats();
    // Restored ahead, this is the invocation that wakes it.
    if (vm.asleep) call.kind = 'snapshot';
    const resumed = vm.asleep ? await starter.activate(vm) : undefined;
    const instance = await starter.ensureInstance(vm);
    const { session } = vm.live();
    const ready = performance.now();
    this.#deps.pool.learn(vm, pooled !== undefined, ready - call.requested);
    const context = {
      requestId: call.traceId,
      functionName: call.functionName,
      memoryMiB: vm.request.memMiB,
    };
    call.isGiven = true;
    const answer = await session.invoke(instance, call.event, context, call.timeoutMs);
    const answered = performance.now();
    vm.invocations++;
    const [after, restore] = await Promise.all([
      vm.stats(),
      this.#deps.restores.finish(vm, answered - call.requested),
    ]);
    return {
      vmId: vm.vmId,
      traceId: call.traceId,
      startKind: call.kind,
      ...(pooled && { pooled: true }),
      ...(pooled === 'forked' && { forked: true }),
      result: answer.json.toString(),
      durationMs: performance.now() - call.requested,
      handlerMs: answer.handlerMs,
      phases: phasesOf(vm, isNew, call.requested, { resumed, ready, answered }),
      faults: {
        minor: Math.max(0, after.minorFaults - before.minorFaults),
        major: Math.max(0, after.majorFaults - before.majorFaults),
      },
      ...(restore && { restore }),
      logs: answer.logs,
    };
  }

  /** Ends what must not stay after a failure, and says what went wrong as fully as is known. */
  async #failed(vm: Vm, made: boolean, error: unknown): Promise<SparklerError> {
    const known = await vm.failure(error);
    const { fault } = known.kind;
    const isOver = vm.machine?.state === 'failed';
    const broken = fault === 'guest' || known.code === 'VMM_FAILED' || isOver;
    if (made || broken) await this.#deps.vms.end(vm, broken ? 'died' : 'deleted', known);
    // Explained again: the console's last lines are complete when the VMM is gone.
    return broken ? vm.explain(known) : known;
  }

  #count(call: Call, outcome: string, output?: InvocationOutput): void {
    this.#deps.metrics.invocationEnded({
      startKind: call.kind,
      outcome,
      durationMs: output?.durationMs ?? performance.now() - call.requested,
      ...(output && { handlerMs: output.handlerMs, phases: { ...output.phases } }),
    });
  }
}

/** A VM of the pool that was still starting when it was taken turns out to lack its recording. */
function mustBeLearned(vm: Vm): void {
  if (vm.restore?.unlearned !== true) return;
  throw new SparklerError('VM_WRONG_STATE', `VM ${vm.vmId} was restored before its recording.`);
}

function phasesOf(
  vm: Vm,
  isNew: boolean,
  requested: number,
  at: { readonly resumed: number | undefined; readonly ready: number; readonly answered: number },
): InvocationPhases {
  const since = (mark: number): number => mark - requested;
  const marks = isNew ? vm.machine?.marks : undefined;
  return {
    ...(marks && { vmmUp: since(marks.vmmUp) }),
    ...(marks?.stateLoaded !== undefined && { stateLoaded: since(marks.stateLoaded) }),
    ...(marks?.memoryReady !== undefined && { memoryReady: since(marks.memoryReady) }),
    ...(at.resumed !== undefined && { resumed: since(at.resumed) }),
    ready: since(at.ready),
    firstResponse: since(at.answered),
  };
}

function checkJson(event: string): void {
  if (event === NO_EVENT) return;
  try {
    JSON.parse(event);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `params is not JSON: ${reason}`;
    throw new SparklerError('INVALID_PARAMS', message, { field: 'params' }, error);
  }
}
