import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

async function open(options: TestOptions = {}): Promise<TestPlatform> {
  bed = await testPlatform(options);
  return bed;
}

const hello = { functionName: 'hello' };
const counts = (event: object): string => JSON.stringify(event);

/** Nothing of any VM is left: in memory, on the disk, in the journal. */
async function expectNothingLeft(): Promise<void> {
  expect(bed.driver.live.size).toBe(0);
  expect(await bed.platform.listVms()).toEqual([]);
  const vms = join(bed.config.dataDir, 'vms');
  expect(existsSync(vms) ? readdirSync(vms) : []).toEqual([]);
  expect(bed.registry.journal.entries()).toEqual([]);
}

describe('starting a VM', () => {
  it('answers at once; an invocation waits for it', async () => {
    await open({ faults: () => ({ delayMs: 5 }) });
    const vm = await bed.platform.createVm(hello);
    expect(vm).toMatchObject({ state: 'starting', functionName: 'hello', startKind: 'cold' });
    const answer = await bed.platform.invoke({
      ...hello,
      vmId: vm.vmId,
      params: counts({ add: 3 }),
    });
    expect(answer).toMatchObject({ result: '{"count":3}', startKind: 'warm', vmId: vm.vmId });
    expect(await bed.platform.getVm(vm.vmId)).toMatchObject({ state: 'running', invocations: 1 });
    expect(existsSync(vm.path)).toBe(true);
    await bed.platform.deleteVm(vm.vmId);
    await expectNothingLeft();
  });

  it('journals what it makes before it makes it', async () => {
    await open();
    const vm = await bed.platform.createVm(hello);
    expect(bed.registry.journal.entries()).toMatchObject([
      { kind: 'vm-dir', name: vm.path, vmId: vm.vmId },
    ]);
  });

  it('takes what is asked for instead of what the function says', async () => {
    await open();
    const vm = await bed.platform.createVm({ ...hello, vcpus: 3, memMiB: 200, namespace: 'fc1' });
    expect(vm).toMatchObject({ vcpus: 3, memMiB: 200, namespace: 'fc1' });
  });

  it.each([
    ['unknown function', { functionName: 'nobody' }, 'FUNCTION_NOT_FOUND', 'func_name'],
    ['unknown snapshot', { ...hello, ssId: 'ss-none' }, 'SNAPSHOT_NOT_FOUND', 'ssId'],
    ['unknown kernel', { ...hello, kernel: 'minix' }, 'KERNEL_NOT_FOUND', 'kernel'],
    ['too little memory', { ...hello, memMiB: 95 }, 'MEMORY_TOO_SMALL', 'mem_size'],
    ['too much memory', { ...hello, memMiB: 1e6 }, 'LIMIT_EXCEEDED', 'mem'],
    ['no memory', { ...hello, memMiB: 0 }, 'INVALID_REQUEST', 'mem'],
    ['half a processor', { ...hello, vcpus: 0.5 }, 'INVALID_REQUEST', 'vcpu'],
    ['too many processors', { ...hello, vcpus: 33 }, 'LIMIT_EXCEEDED', 'vcpu'],
  ])('refuses %s and leaves nothing', async (_, input, code, field) => {
    await open();
    await expect(bed.platform.createVm(input)).rejects.toMatchObject({ code, details: { field } });
    await expectNothingLeft();
  });

  it('refuses a function without code', async () => {
    await open();
    bed.platform.putFunction({ name: 'empty' });
    const starting = bed.platform.createVm({ functionName: 'empty' });
    await expect(starting).rejects.toMatchObject({ code: 'FUNCTION_HAS_NO_CODE' });
  });

  it('refuses an image that is not built', async () => {
    await open({ config: { images: { debian: 'debian', unbuilt: 'unbuilt' } } });
    bed.platform.putFunction({ name: 'hello', image: 'unbuilt' });
    await expect(bed.platform.createVm(hello)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await expectNothingLeft();
  });

  it('refuses when the disk is too full', async () => {
    let free = Number.MAX_SAFE_INTEGER;
    await open({ freeBytes: () => Promise.resolve(free) });
    free = 0;
    await expect(bed.platform.createVm(hello)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await expectNothingLeft();
  });

  it('refuses more VMs than its limit, counting those that start', async () => {
    await open({ config: { 'limits.maxVms': 2 } });
    const made = await Promise.allSettled([1, 2, 3].map(() => bed.platform.createVm(hello)));
    expect(made.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(made[2]).toMatchObject({ reason: { code: 'TOO_MANY_VMS' } });
  });
});

describe('looking at VMs', () => {
  it('shows the resident memory of all; one that ends meanwhile has none', async () => {
    let starts = 0;
    await open({
      capabilities: { hasProcess: true },
      faults: () => (++starts === 2 ? { fail: ['stats'] } : undefined),
    });
    const first = await bed.platform.invoke(hello);
    const second = await bed.platform.invoke({ ...hello, placement: ['cold'] });
    const views = await bed.platform.listVms();
    expect(views.map(({ vmId }) => vmId)).toEqual([first.vmId, second.vmId]);
    expect(views.map(({ residentBytes }) => residentBytes)).toEqual([0, undefined]);
    // One VM is asked for more.
    const one = await bed.platform.getVm(first.vmId);
    expect(one).toMatchObject({ ...views[0] });
    expect(one.memory).toHaveProperty('instances');
    expect(views[0]?.memory).not.toHaveProperty('instances');
  });

  it('shows none where the VMM is no process', async () => {
    await open();
    await bed.platform.invoke(hello);
    expect((await bed.platform.listVms())[0]).not.toHaveProperty('residentBytes');
  });
});

describe('a boot that fails', () => {
  it('is tried again and counted', async () => {
    await open({ faults: (_, start) => (start === 1 ? { guest: 'die' } : undefined) });
    expect(await bed.platform.invoke(hello)).toMatchObject({ startKind: 'cold' });
    expect(await bed.platform.metrics()).toContain('sparkler_boot_retries_total 1');
  });

  it.each([
    ['silent', 'GUEST_NOT_READY'],
    ['die', 'GUEST_NOT_READY'],
    ['panic', 'GUEST_PANICKED'],
  ] as const)('is given up when the guest stays %s', async (guest, code) => {
    await open({ faults: () => ({ guest }), config: { 'timeouts.bootMs': 50 } });
    const vm = await bed.platform.createVm(hello);
    const error: unknown = await bed.platform
      .invoke({ ...hello, vmId: vm.vmId })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({
      code,
      details: { console: expect.stringContaining('fake guest booting') as string },
    });
    await expectNothingLeft();
    // Its console stays readable, and whoever looks for it hears why it is gone.
    expect(bed.platform.vmConsole(vm.vmId)).toContain('fake guest booting');
    await expect(bed.platform.getVm(vm.vmId)).rejects.toMatchObject({
      code: 'VM_NOT_FOUND',
      message: expect.stringContaining('failed') as string,
    });
    expect(await bed.platform.metrics()).toContain(`outcome="${code}"} 1`);
  });

  it('is not tried again when the second try cannot be better', async () => {
    let starts = 0;
    await open({
      faults: () => {
        starts++;
        return undefined;
      },
    });
    bed.platform.putFunction({ name: 'hello', handler: 'missing.handler' });
    await expect(bed.platform.invoke(hello)).rejects.toMatchObject({ code: 'HANDLER_FAILED' });
    expect(starts).toBe(1);
    await expectNothingLeft();
  });

  it('is given up when the VMM does not start', async () => {
    await open({ faults: () => ({ start: 'refuse' }) });
    await expect(bed.platform.invoke(hello)).rejects.toMatchObject({ code: 'VMM_FAILED' });
    await expectNothingLeft();
  });

  it('forgets the oldest console', async () => {
    await open({ faults: () => ({ guest: 'die' }), config: { 'limits.keptConsoles': 1 } });
    const ids: string[] = [];
    for (let n = 0; n < 2; n++) {
      const { vmId } = await bed.platform.createVm(hello);
      await bed.platform.invoke({ ...hello, vmId }).catch(() => undefined);
      ids.push(vmId);
    }
    expect(() => bed.platform.vmConsole(ids[0]!)).toThrow();
    expect(bed.platform.vmConsole(ids[1]!)).not.toBe('');
  });
});

describe('ending a VM', () => {
  it('fails what runs and what waits, and says why', async () => {
    await open();
    const { vmId } = await bed.platform.createVm(hello);
    const params = counts({ hang: true });
    const running = bed.platform.invoke({ ...hello, vmId, params });
    const waiting = bed.platform.invoke({ ...hello, vmId });
    const both = Promise.allSettled([running, waiting]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await bed.platform.deleteVm(vmId);
    for (const outcome of await both) {
      expect(outcome).toMatchObject({
        reason: { code: 'VM_DIED', message: expect.stringContaining('deleted') as string },
      });
    }
    await expectNothingLeft();
    await expect(bed.platform.deleteVm(vmId)).rejects.toMatchObject({ code: 'VM_NOT_FOUND' });
  });

  it('may come while it starts', async () => {
    await open({ faults: () => ({ guest: 'silent' }) });
    const { vmId } = await bed.platform.createVm(hello);
    await bed.platform.deleteVm(vmId);
    await expectNothingLeft();
  });

  it('comes by itself when the VM did nothing for long, but never in the middle of work', async () => {
    await open({ config: { 'timeouts.idleVmMs': 40 } });
    const { vmId } = await bed.platform.createVm(hello);
    const params = counts({ sleepMs: 150 });
    await bed.platform.invoke({ ...hello, vmId, params });
    while ((await bed.platform.listVms()).length > 0) await new Promise((r) => setTimeout(r, 5));
    expect(await bed.platform.metrics()).toContain('sparkler_vm_ends_total{reason="idle"} 1');
  });

  it('is noticed when the VMM dies while nobody uses it', async () => {
    await open();
    const { vmId } = await bed.platform.invoke(hello);
    bed.driver.vm(vmId).print('last words');
    bed.driver.vm(vmId).die();
    while ((await bed.platform.listVms()).length > 0) await new Promise((r) => setTimeout(r, 1));
    expect(bed.platform.vmConsole(vmId)).toContain('last words');
    await expectNothingLeft();
  });

  it('goes for all at once when the platform closes, and nothing new begins', async () => {
    await open();
    const { vmId } = await bed.platform.invoke(hello);
    await bed.platform.createVm(hello);
    const running = bed.platform.invoke({ ...hello, vmId, params: counts({ hang: true }) });
    const outcome = Promise.allSettled([running]);
    await new Promise((resolve) => setTimeout(resolve, 10));
    await bed.platform.close();
    expect(await outcome).toMatchObject([{ reason: { code: 'SHUTTING_DOWN' } }]);
    expect(bed.driver.live.size).toBe(0);
    await expect(bed.platform.invoke(hello)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('does not hold the platform up beyond its limit; the journal knows what is left', async () => {
    await open({
      faults: () => ({ hang: ['close'] }),
      config: { 'timeouts.shutdownMs': 50, 'timeouts.closeMs': 10_000 },
    });
    const { vmId } = await bed.platform.invoke(hello);
    const { path } = await bed.platform.getVm(vmId);
    await bed.platform.close();
    const next = await bed.restart('killed');
    expect(next.reclaimed).toMatchObject({ folders: 1 });
    expect(existsSync(path)).toBe(false);
    await next.dispose();
  });
});
