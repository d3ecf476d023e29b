/** Functions in real microVMs, through a real daemon: every way to start, every way to go wrong. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InvocationResult } from '../../src/client/index.js';
import { SparklerError, type ErrorCode } from '../../src/errors.js';
import { Home, type TestDaemon } from '../support/daemon.js';

/** One function that does what its event says. */
const UNRULY = `
import os, sys, time

calls = 0

def spin_forever():
    while True:
        pass

def handler(event, context):
    global calls
    calls += 1
    do = event.get("do")
    if do == "raise":
        raise ValueError("the event is no good")
    if do == "exit":
        sys.exit(3)
    if do == "crash":
        os.kill(os.getpid(), 11)
    if do == "spin":
        spin_forever()
    if do == "print":
        for i in range(event["lines"]):
            print("line", i, "x" * 1000)
    if do == "set":
        return {1, 2, 3}
    if do == "large":
        return "x" * (7 * 1024 * 1024)
    if do == "child":
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
        sys.exit(4)
    if do == "who":
        return {"uid": os.getuid(), "name": context.function_name, "id": context.aws_request_id,
                "left": context.get_remaining_time_in_millis(), "env": os.environ.get("GREETING"),
                "task": os.listdir("/var/task"), "pid1": open("/proc/1/comm").read().strip()}
    return {"calls": calls, "event": event}
`;

const home = new Home({ timeouts: { defaultInvocationMs: 20_000 } });
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await home.daemon();
});
afterAll(async () => {
  const code = await daemon.stop();
  const left = home.leftovers();
  home.remove();
  expect(code).toBe(0);
  expect(left).toEqual([]);
});

const invoke = (func_name: string, event: unknown, where: object = {}): Promise<InvocationResult> =>
  daemon.client.invoke({ func_name, params: JSON.stringify(event), ...where });

async function failure(work: Promise<unknown>): Promise<SparklerError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SparklerError) return error;
    throw error;
  }
  throw new TypeError('it did not fail');
}

describe('a function in Python', () => {
  let vmId: string;

  it('starts cold, then serves warm', async () => {
    await daemon.deploy('functions/hello', {
      func_name: 'hello',
      runtime: 'python3',
      handler: 'app.handler',
      vcpu: 1,
      mem_size: 256,
    });
    const cold = await invoke('hello', { name: 'Ada' }, { placement: ['cold'] });
    expect(cold.startKind).toBe('cold');
    expect(JSON.parse(cold.result)).toMatchObject({ message: 'Hello, Ada!' });
    expect(cold.faults.minor).toBeGreaterThan(0);
    vmId = cold.vmId;
    const warm = await invoke('hello', {}, { vmId });
    expect(warm).toMatchObject({ startKind: 'warm', vmId });
    expect(JSON.parse(warm.result)).toMatchObject({ message: 'Hello, World!' });
  });

  it('starts from a snapshot, and the clone stays for warm invocations', async () => {
    const snapshot = await daemon.client.snapshots.take({ vmId });
    const clone = await invoke('hello', { name: 'clone' }, { ssId: snapshot.ssId });
    expect(clone.startKind).toBe('snapshot');
    expect(clone.vmId).not.toBe(vmId);
    const { phases } = clone;
    const order = [phases.vmmUp, phases.stateLoaded, phases.resumed, phases.ready];
    expect(order).toEqual([...order].sort((a, b) => Number(a) - Number(b)));
    expect((await invoke('hello', {}, { vmId: clone.vmId })).startKind).toBe('warm');
    // The snapshot is in use now, and not once the clone is gone.
    const refusal = await failure(daemon.client.snapshots.delete(snapshot.ssId));
    expect(refusal.code).toBe('SNAPSHOT_IN_USE');
    await daemon.client.vms.delete(clone.vmId);
    await daemon.client.snapshots.delete(snapshot.ssId);
  });

  it('waits for a VM that is still booting', async () => {
    const vm = await daemon.client.vms.start({ func_name: 'hello' });
    expect(vm.state).toBe('starting');
    const answer = await invoke('hello', { name: 'early' }, { vmId: vm.vmId });
    expect(answer.vmId).toBe(vm.vmId);
    expect(await daemon.client.vms.console(vm.vmId)).toContain('Booting');
    await daemon.client.vms.delete(vm.vmId);
    await daemon.client.vms.delete(vmId);
  });
});

