/** A snapshot that takes too long, over real QEMU: its guest need not have booted. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { resolveKernel } from '../../src/image/index.js';
import { bootMachine, createQemuDriver, type MachineSpec } from '../../src/vmm/index.js';
import { REPOSITORY } from '../support/daemon.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-limit-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** The native programs, with one that sleeps in the place of memory-save. */
function nativeDir(): string {
  const native = join(dir, 'native');
  mkdirSync(native);
  for (const name of ['vmm-launch', 'qemu-preload.so']) {
    symlinkSync(join(REPOSITORY, 'build/native', name), join(native, name));
  }
  const sleeper = `#!/bin/sh\necho $$ > ${dir}/pid\necho half > "$5"\nexec sleep 600\n`;
  writeFileSync(join(native, 'memory-save'), sleeper);
  chmodSync(join(native, 'memory-save'), 0o755);
  return native;
}

it('is ended with all that it started and wrote', async () => {
  const config = loadConfig({ env: process.env, flags: {} });
  const { vmm, limits, timeouts } = config;
  const driver = await createQemuDriver({
    ...vmm,
    accelerator: 'tcg',
    nativeDir: nativeDir(),
    cgroupRoot: undefined,
    consoleBytes: limits.consoleBytes,
    closeMs: timeouts.closeMs,
    startMs: timeouts.vmmStartMs,
    restoreMs: timeouts.restoreMs,
    pageServerMs: timeouts.restoreMs,
  });
  const { kernelPath, initrdPath } = await resolveKernel(config, config.defaultKernel);
  const vm = join(dir, 'vm');
  const saved = join(dir, 'saved');
  for (const folder of [vm, saved]) mkdirSync(folder);
  const paths = { kernelPath, initrdPath, kernelArgs: '', drives: [], dir: vm };
  const spec: MachineSpec = { vmId: 'vm-limit', vcpus: 1, memMiB: 128, ...paths };
  const machine = await bootMachine(driver, spec, { ...timeouts, snapshotMs: 1000 });
  const files = (name: string) => ({
    memoryPath: join(saved, `${name}.memory`),
    statePath: join(saved, `${name}.state`),
  });
  try {
    await machine.pause();
    await machine.snapshot(files('first'));
    expect(await machine.writes()).toMatchObject({ running: 0, snapshotElsewhere: 128 << 20 });
    await machine.resume();
    await machine.pause();
    // Its memory is private now: memory-save writes the second one.
    await expect(machine.snapshot(files('second'))).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: expect.stringContaining('snapshot took longer than 1000 ms') as string,
    });
    expect(machine.state).toBe('failed');
  } finally {
    await machine.close();
  }
  const pid = readFileSync(join(dir, 'pid'), 'utf8').trim();
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(readdirSync(saved).sort()).toEqual(['first.memory', 'first.state']);
});
