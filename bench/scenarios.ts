/** The ways in which `hello` starts, each as something that can be run again and again. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FunctionSettings, Invocation, InvocationResult } from '../src/client/index.js';
import { type DaemonProcess, Home } from './harness.js';
import type { Sample, Unit } from './report.js';
import { percentile } from './statistics.js';

export const HELLO: FunctionSettings = {
  func_name: 'hello',
  runtime: 'python3',
  handler: 'app.handler',
  mem_size: 512,
  vcpu: 1,
};
export const HELLO_FOLDER = 'functions/hello';

/** Between two looks at the state of a VM that is started ahead, ms. */
const STATE_POLL_MS = 5;
const STATE_LIMIT_MS = 20_000;
const KIB_PER_MIB = 1024;

/** One case, or several that share their preparation. */
export interface Scenario {
  readonly name: (typeof SCENARIO_NAMES)[number];
  run(): Promise<readonly Sample[]>;
}

/** What scenarios run against. */
export interface Stage {
  readonly daemon: DaemonProcess;
  /** A VM that has served `hello`, alive throughout. */
  readonly warmVm: string;
  /** A snapshot of it. */
  readonly ssId: string;
  /** A daemon over the in-memory driver, and its VM. */
  readonly fake: { readonly daemon: DaemonProcess; readonly vmId: string };
  /** Warm invocations in one run. */
  readonly warmCalls: number;
  /** How long a daemon rests before its memory is read, ms. */
  readonly restMs: number;
  readonly signal: AbortSignal;
}

interface Timed {
  readonly result: InvocationResult;
  /** From the call until its answer was read, at the client, ms. */
  readonly requestMs: number;
}

/** Invokes `hello`, and refuses an answer that is not its own or came another way than meant. */
export async function timedHello(
  daemon: DaemonProcess,
  startKind: InvocationResult['startKind'],
  target: Omit<Invocation, 'func_name'> = {},
): Promise<Timed> {
  const before = performance.now();
  const result = await daemon.client.invoke({
    func_name: HELLO.func_name,
    // Else it would go to a VM that runs.
    ...(startKind === 'cold' && { placement: ['cold' as const] }),
    ...target,
  });
  const requestMs = performance.now() - before;
  const { message } = JSON.parse(result.result) as { message?: unknown };
  if (message === 'Hello, World!' && result.startKind === startKind) return { result, requestMs };
  throw new Error(`not a ${startKind} hello, but ${result.startKind}: ${result.result}`);
}

const of =
  (name: string, unit: Unit = 'ms') =>
  (metric: string, value: number): Sample => ({ case: name, metric, unit, value });

/** A VM is booted and answers; then its first and its second snapshot are taken. */
function coldAndSnapshot({ daemon: { client }, daemon }: Stage): Scenario {
  const take = async (name: string, vmId: string): Promise<Sample[]> => {
    const sample = of(name);
    const before = performance.now();
    const taken = await client.snapshots.take({ vmId });
    const request = sample('request', performance.now() - before);
    await client.snapshots.delete(taken.ssId);
    return [request, sample('total', taken.duration_ms), sample('paused', taken.paused_ms)];
  };
  return {
    name: 'cold boot and snapshot',
    run: async () => {
      const { result, requestMs } = await timedHello(daemon, 'cold');
      const samples = [
        of('cold boot')('request', requestMs),
        ...(await take('snapshot', result.vmId)),
        ...(await take('second snapshot', result.vmId)),
      ];
      await client.vms.delete(result.vmId);
      return samples;
    },
  };
}

const PHASES = ['vmmUp', 'stateLoaded', 'resumed', 'ready', 'firstResponse'] as const;

function phaseSamples(sample: ReturnType<typeof of>, { phases }: InvocationResult): Sample[] {
  return PHASES.flatMap((phase) => {
    const value = phases[phase];
    return value === undefined ? [] : [sample(phase, value)];
  });
}

