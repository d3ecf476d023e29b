/** `hello` from a snapshot against gVisor's restore of the same handler, in the same rounds. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonProcess } from '../harness.js';
import { GvisorYardstick } from '../gvisor.js';
import type { Sample } from '../report.js';
import type { Prepared } from './stage.js';

const CASE = 'hello and gVisor';
/** Between two looks whether a VM stands ready, ms, and how often it is looked. */
const LOOK_MS = 5;
const LOOKS = 4000;

/** One round: each restored once, each clock beginning with the request. */
export async function againstGvisor(
  daemon: DaemonProcess,
  prepared: Prepared,
  gvisor: GvisorYardstick,
): Promise<Sample[]> {
  const theirs = (await gvisor.restoreOnce({ cold: false })).firstResponseMs;
  const notPooled = await timed(daemon, prepared, { ssId: prepared.ssId, strategy: 'vanilla' });
  const pooled = await timed(daemon, prepared, { vmId: await ahead(daemon, prepared) });
  const forked = await fromSource(daemon, prepared);
  const of = (metric: string, unit: 'ms' | 'x', value: number): Sample => ({
    ...{ case: CASE, metric, unit, value },
  });
  return [
    of('gVisor', 'ms', theirs),
    of('not pooled', 'ms', notPooled),
    of('pooled', 'ms', pooled),
    of('forked', 'ms', forked),
    of('gVisor / not pooled', 'x', theirs / notPooled),
    of('gVisor / pooled', 'x', theirs / pooled),
    of('gVisor / forked', 'x', theirs / forked),
  ];
}

/** The whole request, at the client, ms; its VM is ended after. */
async function timed(
  { client }: Pick<DaemonProcess, 'client'>,
  { fn }: Prepared,
  target: { readonly ssId: string; readonly strategy?: 'vanilla' } | { readonly vmId: string },
): Promise<number> {
  const params = JSON.stringify(fn.small);
  const before = performance.now();
  const { vmId } = await client.invoke({ func_name: fn.name, params, ...target });
  const ms = performance.now() - before;
  await client.vms.delete(vmId);
  return ms;
}

/** A VM that is restored, rehearsed and paused. */
async function ahead({ client }: DaemonProcess, { fn, ssId }: Prepared): Promise<string> {
  const { vmId } = await client.vms.start({ func_name: fn.name, ssId });
  await untilPaused(client, vmId);
  return vmId;
}

/** A VM that is forked from one that stands in the pool. */
async function fromSource(daemon: DaemonProcess, prepared: Prepared): Promise<number> {
  const { client } = daemon;
  const { ssId } = prepared;
  return withSource(daemon, prepared, () => timed({ client }, prepared, { ssId }));
}

/** While a VM of the snapshot stands in the pool. */
export async function withSource<T>(
  { client }: Pick<DaemonProcess, 'client'>,
  { ssId }: Prepared,
  work: () => Promise<T>,
): Promise<T> {
  const { vmId } = await client.vms.pool({ ssId });
  await untilPaused(client, vmId);
  const answer = await work();
  await client.vms.delete(vmId);
  return answer;
}

async function untilPaused(client: DaemonProcess['client'], vmId: string): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    if ((await client.vms.get(vmId)).state === 'paused') return;
    await sleep(LOOK_MS);
  }
  throw new Error(`${vmId} does not stand ready`);
}
