/** An invocation: finds or starts its VM, waits for its turn, calls the handler, measures. */
import type { Config } from '../config/index.js';
import { SparklerError } from '../errors.js';
import { newTraceId, type Logger, type Metrics } from '../telemetry/index.js';
import type { VmStats } from '../vmm/index.js';
import { invalid } from './errors.js';
import { checkOrder } from './function-input.js';
import type { Functions } from './functions.js';
import type { Instances } from './instances.js';
import type { Decision, Passed } from './placement.js';
import { Placer, type Shut } from './placer.js';
import type { Pool, PoolHit } from './pool.js';
import { checkOptions } from './restore-options.js';
import type { Restores } from './restores.js';
import type { SlotTurn } from './slots.js';
import type { Snapshots } from './snapshots.js';
import type {
  FunctionRecord,
  InvocationInput,
  InvocationOutput,
  InvocationPhases,
  PlacementInfo,
  StartKind,
} from './types.js';
import type { Vm } from './vm.js';
import type { Vms } from './vms.js';

export interface InvocationsDeps {
  readonly config: Config;
  readonly functions: Functions;
  readonly vms: Vms;
  readonly pool: Pool;
  readonly snapshots: Snapshots;
  readonly instances: Instances;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly restores: Restores;
}

/** One request, with what is known before its VM is. */
interface Call {
  readonly fn: FunctionRecord;
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
  /** Why it went where it went, when it was for the daemon to say. */
  placement?: PlacementInfo;
}

interface Target {
  readonly vm: Vm;
  /** Made for this invocation: when that fails, nothing of it is left behind. */
  readonly made?: 'vm' | 'instance';
  /** It was started ahead, and waited in the pool; or it is forked from one that does. */
  readonly pooled?: 'taken' | 'forked';
  /** The turn of an instance that was made for it. */
  readonly turn?: SlotTurn;
}

/** How many places may turn out not to be open, one after another, before the last one's error is told. */
const MAX_MOVES = 4;

const NOTHING_YET: VmStats = { minorFaults: 0, majorFaults: 0, residentBytes: 0 };
const NO_EVENT = '{}';

/** A target with its turn. */
type Placed = Target & { readonly turn: SlotTurn };

/** How an invocation starts that goes there. */
const KINDS = {
  idle: 'warm',
  line: 'warm',
  grow: 'vertical',
  restore: 'snapshot',
  boot: 'cold',
  none: 'cold',
} as const satisfies Record<Decision['target']['to'], StartKind>;

export class Invocations {
  readonly #deps: InvocationsDeps;
  readonly #placer: Placer;

  constructor(deps: InvocationsDeps) {
    this.#deps = deps;
    this.#placer = new Placer(deps);
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
    if (input.vmId !== undefined) {
      return this.#run(this.#find(input.vmId, input.functionName), call);
    }
    if (input.ssId !== undefined) return this.#restore(input, call);
    return this.#place(input, call);
  }

  /** In a VM of the snapshot: one of the pool where one waits, or a fork of it. */
  async #restore(input: InvocationInput, call: Call): Promise<InvocationOutput> {
    const { pool } = this.#deps;
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

  /** Where the function's rules say; a place that turns out not to be open is passed over. */
  async #place(input: InvocationInput, call: Call): Promise<InvocationOutput> {
    const { logger } = this.#deps;
    const shut: Shut = { ids: new Set(), full: new Map() };
    const failed: Passed[] = [];
    for (;;) {
      const decision = this.#placer.decide(input, call.fn, shut);
      const { target, why } = decision;
      call.placement = { why, passed: [...failed, ...decision.passed] };
      call.kind = KINDS[target.to];
      const facts = { functionName: call.functionName, traceId: call.traceId, ...target };
      // A line for each warm invocation would drown the others.
      logger[target.to === 'idle' ? 'debug' : 'info']({ ...facts, ...call.placement }, 'placed');
      try {
        return await this.#go(input, call, decision);
      } catch (error) {
        const isLast = failed.length >= MAX_MOVES || target.to === 'boot' || target.to === 'line';
        if (call.isGiven || isLast || !this.#placer.movesOn(error)) throw error;
        logger.warn({ ...facts, err: error }, 'a place was not open after all');
        failed.push({ place: call.kind, why: error.message });
        if (target.to === 'grow') shut.full.set(target.vmId, error.message);
        else if (target.to === 'idle') shut.ids.add(target.vmId);
        else if (target.to === 'restore') shut.ids.add(target.ssId);
      }
    }
  }

