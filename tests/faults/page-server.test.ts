/**
 * What must hold when the process that brings a VM's pages ends or stands still, when the VM ends
 * under it, and when the daemon does. `SPARKLER_TEST_KILLS` says how many page servers are killed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SparklerError } from '../../src/errors.js';
import { Home, type TestDaemon } from '../support/daemon.js';
import { seededRandom } from '../support/random.js';

const KILLS = Number(process.env['SPARKLER_TEST_KILLS'] ?? 6);

/** Reads an area, 48 MiB at first, for as long as it is told, and sums it up. */
const READER = `
import mmap, struct, time, zlib
area = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for n in range(len(area) >> 12):
    area[n << 12 : (n + 1) << 12] = struct.pack("<I", n * 2654435761 & 0xffffffff | 1) * 1024

def handler(event, context):
    until = time.monotonic() + event.get("ms", 0) / 1000
    while True:
        total = zlib.crc32(area)
        if time.monotonic() >= until:
            return total
`;
const SETTINGS = {
  func_name: 'reader',
  runtime: 'python3',
  handler: 'app.handler',
  vcpu: 1,
  mem_size: 256,
} as const;
/** Longer than any test lets it work. */
const LONG = JSON.stringify({ ms: 120_000 });
const reader = { func_name: 'reader', strategy: 'reap' } as const;

const random = seededRandom();
const home = new Home();
let daemon: TestDaemon;
let expected: string;

beforeAll(async () => {
  daemon = await home.daemon();
  await daemon.deployFiles({ 'app.py': READER }, { ...SETTINGS, timeout_ms: 120_000 });
  const { vmId, result } = await daemon.client.invoke({ func_name: 'reader', placement: ['cold'] });
  expected = result;
  // Of one a working set is known, of the other it never is.
  for (const ssId of ['known', 'unknown']) await daemon.client.snapshots.take({ vmId, ssId });
  await daemon.client.vms.delete(vmId);
  const first = await daemon.client.invoke({ ...reader, ssId: 'known' });
  expect(first).toMatchObject({ result: expected, restore: { recorded: true } });
  await daemon.client.vms.delete(first.vmId);
});
afterEach(async () => {
  expect(await home.settled(10_000)).toEqual([]);
  expect(await daemon.client.vms.list()).toEqual([]);
});
afterAll(() => home.dispose());

/** Its code, or what it answered. */
async function outcome(work: Promise<{ readonly result: string }>): Promise<string> {
  try {
    return (await work).result;
  } catch (error) {
    if (!(error instanceof SparklerError)) throw error;
    const { status, retryable } = error.kind;
    return [error.code, status, retryable ? 'retryable' : 'final'].join(' ');
  }
}

const FAILED = 'PAGE_SERVER_FAILED 503 retryable';

/** Waits for a program of one of our VMs. */
async function programOf(name: 'page-server' | 'qemu-system-x86'): Promise<number> {
  for (;;) {
    const found = programs(name)[0];
    if (found !== undefined) return found;
    await sleep(1);
  }
}

function programs(name: string): number[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        const group = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
        const isOurs = group.includes(`/${basename(home.cgroup)}/`);
        return isOurs && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
      } catch {
        // It ended meanwhile.
        return false;
      }
    })
    .map(Number);
}

async function busy(vmId: string): Promise<void> {
  while (!(await daemon.client.vms.get(vmId)).busy) await sleep(5);
}

/** A VM that was restored by a page server and reads its pages. */
async function reading(
  ssId: string,
  timeout_ms = 120_000,
): Promise<{ vmId: string; answer: Promise<string> }> {
  const { vmId } = await daemon.client.invoke({ ...reader, ssId });
  const call = { func_name: 'reader', vmId, params: LONG, timeout_ms };
  const answer = outcome(daemon.client.invoke(call));
  await busy(vmId);
  return { vmId, answer };
}

describe('a page server that is killed', () => {
  it('takes the invocation and its VM with it, at every moment; the next one is right', async () => {
    const tookMs: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const ssId = kill % 2 === 0 ? 'known' : 'unknown';
      const answer = outcome(daemon.client.invoke({ ...reader, ssId, params: LONG }));
      const pid = await programOf('page-server');
      const afterMs = random(kill % 3 === 0 ? 200 : 2500);
      await sleep(afterMs);
      const killed = performance.now();
      process.kill(pid, 'SIGKILL');
      expect(await answer, `${ssId}, killed after ${afterMs} ms`).toBe(FAILED);
      tookMs.push(Math.round(performance.now() - killed));
      expect(await home.settled(10_000)).toEqual([]);
    }
    console.log(`answered and ended after ms: ${tookMs.join(', ')}`);
    for (const ssId of ['known', 'unknown']) {
      const { vmId, result } = await daemon.client.invoke({ ...reader, ssId });
      expect(result).toBe(expected);
      await daemon.client.vms.delete(vmId);
    }
  });

  it('takes a VM that stands idle, and says so to who asks for it', async () => {
    const { vmId } = await daemon.client.invoke({ ...reader, ssId: 'known' });
    process.kill(await programOf('page-server'), 'SIGKILL');
    expect(await home.settled(10_000)).toEqual([]);
    const gone = daemon.client.vms.get(vmId);
    await expect(gone).rejects.toMatchObject({
      code: 'VM_NOT_FOUND',
      message: expect.stringContaining('page server') as string,
    });
  });

  it('takes a warm invocation', async () => {
    const { answer } = await reading('known');
    process.kill(await programOf('page-server'), 'SIGKILL');
    expect(await answer).toBe(FAILED);
  });
});

describe('a page server that stands still', () => {
  it('ends the invocation by its time limit, and the VM with it', async () => {
    const { answer } = await reading('known', 1500);
    process.kill(await programOf('page-server'), 'SIGSTOP');
    // The guest's CPU waits for a page: it ends no instance any more.
    expect(await answer).toBe('HANDLER_TIMEOUT 422 final');
  });

  it('lets the VM be deleted', async () => {
    const { vmId, answer } = await reading('known');
    process.kill(await programOf('page-server'), 'SIGSTOP');
    await daemon.client.vms.delete(vmId);
    expect(await answer).toBe('VM_DIED 424 retryable');
  });
});

describe('a VMM that is killed', () => {
  it.each([1, 2, 3])('during its restore takes the page server with it (%i)', async () => {
    const answer = outcome(daemon.client.invoke({ ...reader, ssId: 'known', params: LONG }));
    const pid = await programOf('qemu-system-x86');
    const afterMs = random(300);
    await sleep(afterMs);
    process.kill(pid, 'SIGKILL');
    expect(await answer, `killed after ${afterMs} ms`).toMatch(/^(VM_DIED|VMM_FAILED) /);
    expect(await home.settled(10_000)).toEqual([]);
    expect(programs('page-server')).toEqual([]);
  });
});

describe('a daemon that is killed', () => {
  it('takes VMs and page servers with it; the next one finds nothing of them', async () => {
    await reading('known');
    const other = daemon.client.invoke({ ...reader, ssId: 'unknown', params: LONG });
    other.catch(() => undefined);
    while (programs('page-server').length < 2) await sleep(5);
    await daemon.kill();
    daemon = await home.daemon();
    expect(await daemon.client.vms.list()).toEqual([]);
    expect(await home.settled(10_000)).toEqual([]);
    const { vmId, result } = await daemon.client.invoke({ ...reader, ssId: 'known' });
    expect(result).toBe(expected);
    await daemon.client.vms.delete(vmId);
  });
});
