import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiServer, startApi } from '../../tests/support/api-server.js';
import { type ErrorCode, SparklerError } from '../errors.js';
import { SparklerClient } from './index.js';

let server: ApiServer;
let client: SparklerClient;
beforeEach(async () => {
  server = await startApi({ 'limits.codeArchiveBytes': 1_000_000 });
  client = new SparklerClient({ baseUrl: server.url });
});
afterEach(async () => {
  client.close();
  await server.close();
});

async function failure(code: ErrorCode, call: Promise<unknown>): Promise<SparklerError> {
  const error = await call.then(
    () => expect.fail('it succeeded'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SparklerError);
  expect((error as SparklerError).code).toBe(code);
  return error as SparklerError;
}

const HELLO = { func_name: 'hello' };

describe('SparklerClient', () => {
  it('calls every route', async () => {
    const archive = Readable.from([Buffer.alloc(100_000), Buffer.alloc(1)]);
    const deployed = await client.deploy({ ...HELLO, mem_size: 512 }, archive);
    expect(deployed).toMatchObject({ func_name: 'hello', mem_size: 512, code_bytes: 100_001 });
    expect(await client.functions.list()).toEqual([deployed]);
    expect(await client.functions.get('hello')).toEqual(deployed);
    expect(await client.functions.logs('hello')).toBe('hello says é\n');

    const vm = await client.vms.start(HELLO);
    expect(await client.vms.list()).toEqual([vm]);
    expect(await client.vms.get(vm.vmId)).toEqual(vm);
    expect(await client.vms.console(vm.vmId)).toContain('Linux');

    const taken = await client.snapshots.take({ vmId: vm.vmId, ssId: 'mine' });
    expect(taken.paused_ms).toBe(8.25);
    expect((await client.snapshots.list()).map(({ ssId }) => ssId)).toEqual(['mine']);
    expect((await client.snapshots.get('mine')).vmId).toBe(vm.vmId);
    await client.snapshots.patch('mine', { dig_hole: true });

    const result = await client.invoke({ ...HELLO, vmId: vm.vmId, params: '"é"' });
    expect(result).toMatchObject({ startKind: 'warm', result: '"é"', vmId: vm.vmId });
    expect(await client.info()).toEqual(server.platform.info());
    expect(await client.metrics()).toContain('x 1');

    await client.snapshots.delete('mine');
    await client.vms.delete(vm.vmId);
    await client.functions.delete('hello');
    expect(await client.functions.list()).toEqual([]);
  });

  it('escapes names in paths', async () => {
    await failure('INVALID_REQUEST', client.functions.get('../vms'));
    await failure('INVALID_REQUEST', client.vms.get('a b'));
  });

  it('throws what the daemon threw', async () => {
    await client.functions.put(HELLO);
    const details = { stack: 'at x', errorType: 'ValueError', logs: 'l', console: 'c' };
    server.platform.failure = new SparklerError('HANDLER_FAILED', 'no', details);
    const error = await failure('HANDLER_FAILED', client.invoke(HELLO));
    expect([error.message, error.details]).toEqual(['no', details]);
    server.platform.failure = undefined;
    const { details: named } = await failure(
      'INVALID_PARAMS',
      client.invoke({ ...HELLO, params: 'x' }),
    );
    expect(named.field).toBe('params');
  });

  it('says that an archive is too large, also when it learns it late', async () => {
    await client.functions.put(HELLO);
    const chunks = Array.from({ length: 200 }, () => Buffer.alloc(100_000));
    await failure('ARCHIVE_TOO_LARGE', client.functions.putCode('hello', Readable.from(chunks)));
  });

  it('says why an archive could not be read', async () => {
    await client.functions.put(HELLO);
    async function* broken() {
      yield await Promise.resolve(Buffer.alloc(10));
      throw new SparklerError('INVALID_ARCHIVE', 'the folder is gone');
    }
    const call = client.deploy(HELLO, Readable.from(broken()));
    const error = await failure('INVALID_ARCHIVE', call);
    expect(error.message).toBe('the folder is gone');
  });

  it('says what to do when no daemon answers', async () => {
    await server.close();
    const { message } = await failure('DAEMON_UNREACHABLE', client.info());
    expect(message).toContain(`${server.url} cannot be reached: nothing listens there`);
    expect(message).toContain('sparkler daemon');
  });

  it('recognizes a stranger', async () => {
    const stranger = createServer((_request, response) => response.writeHead(404).end('<html>'));
    await new Promise<void>((done) => stranger.listen(0, '127.0.0.1', () => done()));
    const { port } = stranger.address() as AddressInfo;
    const other = new SparklerClient({ baseUrl: `http://127.0.0.1:${port}` });
    const { message } = await failure('DAEMON_UNREACHABLE', other.info());
    expect(message).toContain('not as a Sparkler daemon does');
    other.close();
    stranger.close();
  });

  it('can be ended by a signal', async () => {
    await client.functions.put(HELLO);
    server.platform.invoke = () => new Promise(() => undefined);
    const abort = new AbortController();
    const patient = new SparklerClient({ baseUrl: server.url, signal: abort.signal });
    const call = patient.invoke(HELLO);
    setTimeout(() => abort.abort(), 50);
    await expect(call).rejects.toThrow(/abort/i);
    patient.close();
    server.api.server.closeAllConnections();
  });

  it.each(['localhost', 'https://x', 'ftp://x', ''])('refuses %j as an address', (baseUrl) => {
    expect(() => new SparklerClient({ baseUrl })).toThrow(/not the address of a daemon/);
  });
});