function restore({ daemon, ssId }: Stage): Scenario {
  const sample = of('restore');
  return {
    name: 'restore',
    run: async () => {
      const { result, requestMs } = await timedHello(daemon, 'snapshot', { ssId });
      await daemon.client.vms.delete(result.vmId);
      return [sample('request', requestMs), ...phaseSamples(sample, result)];
    },
  };
}

/** The VM is forked from one that stands in the pool. */
function restoreForked({ daemon, ssId, signal }: Stage): Scenario {
  const sample = of('restore, forked');
  const { client } = daemon;
  return {
    name: 'restore, forked',
    run: async () => {
      const { vmId } = await client.vms.pool({ ssId });
      await untilPaused(daemon, vmId, signal);
      const { result, requestMs } = await timedHello(daemon, 'snapshot', { ssId });
      if (result.forked !== true) throw new Error('the VM was not forked');
      await client.vms.delete(result.vmId);
      await client.vms.delete(vmId);
      return [sample('request', requestMs), ...phaseSamples(sample, result)];
    },
  };
}

async function untilPaused(
  { client }: DaemonProcess,
  vmId: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + STATE_LIMIT_MS;
  while ((await client.vms.get(vmId)).state !== 'paused') {
    if (performance.now() > deadline) throw new Error(`VM ${vmId} is not paused in time`);
    await sleep(STATE_POLL_MS, undefined, { signal });
  }
}

/** The VMM is there and the state loaded before the request comes. */
function restoreAhead({ daemon, ssId, signal }: Stage): Scenario {
  const sample = of('restore, VMM ahead');
  const { client } = daemon;
  return {
    name: 'restore, VMM ahead',
    run: async () => {
      const { vmId } = await client.vms.start({ func_name: HELLO.func_name, ssId });
      await untilPaused(daemon, vmId, signal);
      const { result, requestMs } = await timedHello(daemon, 'snapshot', { vmId });
      await client.vms.delete(vmId);
      return [sample('request', requestMs), ...phaseSamples(sample, result)];
    },
  };
}

/** Warm invocations one after another. `p99` is of this run's calls: one value for each run. */
function warm(
  name: Scenario['name'],
  daemon: DaemonProcess,
  vmId: string,
  calls: number,
): Scenario {
  const sample = of(name);
  return {
    name,
    run: async () => {
      const samples: Sample[] = [];
      const overheads: number[] = [];
      for (let call = 0; call < calls; call++) {
        const { result, requestMs } = await timedHello(daemon, 'warm', { vmId });
        const overhead = requestMs - result.handlerMs;
        overheads.push(overhead);
        samples.push(
          sample('less handler', overhead),
          sample('inside daemon', result.duration - result.handlerMs),
        );
      }
      return [...samples, sample('less handler, p99', percentile(overheads, 99))];
    },
  };
}

/** A daemon in a new data folder with nothing to do. */
function atRest({ restMs, signal }: Stage): Scenario {
  const sample = of('daemon at rest', 'MiB');
  return {
    name: 'daemon at rest',
    run: async () => {
      const home = new Home();
      try {
        const { pid } = await home.daemon(signal);
        await sleep(restMs, undefined, { signal });
        return [sample('resident', residentMiB(pid))];
      } finally {
        await home.dispose();
      }
    },
  };
}

function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) / KIB_PER_MIB;
}

/** The scenarios' names, without a stage. */
export const SCENARIO_NAMES = [
  'cold boot and snapshot',
  'restore',
  'restore, forked',
  'restore, VMM ahead',
  'warm',
  "daemon's part of warm",
  'daemon at rest',
] as const;

export function scenarios(stage: Stage): readonly Scenario[] {
  const { daemon, warmVm, fake, warmCalls } = stage;
  return [
    coldAndSnapshot(stage),
    restore(stage),
    restoreForked(stage),
    restoreAhead(stage),
    warm('warm', daemon, warmVm, warmCalls),
    warm("daemon's part of warm", fake.daemon, fake.vmId, warmCalls),
    atRest(stage),
  ];
}
