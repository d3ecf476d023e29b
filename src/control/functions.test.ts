import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import {
  deploy,
  testPlatform,
  type TestOptions,
  type TestPlatform,
} from '../../tests/support/control-platform.js';
import type { FunctionInput } from './types.js';

let bed: TestPlatform;
afterEach(() => bed.dispose());

async function open(options: TestOptions = {}): Promise<TestPlatform> {
  bed = await testPlatform(options);
  return bed;
}

const folder = (name: string): string => join(bed.config.dataDir, 'functions', name);
const drives = (name: string): string[] =>
  existsSync(folder(name)) ? readdirSync(folder(name)) : [];
const upload = (code: string) => bed.platform.putCode('hello', Readable.from([Buffer.from(code)]));

describe('a function', () => {
  it('gets defaults, keeps what is not said again, and may be put twice', async () => {
    await open();
    expect(bed.platform.putFunction({ name: 'new' })).toMatchObject({
      image: 'debian',
      kernel: 'debian',
      vcpus: 2,
      memMiB: 2048,
      runtime: 'python3',
      handler: 'app.handler',
      env: {},
      timeoutMs: 30_000,
    });
    bed.platform.putFunction({ name: 'new', memMiB: 256, env: { A: '1' } });
    const after = bed.platform.putFunction({ name: 'new', handler: 'b.main' });
    expect(after).toMatchObject({ memMiB: 256, env: { A: '1' }, handler: 'b.main' });
    expect(bed.platform.listFunctions().map(({ name }) => name)).toEqual(['hello', 'new']);
  });

  const wrong: [string, Omit<FunctionInput, 'name'> & { name?: string }, string, string][] = [
    ['a name that is a path', { name: '../x' }, 'INVALID_REQUEST', 'func_name'],
    ['an empty name', { name: '' }, 'INVALID_REQUEST', 'func_name'],
    ['a long name', { name: 'x'.repeat(65) }, 'INVALID_REQUEST', 'func_name'],
    ['an unknown image', { image: 'plan9' }, 'IMAGE_NOT_FOUND', 'image'],
    ['an inherited image', { image: 'constructor' }, 'IMAGE_NOT_FOUND', 'image'],
    ['an unknown kernel', { kernel: 'minix' }, 'KERNEL_NOT_FOUND', 'kernel'],
    ['no memory', { memMiB: 0 }, 'INVALID_REQUEST', 'mem_size'],
    ['too much memory', { memMiB: 40_000 }, 'LIMIT_EXCEEDED', 'mem_size'],
    ['too many processors', { vcpus: 33 }, 'LIMIT_EXCEEDED', 'vcpu'],
    ['an unknown runtime', { runtime: 'cobol' as 'nodejs' }, 'INVALID_REQUEST', 'runtime'],
    ['a handler without a function', { handler: 'app' }, 'INVALID_REQUEST', 'handler'],
    ['a handler outside', { handler: '../app.handler' }, 'INVALID_REQUEST', 'handler'],
    ['a long timeout', { timeoutMs: 1_000_000 }, 'LIMIT_EXCEEDED', 'timeout_ms'],
    ['a bad variable', { env: { 'a b': '1' } }, 'INVALID_REQUEST', 'env/a b'],
    ['a reserved variable', { env: { SPARKLER_X: '1' } }, 'INVALID_REQUEST', 'env/SPARKLER_X'],
    ['a NUL', { env: { A: '\0' } }, 'INVALID_REQUEST', 'env/A'],
    ['a large environment', { env: { A: 'x'.repeat(5000) } }, 'LIMIT_EXCEEDED', 'env'],
  ];
  it.each(wrong)('is refused with %s', async (_, input, code, field) => {
    await open();
    expect(() => bed.platform.putFunction({ name: 'new', ...input })).toThrow(
      expect.objectContaining({ code, details: { field } }),
    );
    expect(bed.platform.listFunctions()).toHaveLength(1);
  });

  it('is refused beyond the number of functions', async () => {
    await open({ config: { 'limits.maxFunctions': 1 } });
    expect(() => bed.platform.putFunction({ name: 'second' })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
    bed.platform.putFunction({ name: 'hello', memMiB: 100 });
  });

  it('survives a restart, however the daemon ended', async () => {
    await open();
    const before = bed.platform.getFunction('hello');
    bed = await bed.restart('killed');
    expect(bed.platform.getFunction('hello')).toEqual(before);
    expect(await bed.platform.invoke({ functionName: 'hello' })).toMatchObject({
      result: '{"count":0}',
    });
  });

  it('is not deleted while a VM of it runs; then its code and snapshots go with it', async () => {
    await open();
    const { vmId } = await bed.platform.invoke({ functionName: 'hello' });
    await bed.platform.takeSnapshot({ vmId });
    await expect(bed.platform.deleteFunction('hello')).rejects.toMatchObject({
      code: 'FUNCTION_IN_USE',
    });
    await bed.platform.deleteVm(vmId);
    await bed.platform.deleteFunction('hello');
    expect(bed.platform.listFunctions()).toEqual([]);
    expect(bed.platform.listSnapshots()).toEqual([]);
    expect(drives('hello')).toEqual([]);
    expect(readdirSync(join(bed.config.dataDir, 'snapshots'))).toEqual([]);
    await expect(bed.platform.deleteFunction('hello')).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FOUND',
    });
  });
});

