/** What `bench scale` measures through a daemon: starts, memory of many, memory after use. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Invocation, InvocationResult, Vm } from '../../src/client/index.js';
import type { DaemonProcess } from '../harness.js';
import { groupPssMiB } from '../processes.js';
import type { Random } from '../random.js';
import type { Sample } from '../report.js';
import { AFTER_USE, EIGHT, JSON_STARTS } from './ratios.js';
import { deployTouch } from './touch.js';

const FUNCTIONS = 8;
const FUNCTION_MIB = 128;
const MIB = 1024 * 1024;

/** What the daemon must be configured with. */
export const DAEMON_CONFIG = {
  timeouts: { defaultInvocationMs: 120_000, resizeMs: 60_000, idleInstanceMs: 2_000 },
  memory: { instances: FUNCTIONS, giveBackMs: 0 },
  placement: { maxInstancesPerVm: FUNCTIONS },
  limits: { maxVms: 64 },
} as const;

/** How often and how long a VM is looked at until it has come to rest, ms. */
const LOOK_MS = 100;
const REST_LIMIT_MS = 120_000;

type Target = Omit<Invocation, 'func_name' | 'params'>;
type StartKind = InvocationResult['startKind'];

/** A daemon with `json`, a snapshot of it, and a VM that grows. */
export class JsonStage {
  readonly #daemon: DaemonProcess;
  readonly #ssId: string;
  readonly #params: string;
  #growing: string;

  private constructor(daemon: DaemonProcess, ssId: string, params: string, growing: string) {
    this.#daemon = daemon;
    this.#ssId = ssId;
    this.#params = params;
    this.#growing = growing;
  }

  static async prepare(daemon: DaemonProcess): Promise<JsonStage> {
    const { client } = daemon;
    const params = JSON.stringify({ input_object_key: 'gdp.json' });
    await daemon.deploy('functions/json', {
      ...{ func_name: 'json', runtime: 'python3', handler: 'app.handler' },
      ...{ vcpu: 1, mem_size: FUNCTION_MIB, timeout_ms: 120_000 },
    });
    const { vmId } = await client.invoke({ func_name: 'json', params, placement: ['cold'] });
    await client.invoke({ func_name: 'json', params, vmId });
    const { ssId } = await client.snapshots.take({ vmId });
    await client.vms.delete(vmId);
    const growing = await startGrowing(daemon, params);
    const stage = new JsonStage(daemon, ssId, params, growing);
    // The first of each finds code that was never run.
    await stage.vertical();
    await stage.restored();
    return stage;
  }

