import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { pbkdf2 as pbkdf2WithCallback } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MachineSpec } from '../driver.js';
import { createQemuDriver, type QemuOptions } from './index.js';

const pbkdf2 = promisify(pbkdf2WithCallback);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-qemu-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A program in QEMU's place: answers `--version`, else runs `script`. */
function stub(script: string, version = '10.0.2'): QemuOptions {
  const qemuPath = join(dir, 'qemu');
  const body = `#!/bin/sh\n[ "$1" = --version ] && { echo 'QEMU emulator version ${version}'; exit; }\n`;
  writeFileSync(qemuPath, `${body}echo $$ > ${dir}/pid\n${script}\n`);
  chmodSync(qemuPath, 0o755);
  return {
    accelerator: 'tcg',
    qemuPath,
    nativeDir: join(import.meta.dirname, '../../../build/native'),
    cgroupRoot: undefined,
    firstUid: 0,
    uidCount: 1,
    tbSizeMiB: 16,
    templates: 0,
    consoleBytes: 1024,
    closeMs: 2000,
    startMs: 300,
    restoreMs: 100,
    pageServerMs: 100,
  };
}

function spec(): MachineSpec {
  const vm = join(dir, 'vm');
  mkdirSync(vm);
  const file = join(dir, 'file');
  writeFileSync(file, '');
  const paths = { kernelPath: file, initrdPath: file, kernelArgs: '', drives: [], dir: vm };
  return { vmId: 'vm-test', vcpus: 1, memMiB: 16, ...paths };
}

const isGone = (): boolean => !existsSync(`/proc/${readFileSync(join(dir, 'pid'), 'utf8').trim()}`);

describe('starting QEMU', () => {
  it('ends one that never answers', async () => {
    const driver = await createQemuDriver(stub('exec sleep 600'));
    await expect(driver.boot(spec())).rejects.toMatchObject({ code: 'VMM_FAILED' });
    expect(isGone()).toBe(true);
  });

  it('says what one that ends at once wrote', async () => {
    const driver = await createQemuDriver(stub('echo "no such machine" >&2; exit 3'));
    await expect(driver.boot(spec())).rejects.toMatchObject({
      code: 'VMM_FAILED',
      message: expect.stringContaining('no such machine') as string,
    });
    expect(isGone()).toBe(true);
  });

  it('sees that one ended while the daemon was still busy with its files', async () => {
    const driver = await createQemuDriver(stub('echo "no such machine" >&2; exit 3'));
    // Each file operation waits its turn behind these, longer than the process lives.
    let busy = true;
    const work = Array.from({ length: 8 }, async () => {
      while (busy) await pbkdf2('', '', 200_000, 64, 'sha512');
    });
    try {
      await expect(driver.boot(spec())).rejects.toMatchObject({ code: 'VMM_FAILED' });
      expect(isGone()).toBe(true);
    } finally {
      busy = false;
      await Promise.all(work);
    }
  });

  it.each(['7.2.0', '9.2.1', 'none'])('refuses version %s', async (version) => {
    await expect(createQemuDriver(stub('', version))).rejects.toMatchObject({
      code: 'DEPENDENCY_MISSING',
    });
  });
});