  #go(input: InvocationInput, call: Call, { target }: Decision): Promise<InvocationOutput> {
    const { vms } = this.#deps;
    switch (target.to) {
      case 'idle':
      case 'line':
        return this.#run({ vm: vms.get(target.vmId) }, call);
      case 'grow': {
        const vm = vms.get(target.vmId);
        return this.#run({ vm, made: 'instance', turn: vm.slots.add() }, call);
      }
      case 'restore':
        return this.#restore({ ...input, ssId: target.ssId }, call);
      default:
        return this.#make(input, call.event).then((made) => this.#run(made, call));
    }
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
    const { timeoutMs, placement } = input;
    if (placement) checkOrder(placement);
    if (placement && (input.vmId ?? input.ssId) !== undefined) {
      throw invalid('placement', 'is for an invocation that names neither a VM nor a snapshot');
    }
    if (timeoutMs !== undefined && (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1)) {
      throw invalid('timeout_ms', 'must be a whole number of milliseconds, at least 1');
    }
    return {
      fn,
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
    if (!isForked) return { vm, made: 'vm', pooled: 'taken' };
    const { functionName, ssId, namespace } = input;
    const { strategy } = vm.request.restore ?? {};
    const wish = {
      functionName,
      ...(ssId !== undefined && { ssId }),
      ...(namespace !== undefined && { namespace }),
      ...(strategy !== undefined && { restore: { strategy } }),
    };
    const forked = await this.#deps.vms.create(wish, { forkedFrom: vm });
    return { vm: forked, made: 'vm', pooled: 'forked' };
  }

  async #make(input: InvocationInput, event: string): Promise<Target> {
    const { functionName, ssId, namespace, restore } = input;
    const vm = await this.#deps.vms.create({
      functionName,
      ...(ssId !== undefined && { ssId, restore: { ...restore, event } }),
      ...(namespace !== undefined && { namespace }),
    });
    return { vm, made: 'vm' };
  }

  #find(vmId: string, functionName: string): Target {
    const vm = this.#deps.vms.get(vmId);
    if (vm.functionName === functionName) {
      return { vm: this.#deps.vms.claim(vmId) };
    }
    throw new SparklerError(
      'FUNCTION_MISMATCH',
      `VM ${vmId} runs the function ${vm.functionName}, not ${functionName}.`,
      { field: 'func_name' },
    );
  }

  async #run(target: Target, call: Call): Promise<InvocationOutput> {
    const { vm } = target;
    const { maxQueuedPerVm } = this.#deps.config.limits;
    const turn = target.turn ?? (await vm.slots.take(maxQueuedPerVm));
    const { release } = turn;
    try {
      await vm.usable();
      return await this.#call({ ...target, turn }, call);
    } catch (error) {
      throw await this.#failed({ ...target, turn }, error);
    } finally {
      vm.usedAt = performance.now();
      // The answer does not wait for what is learned from it; the next one does.
      void vm.finishing.finally(release);
    }
  }

  async #call({ vm, made, pooled, turn }: Placed, call: Call): Promise<InvocationOutput> {
    const { starter } = this.#deps.vms;
    const isNew = made === 'vm' && pooled !== 'taken';
    if (pooled) mustBeLearned(vm);
    const before = isNew ? NOTHING_YET : await vm.stats();
    // Restored ahead, this is the invocation that wakes it.
    if (vm.asleep) call.kind = 'snapshot';
    const resumed = vm.asleep ? await starter.wake(vm) : undefined;
    const { slot } = turn;
    const isFresh = slot.instance === undefined || call.kind === 'cold';
    const instance = await this.#deps.instances.ensure(vm, slot);
    const { grant, born } = slot;
    const { session } = vm.live();
    const ready = performance.now();
    this.#deps.pool.learn(vm, pooled !== undefined, ready - call.requested);
    const context = {
      requestId: call.traceId,
      functionName: call.functionName,
      // A grant of 0: the VM's own memory is the limit.
      memoryMiB: grant?.memMiB || vm.request.memMiB,
    };
    await grant?.engage();
    call.isGiven = true;
    const answer = await session
      .invoke(instance, call.event, context, call.timeoutMs)
      .finally(() => grant?.rest(instance));
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
      ...(call.placement && { placement: call.placement }),
      ...(pooled && { pooled: true }),
      ...(pooled === 'forked' && { forked: true }),
      ...(isFresh && born && { instance: born }),
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
  async #failed({ vm, made, turn }: Placed, error: unknown): Promise<SparklerError> {
    const known = await vm.failure(error);
    const { fault } = known.kind;
    const isOver = vm.machine?.state === 'failed';
    // It has the size of before, and goes on.
    const isGuests = fault === 'guest' && known.code !== 'RESIZE_TIMED_OUT';
    const broken = isGuests || known.code === 'VMM_FAILED' || isOver;
    if (made === 'vm' || broken) {
      await this.#deps.vms.end(vm, broken ? 'died' : 'deleted', known);
    } else if (made === 'instance') await this.#deps.vms.endInstance(vm, turn.slot);
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