  /** Another instance in the VM that runs; it is gone again afterwards. */
  async vertical(): Promise<Sample[]> {
    const result = await this.#invoke({ placement: ['vertical'] }, 'vertical');
    await restOf(this.#daemon, this.#growing, ({ grantedMiB }) => grantedMiB <= FUNCTION_MIB);
    return this.#started('vertical', result);
  }

  /** The snapshot restored, without a pool. */
  async restored(): Promise<Sample[]> {
    const result = await this.#invoke({ ssId: this.#ssId, strategy: 'vanilla' }, 'snapshot');
    await this.#daemon.client.vms.delete(result.vmId);
    return this.#started('restored', result);
  }

  /** Host memory of eight instances that have all answered: in one VM, booted VMs, restored VMs. */
  async eight(): Promise<Sample[]> {
    const { client } = this.#daemon;
    await client.vms.delete(this.#growing);
    const vmId = await startGrowing(this.#daemon, this.#params);
    this.#growing = vmId;
    const others = Array.from({ length: FUNCTIONS - 1 }, () =>
      this.#invoke({ placement: ['vertical'] }, 'vertical'),
    );
    await Promise.all([this.#invoke({ vmId }, 'warm'), ...others]);
    const samples = [mib('one VM', await pssOf(this.#daemon, [vmId]))];
    const many: readonly (readonly [metric: string, target: Target, kind: StartKind])[] = [
      ['booted VMs', { placement: ['cold'] }, 'cold'],
      ['restored VMs', { ssId: this.#ssId, strategy: 'vanilla' }, 'snapshot'],
    ];
    for (const [metric, target, kind] of many) {
      const vmIds: string[] = [];
      try {
        for (let i = 0; i < FUNCTIONS; i++) vmIds.push((await this.#invoke(target, kind)).vmId);
        samples.push(mib(metric, await pssOf(this.#daemon, vmIds)));
      } finally {
        for (const id of vmIds) await client.vms.delete(id);
      }
    }
    await restOf(this.#daemon, vmId, ({ grantedMiB }) => grantedMiB <= FUNCTION_MIB);
    return samples;
  }

  async #invoke(target: Target, kind: StartKind): Promise<InvocationResult> {
    const { client } = this.#daemon;
    const result = await client.invoke({ func_name: 'json', params: this.#params, ...target });
    if (result.startKind !== kind) throw new Error(`a ${result.startKind} start, not ${kind}`);
    return result;
  }

  #started(how: string, { phases }: InvocationResult): Sample[] {
    const times = { ready: phases.ready, 'first response': phases.firstResponse };
    return Object.entries(times).map(([metric, value]) => ({
      ...{ case: JSON_STARTS, metric: `${how}: ${metric}`, unit: 'ms', value },
    }));
  }
}

const mib = (metric: string, value: number): Sample => ({
  case: EIGHT,
  metric,
  unit: 'MiB',
  value,
});

async function startGrowing({ client }: DaemonProcess, params: string): Promise<string> {
  const { vmId } = await client.vms.start({ func_name: 'json', memory_policy: 'blocks' });
  await client.invoke({ func_name: 'json', params, vmId });
  return vmId;
}

async function pssOf({ client }: DaemonProcess, vmIds: readonly string[]): Promise<number> {
  let sum = 0;
  for (const vmId of vmIds) sum += await groupPssMiB((await client.vms.get(vmId)).pid ?? 0);
  return sum;
}

/** Waits until a VM's memory is as it should be when nothing goes on in it. */
async function restOf(
  { client }: DaemonProcess,
  vmId: string,
  isAtRest: (memory: Vm['memory']) => boolean,
): Promise<Vm['memory']> {
  const deadline = performance.now() + REST_LIMIT_MS;
  for (;;) {
    const { memory } = await client.vms.get(vmId);
    if (isAtRest(memory)) return memory;
    if (performance.now() > deadline) {
      throw new Error(`${vmId} does not come to rest: ${JSON.stringify(memory)}`);
    }
    await sleep(LOOK_MS);
  }
}

/** Of the function whose memory comes and goes, MiB; how much of it one invocation takes at most. */
const MIXED_MIB = 256;
const MIXED_MOST_MIB = 192;
const MIXED_INSTANCES = 4;

/** Resident memory of a VM before and after mixed invocations of random sizes, each time at rest. */
export async function afterUse(
  daemon: DaemonProcess,
  count: number,
  random: Random,
): Promise<Sample[]> {
  const { client } = daemon;
  const func_name = 'mixed';
  const some = (most: number): number => 1 + Math.floor(random() * most);
  await deployTouch(daemon, { func_name, mem_size: MIXED_MIB, timeout_ms: 120_000 });
  const blocks = Array<number>(MIXED_INSTANCES).fill(MIXED_MIB);
  const { vmId } = await client.vms.start({ func_name, memory_policy: 'blocks', blocks });
  const call = async (event: object, target: object): Promise<void> => {
    const params = JSON.stringify(event);
    const { result } = await client.invoke({ func_name, params, ...target });
    const { wrong } = JSON.parse(result) as { wrong: number };
    if (wrong > 0) throw new Error(`${wrong} bytes of a function are wrong`);
  };
  const atRest = async (): Promise<number> => {
    await restOf(daemon, vmId, ({ grantedMiB }) => grantedMiB <= MIXED_MIB);
    // The last instance is kept, however long it is idle: it ends by itself.
    await call({ do: 'exit' }, { vmId }).catch((error: unknown) => {
      if ((error as { code?: string }).code !== 'HANDLER_EXITED') throw error;
    });
    const memory = await restOf(daemon, vmId, ({ blocks: all = [] }) =>
      all.every(({ state, residentBytes }) => state === 'free' && residentBytes === 0),
    );
    return (memory.residentBytes ?? NaN) / MIB;
  };
  const mixed = async (calls: number): Promise<void> => {
    let left = calls;
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const event =
          random() < 0.8
            ? { do: 'renew', mib: some(MIXED_MOST_MIB), seed: left }
            : { do: 'read', mib: some(MIXED_MOST_MIB / MIXED_INSTANCES) };
        await call(event, { placement: ['warm', 'vertical'] });
      }
    };
    await Promise.all(Array.from({ length: MIXED_INSTANCES }, worker));
  };
  try {
    await call({ do: 'check' }, { vmId });
    // The base is that of a VM that was in use: its guest has cached what functions read.
    await mixed(2 * MIXED_INSTANCES);
    const before = await atRest();
    await mixed(count);
    const after = await atRest();
    const of = (metric: string, unit: Sample['unit'], value: number): Sample => ({
      ...{ case: AFTER_USE, metric, unit, value },
    });
    return [
      of('invocations', 'count', count),
      of('resident before', 'MiB', before),
      of('resident after', 'MiB', after),
    ];
  } finally {
    await client.vms.delete(vmId);
  }
}
