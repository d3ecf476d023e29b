/** The driver suite over real QEMU, in whatever acceleration this host proves. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { resolveImage, resolveKernel } from '../../src/image/index.js';
import { createQemuDriver, findCgroupMount } from '../../src/vmm/index.js';
import { describeDriver } from '../../src/vmm/conformance.js';
import { REPOSITORY } from '../support/daemon.js';

const COUNTER = `
count = 0

def handler(event, context):
    global count
    count += event.get("add", 0)
    return {"count": count}
`;

describeDriver('qemu', async () => {
  const config = loadConfig({ env: process.env, flags: {} });
  const dir = mkdtempSync(join(tmpdir(), 'sparkler-conformance-'));
  const task = mkdtempSync(join(tmpdir(), 'sparkler-task-'));
  writeFileSync(join(task, 'app.py'), COUNTER);
  chmodSync(task, 0o755); // The function's user is not root.
  const code = join(dir, 'code.erofs');
  execFileSync('mkfs.erofs', ['--quiet', code, task], { stdio: 'ignore' });
  rmSync(task, { recursive: true });
  const cgroupRoot = join(findCgroupMount() ?? '/nowhere', `sparkler-conformance-${process.pid}`);
  const groups = (): string[] =>
    existsSync(cgroupRoot)
      ? readdirSync(cgroupRoot, { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map((entry) => entry.name)
      : [];
  const kernel = await resolveKernel(config, config.defaultKernel);
  const image = await resolveImage(config, config.defaultImage);
  const driver = await createQemuDriver({
    accelerator: 'tcg',
    qemuPath: config.vmm.qemuPath,
    nativeDir: join(REPOSITORY, 'build/native'),
    cgroupRoot,
    firstUid: config.vmm.firstUid,
    uidCount: config.vmm.uidCount,
    tbSizeMiB: config.vmm.tbSizeMiB,
    templates: config.vmm.templates,
    consoleBytes: config.limits.consoleBytes,
    closeMs: config.timeouts.closeMs,
    startMs: config.timeouts.vmmStartMs,
    restoreMs: config.timeouts.restoreMs,
    pageServerMs: config.timeouts.restoreMs,
  });
  return {
    driver,
    kernelPath: kernel.kernelPath,
    initrdPath: kernel.initrdPath,
    drives: [
      { id: 'root', path: image.rootPath },
      { id: 'code', path: code },
    ],
    runtime: 'python3',
    memMiB: 256,
    limits: config.timeouts,
    bootMs: config.timeouts.bootMs,
    kill: (machine) => process.kill(machine.pid ?? 0, 'SIGKILL'),
    leftovers: () =>
      // Templates wait for the next restore; `dispose` looks whether they go.
      Promise.resolve(groups().filter((name) => !name.startsWith('template-'))),
    broken: (spec) => ({ ...spec, kernelPath: code }),
    dispose: async () => {
      await driver.close?.();
      rmSync(dir, { recursive: true, force: true });
      expect(groups()).toEqual([]);
    },
  };
});
