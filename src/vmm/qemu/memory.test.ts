import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { savePrivateMemory, saveSharedMemory, type Copying, type MappedMemory } from './memory.js';

const NATIVE = join(import.meta.dirname, '../../../build/native');
const mapped: MappedMemory = {
  makePrivate: () => Promise.resolve(),
  region: () => Promise.resolve({ address: 4096n, length: 4096 }),
};

let dir: string;
let elsewhere: string | undefined;
let ending: AbortController;
let copying: Copying;
let path: string | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sparkler-memory-'));
  ending = new AbortController();
  copying = { nativeDir: dir, signal: ending.signal };
  symlinkSync(join(NATIVE, 'vmm-launch'), join(dir, 'vmm-launch'));
  path = process.env['PATH'];
});
afterEach(() => {
  process.env['PATH'] = path;
  rmSync(dir, { recursive: true });
  if (elsewhere !== undefined) rmSync(elsewhere, { recursive: true });
  elsewhere = undefined;
});

/** A program in the place of `name` that writes its pid down and then does `script`. */
function stub(name: string, script: string): void {
  writeFileSync(join(dir, name), `#!/bin/sh\necho $$ > ${dir}/pid\n${script}\n`);
  chmodSync(join(dir, name), 0o755);
}

/** The pid that the program wrote down, once it has. */
async function running(): Promise<number> {
  const file = join(dir, 'pid');
  while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(2);
  return Number(readFileSync(file, 'utf8'));
}

async function savePrivate(): Promise<void> {
  const fd = openSync(join(dir, 'vmm-launch'), 'r');
  try {
    await savePrivateMemory(join(dir, 'target'), { pid: 1, memory: { fd } }, mapped, copying);
  } finally {
    closeSync(fd);
  }
}

describe('a program that copies memory', () => {
  it('is gone at once when the VM is ended', async () => {
    stub('memory-save', 'exec sleep 600');
    const saving = savePrivate();
    const outcome = expect(saving).rejects.toMatchObject({ code: 'VMM_FAILED' });
    const pid = await running();
    ending.abort();
    await outcome;
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('does not begin when the VM is ended', async () => {
    stub('memory-save', 'exit 0');
    ending.abort();
    await expect(savePrivate()).rejects.toMatchObject({ code: 'VMM_FAILED' });
    expect(existsSync(join(dir, 'pid'))).toBe(false);
  });

  it.each([
    ['No space left on device', 'STORAGE_FULL'],
    ['Disk quota exceeded', 'STORAGE_FULL'],
    ['no such process', 'VMM_FAILED'],
  ])('that says "%s" makes it %s', async (said, code) => {
    stub('memory-save', `echo "memory-save: ${said}" >&2; exit 1`);
    await expect(savePrivate()).rejects.toMatchObject({ code });
  });
});

// A file system of its own that everybody has.
const OTHER = '/dev/shm';
const hasOther = existsSync(OTHER) && statSync(OTHER).dev !== statSync(tmpdir()).dev;

describe.runIf(hasOther)('memory that goes to another file system', () => {
  const save = (): Promise<'shared' | 'private'> => {
    elsewhere = mkdtempSync(join(OTHER, 'sparkler-memory-'));
    writeFileSync(join(dir, 'own'), 'memory');
    return saveSharedMemory(join(dir, 'own'), join(elsewhere, 'target'), mapped, copying);
  };

  it('is copied, and the VM keeps its own', async () => {
    expect(await save()).toBe('shared');
    expect(readFileSync(join(elsewhere ?? '', 'target'), 'utf8')).toBe('memory');
  });

  it('is no longer copied when the VM is ended', async () => {
    mkdirSync(join(dir, 'bin'));
    stub('bin/cp', 'exec sleep 600');
    process.env['PATH'] = `${join(dir, 'bin')}:${path ?? ''}`;
    const outcome = expect(save()).rejects.toMatchObject({ code: 'VMM_FAILED' });
    const pid = await running();
    ending.abort();
    await outcome;
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});
