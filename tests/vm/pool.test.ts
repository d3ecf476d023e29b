/** Pooled VMs on QEMU: taken by invocations, each with randomness of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Home, type TestDaemon } from '../support/daemon.js';

const CODE = `
import os, random, uuid

random.random(), uuid.uuid4()

def handler(event, context):
    return {
        "getrandom": os.getrandom(16).hex(),
        "random": random.random(),
        "uuid": str(uuid.uuid4()),
        "boot_id": open("/proc/sys/kernel/random/boot_id").read(),
    }
`;

const POOLED = 2;
const fn = { func_name: 'draw' };

const home = new Home({ pool: { maxVms: POOLED } });
let daemon: TestDaemon;
let ssId: string;

beforeAll(async () => {
  daemon = await home.daemon();
  const settings = { ...fn, runtime: 'python3', handler: 'app.handler', vcpu: 1 } as const;
  await daemon.deployFiles({ 'app.py': CODE }, { ...settings, mem_size: 384 });
  const { vmId } = await daemon.client.invoke({ ...fn, placement: ['cold'] });
  ({ ssId } = await daemon.client.snapshots.take({ vmId }));
  await daemon.client.vms.delete(vmId);
});
afterAll(() => home.dispose());

/** Waits until so many VMs stand paused in the pool; the test's own limit ends it otherwise. */
async function ready(count: number): Promise<string[]> {
  for (;;) {
    const vms = await daemon.client.vms.list();
    const waiting = vms.filter(({ pooled, state }) => pooled === true && state === 'paused');
    if (waiting.length === count) return waiting.map(({ vmId }) => vmId);
    await sleep(50);
  }
}

function expectFresh(results: readonly string[]): void {
  const drawn = results.map((result) => JSON.parse(result) as Record<string, unknown>);
  for (const name of Object.keys(drawn[0] ?? {})) {
    const values = drawn.map((values) => values[name]);
    expect(new Set(values).size, `${name}: ${values.join(' ')}`).toBe(values.length);
  }
}

describe('the pool', () => {
  it('serves twice in a row from VMs that were asked for, each with fresh randomness', async () => {
    await daemon.client.vms.pool({ ssId });
    await daemon.client.vms.pool();
    const waiting = await ready(2);
    const first = await daemon.client.invoke({ ...fn, ssId });
    // The last one stays: from now on VMs are forked from it.
    const others = await Promise.all([1, 2, 3].map(() => daemon.client.invoke({ ...fn, ssId })));
    expect(first).toMatchObject({ startKind: 'snapshot', pooled: true });
    expect(Object.keys(first.phases).sort()).toEqual(['firstResponse', 'ready', 'resumed']);
    expect(waiting).toContain(first.vmId);
    for (const other of others) {
      expect(other).toMatchObject({ startKind: 'snapshot', pooled: true, forked: true });
      expect(waiting).not.toContain(other.vmId);
    }
    expectFresh([first, ...others].map(({ result }) => result));
    for (const { vmId } of [first, ...others]) await daemon.client.vms.delete(vmId);
    for (const vmId of await ready(1)) await daemon.client.vms.delete(vmId);
  });

  it('fills itself when a snapshot is invoked again and again', async () => {
    for (let call = 0; call < 3; call++) {
      const { vmId } = await daemon.client.invoke({ ...fn, ssId });
      await daemon.client.vms.delete(vmId);
    }
    await ready(1);
    const answer = await daemon.client.invoke({ ...fn, ssId });
    expect(answer).toMatchObject({ startKind: 'snapshot', pooled: true });
    await daemon.client.vms.delete(answer.vmId);
    await daemon.client.snapshots.delete(ssId);
    expect(await daemon.client.vms.list()).toEqual([]);
    expect(home.leftovers()).toEqual([]);
  });
});
