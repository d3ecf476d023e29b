/** Where invocations go, and what they may take of the host, with real guests. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Invocation, InvocationResult } from '../../src/client/index.js';
import { SparklerError } from '../../src/errors.js';
import { Home, type TestDaemon } from '../support/daemon.js';

const CODE = `
import os
import time

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return {"pid": os.getpid(), "asked": event.get("asked")}
`;

const home = new Home({
  timeouts: { resizeMs: 30_000 },
  memory: { policy: 'blocks', instances: 3, baseMiB: 256 },
  placement: { maxInstancesPerVm: 2 },
});
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
  const settings = { func_name: 'who', runtime: 'python3', handler: 'app.handler' } as const;
  await daemon.deployFiles({ 'app.py': CODE }, { ...settings, mem_size: 128, vcpu: 1 });
});
afterAll(async () => {
  const code = await daemon.stop();
  const left = home.leftovers();
  home.remove();
  expect(code).toBe(0);
  expect(left).toEqual([]);
});

const call = (event: object = {}, more: Partial<Invocation> = {}): Promise<InvocationResult> =>
  daemon.client.invoke({ func_name: 'who', params: JSON.stringify(event), ...more });

const answer = ({ result }: InvocationResult) =>
  JSON.parse(result) as { pid: number; asked: number | null };

describe('invocations that name nothing', () => {
  it('are cold, then warm, then vertical, each in the instance that is said', async () => {
    const cold = await call();
    expect(cold).toMatchObject({ startKind: 'cold', instance: { from_zygote: true } });
    const warm = await call();
    expect(warm).toMatchObject({ startKind: 'warm', vmId: cold.vmId });
    expect(answer(warm).pid).toBe(answer(cold).pid);

    const long = call({ seconds: 3, asked: 1 });
    const beside = await call({ asked: 2 });
    expect(beside).toMatchObject({
      ...{ startKind: 'vertical', vmId: cold.vmId, instance: { from_zygote: true } },
      placement: { why: 'the VM had room beside 1 instance' },
    });
    expect(answer(beside).asked).toBe(2);
    expect(answer(beside).pid).not.toBe(answer(cold).pid);
    expect(answer(await long)).toEqual({ pid: answer(cold).pid, asked: 1 });

    const { memory } = await daemon.client.vms.get(cold.vmId);
    expect(memory).toMatchObject({ policy: 'blocks', grantedMiB: 256 });
    expect(memory.instances).toHaveLength(2);
  });

  it('boot another VM when its instances are all that the function may have', async () => {
    const both = [call({ seconds: 3 }), call({ seconds: 3 })];
    const other = await call();
    expect(other.startKind).toBe('cold');
    expect(other.placement?.passed.map(({ place }) => place)).toEqual([
      ...['warm', 'vertical', 'snapshot'],
    ]);
    expect(new Set((await Promise.all(both)).map(({ vmId }) => vmId)).size).toBe(1);
    expect((await call({}, { placement: ['cold'] })).startKind).toBe('cold');
  });
});

const score = (pid: string | number | undefined): string =>
  readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim();

/** Lowering it takes a capability (CAP_SYS_RESOURCE) that a container's root may lack. */
function mayBeSpared(): boolean {
  const script = 'echo -900 > /proc/self/oom_score_adj';
  return spawnSync('sh', ['-c', script], { stdio: 'ignore' }).status === 0;
}

it('the kernel ends a VMM before the daemon when memory runs out', async () => {
  const [vm] = await daemon.client.vms.list();
  const own = score('self');
  const status = readFileSync(`/proc/${vm?.pid}/status`, 'utf8');
  const parent = /^PPid:\s+(\d+)$/m.exec(status)?.[1];
  expect([score(vm?.pid), score(parent)]).toEqual(['300', mayBeSpared() ? '-900' : own]);
});

it('a VM that the host has no memory for is refused, and when to ask again is said', async () => {
  const other = new Home({ admission: { reserveMiB: 1_048_576, retryAfterS: 9 } });
  try {
    const full = await other.daemon();
    const settings = { func_name: 'who', runtime: 'python3', handler: 'app.handler' } as const;
    await full.deployFiles({ 'app.py': CODE }, { ...settings, mem_size: 128, vcpu: 1 });
    const refusal: unknown = await full.client
      .invoke({ func_name: 'who' })
      .catch((e: unknown) => e);
    expect(refusal).toBeInstanceOf(SparklerError);
    expect(refusal).toMatchObject({ code: 'HOST_MEMORY_FULL', details: { retryAfterS: 9 } });
    expect(await full.client.vms.list()).toEqual([]);
  } finally {
    await other.dispose();
  }
});