it('runs a function in TypeScript on Node.js', async () => {
  await daemon.deployFiles(
    {
      'index.mjs': `export async function handler(event, context) {
        console.log('counting');
        return { sum: event.a + event.b, name: context.functionName };
      }`,
    },
    { func_name: 'sum', runtime: 'nodejs', handler: 'index.handler', vcpu: 1, mem_size: 384 },
  );
  const answer = await invoke('sum', { a: 2, b: 40 });
  expect(JSON.parse(answer.result)).toEqual({ sum: 42, name: 'sum' });
  expect(answer.logs).toBe('counting\n');
  await daemon.client.vms.delete(answer.vmId);
});

describe('an unruly function', () => {
  let vmId: string;
  const warm = (event: unknown): Promise<InvocationResult> => invoke('unruly', event, { vmId });

  beforeAll(async () => {
    await daemon.deployFiles(
      { 'app.py': UNRULY },
      {
        func_name: 'unruly',
        runtime: 'python3',
        handler: 'app.handler',
        vcpu: 1,
        mem_size: 256,
        timeout_ms: 5000,
        env: { GREETING: 'hello' },
      },
    );
    vmId = (await invoke('unruly', {})).vmId;
  });
  afterAll(() => daemon.client.vms.delete(vmId));

  it('sees what a Lambda function sees, as a user without rights', async () => {
    const seen = JSON.parse((await warm({ do: 'who' })).result) as Record<string, unknown>;
    expect(seen).toMatchObject({ name: 'unruly', env: 'hello', task: ['app.py'] });
    expect(seen['uid']).not.toBe(0);
    expect(seen['left']).toBeGreaterThan(0);
  });

  it('that throws answers with its own stack and lives on', async () => {
    const before = JSON.parse((await warm({})).result) as { calls: number };
    const error = await failure(warm({ do: 'raise' }));
    expect(error.code).toBe('HANDLER_FAILED');
    expect(error.kind.status).toBe(422);
    expect(error.details.errorType).toBe('ValueError');
    expect(error.details.stack).toContain('app.py');
    expect(error.details.stack).not.toContain('bootstrap');
    const after = JSON.parse((await warm({})).result) as { calls: number };
    expect(after.calls).toBe(before.calls + 2);
  });

  it.each([
    ['exit', 'HANDLER_EXITED'],
    ['crash', 'HANDLER_EXITED'],
    ['child', 'HANDLER_EXITED'],
    ['set', 'RESULT_NOT_JSON'],
    ['large', 'RESULT_TOO_LARGE'],
  ] satisfies [string, ErrorCode][])(
    'that does %s answers %s, and the VM serves on',
    async (what, code) => {
      expect((await failure(warm({ do: what }))).code).toBe(code);
      expect(JSON.parse((await warm({ again: true })).result)).toMatchObject({
        event: { again: true },
      });
    },
  );

  it('that runs past its time is ended and says where it was', async () => {
    const error = await failure(warm({ do: 'spin' }));
    expect(error.code).toBe('HANDLER_TIMEOUT');
    expect(error.details.stack).toContain('spin_forever');
    expect(JSON.parse((await warm({})).result)).toMatchObject({ calls: 1 });
  });

  it('that prints megabytes is answered, with the end of what it printed', async () => {
    const answer = await warm({ do: 'print', lines: 2000 });
    expect(answer.logs.length).toBeLessThan(40_000);
    expect(answer.logs).toContain('line 1999');
    expect(answer.logs).not.toContain('line 100 ');
    expect(await daemon.client.functions.logs('unruly')).toContain('line 1999');
  });
});

describe('a function that cannot be loaded', () => {
  it.each([
    ['a handler that does not exist', 'def other(event, context): pass', 'HANDLER_NOT_FOUND'],
    ['code that throws', 'raise RuntimeError("broken at import")', 'HANDLER_FAILED'],
    ['code that exits', 'import os; os._exit(7)', 'HANDLER_EXITED'],
  ] satisfies [string, string, ErrorCode][])('%s', async (_, code, expected) => {
    const settings = { func_name: 'broken', runtime: 'python3', handler: 'app.handler' } as const;
    await daemon.deployFiles({ 'app.py': code }, { ...settings, vcpu: 1, mem_size: 256 });
    const error = await failure(invoke('broken', {}));
    expect(error.code).toBe(expected);
    expect(await home.settled(5000)).toEqual([]);
    expect(await daemon.client.vms.list()).toEqual([]);
  });
});