describe("a function's code", () => {
  it('is refused when bad, and the old code stays', async () => {
    await open();
    const before = bed.platform.getFunction('hello');
    await expect(upload('bad')).rejects.toMatchObject({ code: 'INVALID_ARCHIVE' });
    expect(bed.platform.getFunction('hello')).toEqual(before);
    expect(readdirSync(join(bed.config.dataDir, 'tmp'))).toEqual([]);
    expect(bed.registry.journal.entries()).toEqual([]);
    await expect(
      bed.platform.putCode('nobody', Readable.from([Buffer.from('x')])),
    ).rejects.toMatchObject({ code: 'FUNCTION_NOT_FOUND' });
  });

  it('may be the same again', async () => {
    await open();
    const first = await upload('same');
    const second = await upload('same');
    expect(second.codeId).toBe(first.codeId);
    expect(drives('hello')).toEqual([first.codeId]);
    expect(bed.registry.journal.entries()).toEqual([]);
    bed = await bed.restart('killed');
    await bed.platform.invoke({ functionName: 'hello' });
  });

  it('stays while a VM or a snapshot uses it, and goes with the last of them', async () => {
    await open();
    const old = bed.platform.getFunction('hello').codeId!;
    const { vmId } = await bed.platform.invoke({ functionName: 'hello' });
    const { snapshot } = await bed.platform.takeSnapshot({ vmId });
    const fresh = (await upload('new code')).codeId!;
    expect(drives('hello').sort()).toEqual([fresh, old].sort());
    await bed.platform.deleteVm(vmId);
    expect(drives('hello').sort()).toEqual([fresh, old].sort());
    const again = await bed.platform.invoke({ functionName: 'hello', ssId: snapshot.ssId });
    await bed.platform.deleteVm(again.vmId);
    await bed.platform.deleteSnapshot(snapshot.ssId);
    expect(drives('hello')).toEqual([fresh]);
  });

  it('that nothing uses any more goes at the next start; what is not ours stays', async () => {
    await open();
    const old = bed.platform.getFunction('hello').codeId!;
    await bed.platform.invoke({ functionName: 'hello' });
    const fresh = (await upload('new code')).codeId!;
    mkdirSync(join(folder('hello'), 'a'.repeat(64)));
    writeFileSync(join(folder('hello'), 'notes'), 'mine');
    expect(drives('hello')).toContain(old);
    bed = await bed.restart('killed');
    expect(drives('hello').sort()).toEqual([fresh, 'a'.repeat(64), 'notes'].sort());
  });

  it('that is gone from the disk is asked for again', async () => {
    await open();
    const { codeId } = bed.platform.getFunction('hello');
    rmSync(join(folder('hello'), codeId!, 'code.erofs'));
    await expect(bed.platform.invoke({ functionName: 'hello' })).rejects.toMatchObject({
      code: 'FUNCTION_HAS_NO_CODE',
    });
    expect(bed.driver.live.size).toBe(0);
  });

  it('of a function deleted meanwhile is dropped', async () => {
    await open();
    await deploy(bed.platform, 'other');
    const slow = new Readable({ read: () => undefined });
    const uploading = bed.platform.putCode('other', slow);
    await bed.platform.deleteFunction('other');
    slow.push('late');
    slow.push(null);
    await expect(uploading).rejects.toMatchObject({ code: 'FUNCTION_NOT_FOUND' });
    expect(drives('other')).toEqual([]);
    expect(bed.registry.journal.entries()).toEqual([]);
  });
});
