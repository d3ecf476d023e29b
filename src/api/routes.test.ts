import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiServer, startApi } from '../../tests/support/api-server.js';
import { SparklerError } from '../errors.js';

let server: ApiServer;
beforeEach(async () => (server = await startApi()));
afterEach(async () => server.close());

async function ok(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await server.request(method, path, body);
  expect(answer.json).not.toHaveProperty('message');
  expect(answer.status).toBe(200);
  return answer.json;
}

const HELLO = { func_name: 'hello' };

describe('functions', () => {
  it('are created with the wire’s names and defaults', async () => {
    const made = await ok('POST', '/functions', {
      func_name: 'hello',
      image: '',
      vcpu: 1,
      mem_size: 512,
      runtime: 'nodejs',
      handler: 'index.handler',
      env: { A: '1' },
      timeout_ms: 1000,
      restore_strategy: 'populate',
    });
    expect(server.platform.calls).toEqual([
      [
        'putFunction',
        {
          name: 'hello',
          vcpus: 1,
          memMiB: 512,
          runtime: 'nodejs',
          handler: 'index.handler',
          env: { A: '1' },
          timeoutMs: 1000,
          restoreStrategy: 'populate',
        },
      ],
    ]);
    expect(made).toEqual({
      func_name: 'hello',
      image: 'debian',
      kernel: 'debian',
      vcpu: 1,
      mem_size: 512,
      runtime: 'nodejs',
      handler: 'index.handler',
      env: { A: '1' },
      timeout_ms: 1000,
      restore_strategy: 'populate',
      created_at: '2024-05-06T07:08:09.000Z',
      updated_at: '2024-05-06T07:08:09.000Z',
    });
    expect(await ok('GET', '/functions')).toEqual([made]);
    expect(await ok('GET', '/functions/hello')).toEqual(made);
  });

  it('have rules for where their invocations go', async () => {
    const rules = { placement: ['warm', 'cold'], max_instances: 3, max_vms: 2 };
    expect(await ok('POST', '/functions', { ...HELLO, ...rules })).toMatchObject(rules);
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      name: 'hello',
      placement: { order: ['warm', 'cold'], maxInstances: 3, maxVms: 2 },
    });
    const made = await ok('POST', '/functions', { ...HELLO, max_vms: 5 });
    expect(made).toMatchObject({ ...rules, max_vms: 5 });
    const plain = await ok('POST', '/functions', { func_name: 'plain' });
    for (const field of Object.keys(rules)) expect(plain).not.toHaveProperty(field);
  });

  it('may be created twice', async () => {
    await ok('POST', '/functions', HELLO);
    await ok('POST', '/functions', HELLO);
    expect(await ok('GET', '/functions')).toHaveLength(1);
  });

  it('are deleted with an empty answer', async () => {
    await ok('POST', '/functions', HELLO);
    const answer = await server.request('DELETE', '/functions/hello');
    expect([answer.status, answer.text]).toEqual([200, '']);
    expect((await server.request('GET', '/functions/hello')).status).toBe(404);
  });

  it('show their output as text', async () => {
    await ok('POST', '/functions', HELLO);
    const answer = await server.request('GET', '/functions/hello/logs');
    expect(answer.text).toBe('hello says é\n');
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  });

  it.each(['application/zip', 'application/x-tar', 'application/gzip', 'application/octet-stream'])(
    'take code as %s',
    async (type) => {
      await ok('POST', '/functions', HELLO);
      const body = new Uint8Array(200_000).fill(7);
      const answer = await server.request('PUT', '/functions/hello/code', undefined, {
        body,
        headers: { 'content-type': type },
      });
      expect(answer.json).toMatchObject({ func_name: 'hello', code_bytes: 200_000 });
      expect(answer.json['code_sha256']).toMatch(/^[0-9a-f]{64}$/);
    },
  );
});

describe('vms', () => {
  beforeEach(() => ok('POST', '/functions', HELLO));

  it('are started, listed, shown and ended', async () => {
    const vm = await ok('POST', '/vms', {
      func_name: 'hello',
      namespace: '',
      ssId: '',
      vcpu: 3,
      mem: 256,
      kernel: '',
      enable_balloon: false,
      enable_faascale: false,
    });
    expect(server.platform.calls.at(-1)).toEqual([
      'createVm',
      { functionName: 'hello', vcpus: 3, memMiB: 256 },
    ]);
    expect(vm).toEqual({
      vmId: 'vm1',
      state: 'starting',
      vmConf: {
        func_name: 'hello',
        vcpu: 3,
        mem_size: 256,
        image: 'debian',
        kernel: 'debian',
        accelerator: 'none',
      },
      vmPath: '/data/vms/vm1',
      startKind: 'cold',
      pid: 4242,
      residentBytes: 52_428_800,
      invocations: 0,
      busy: false,
      createdAt: '2024-05-06T07:08:09.000Z',
      memory: { policy: 'static', configuredMiB: 256, pluggedMiB: 256, grantedMiB: 0 },
    });
    expect(await ok('GET', '/vms')).toEqual([vm]);
    expect(await ok('GET', '/vms/vm1')).toEqual(vm);
    const deleted = await server.request('DELETE', '/vms/vm1');
    expect([deleted.status, deleted.text]).toEqual([200, '']);
    expect(await ok('GET', '/vms')).toEqual([]);
  });

  it('are restored from a snapshot', async () => {
    expect(await ok('POST', '/vms', { ...HELLO, ssId: 'ss1' })).toMatchObject({
      startKind: 'snapshot',
      ssId: 'ss1',
    });
  });

  it.each([
    [{ memory_policy: 'virtio-mem' }, { memoryPolicy: 'virtio-mem' }],
    [{ memory_policy: '' }, {}],
    [{ enable_balloon: true }, { memoryPolicy: 'balloon' }],
    [{ enable_balloon: true, memory_policy: 'balloon' }, { memoryPolicy: 'balloon' }],
    [{ enable_balloon: null, enable_faascale: null }, {}],
    [
      { enable_faascale: true, blocks: [512] },
      { memoryPolicy: 'blocks', blocksMiB: [512] },
    ],
  ])('have the memory that %j asks for', async (body, input) => {
    await ok('POST', '/vms', { ...HELLO, ...body });
    expect(server.platform.calls.at(-1)).toEqual(['createVm', { functionName: 'hello', ...input }]);
  });

  it('are given memory by hand', async () => {
    await ok('POST', '/vms', { ...HELLO, memory_policy: 'blocks', mem: 1024 });
    const vm = await ok('PATCH', '/vms/vm1', { mem: 768 });
    expect(server.platform.calls.at(-1)).toEqual(['resizeVm', { vmId: 'vm1', memMiB: 768 }]);
    expect(vm['memory']).toEqual({
      ...{ policy: 'blocks', configuredMiB: 1024, pluggedMiB: 768, grantedMiB: 0 },
      ...{ usedByGuestBytes: 1, instances: [] },
      blocks: [{ node: 1, memMiB: 512, state: 'free', residentBytes: 2, usedBytes: 3 }],
    });
  });

  it('show their console as text', async () => {
    await ok('POST', '/vms', HELLO);
    const answer = await server.request('GET', '/vms/vm1/console');
    expect(answer.text).toContain('Linux version');
    expect(answer.headers.get('content-type')).toContain('text/plain');
  });
});

describe('snapshots', () => {
  beforeEach(async () => {
    await ok('POST', '/functions', HELLO);
    await ok('POST', '/vms', HELLO);
  });

  it('are taken as the original’s clients ask for them', async () => {
    const taken = await ok('POST', '/snapshots', {
      vmId: 'vm1',
      snapshot_type: 'Full',
      snapshot_path: '/snap/state',
      mem_file_path: '/snap/mem',
      version: '0.23.0',
      record_regions: false,
      size_threshold: 0,
      interval_threshold: 0,
    });
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      vmId: 'vm1',
      statePath: '/snap/state',
      memoryPath: '/snap/mem',
      regions: { record: false, sizeThreshold: 0, intervalThreshold: 0 },
    });
    expect(taken).toMatchObject({
      vmId: 'vm1',
      ssId: 'ss2',
      snapshot_type: 'Full',
      snapshot_path: '/snap/state',
      mem_file_path: '/snap/mem',
      version: 'fake 1',
      func_name: 'hello',
      duration_ms: 12.5,
      paused_ms: 8.25,
    });
    const { duration_ms, paused_ms, ...shown } = taken;
    expect([duration_ms, paused_ms]).toEqual([12.5, 8.25]);
    expect(await ok('GET', '/snapshots')).toEqual([shown]);
    expect(await ok('GET', '/snapshots/ss2')).toEqual(shown);
  });

  it('are changed and deleted with empty answers', async () => {
    await ok('POST', '/snapshots', { vmId: 'vm1', ssId: 'mine' });
    const patched = await server.request('PATCH', '/snapshots/mine', {
      dig_hole: true,
      load_cache: true,
      drop_cache: false,
    });
    expect([patched.status, patched.text]).toEqual([200, '']);
    expect(server.platform.calls.at(-1)).toEqual([
      'patchSnapshot',
      ['mine', { digHole: true, loadCache: true, dropCache: false }],
    ]);
    const deleted = await server.request('DELETE', '/snapshots/mine');
    expect([deleted.status, deleted.text]).toEqual([200, '']);
  });
});

describe('invocations', () => {
  beforeEach(() => ok('POST', '/functions', HELLO));

  it('answer with the wire’s names', async () => {
    const answer = await ok('POST', '/invocations', {
      func_name: 'hello',
      vmId: 'vm1',
      ssId: '',
      params: '{"name":"Ada"}',
      timeout_ms: 500,
      mincore: -1,
      mincore_size: 0,
      loadMincore: [],
      use_mem_file: false,
      overlay_regions: false,
      use_ws_file: false,
      vmm_load_ws: false,
      enableReap: false,
      wsFileDirectIo: false,
      wsSingleRead: false,
      namespace: '',
    });
    expect(answer).toEqual({
      duration: 12.5,
      result: '{"name":"Ada"}',
      vmId: 'vm1',
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      startKind: 'warm',
      handlerMs: 1.25,
      phases: { ready: 3, firstResponse: 12 },
      faults: { minor: 10, major: 1 },
      logs: 'printed\n',
    });
    expect(server.platform.calls.at(-1)?.[1]).toEqual({
      functionName: 'hello',
      vmId: 'vm1',
      params: '{"name":"Ada"}',
      timeoutMs: 500,
      traceId: answer['traceId'],
    });
  });

  it('say why they went where they went, and take the places to try', async () => {
    const placement = {
      why: 'a VM was booted for it',
      passed: [{ place: 'warm' as const, why: 'no VM' }],
    };
    server.platform.onInvoke = () => ({ startKind: 'vertical', placement });
    const answer = await ok('POST', '/invocations', { ...HELLO, placement: ['vertical', 'cold'] });
    expect(answer).toMatchObject({ startKind: 'vertical', placement });
    expect(server.platform.calls.at(-1)?.[1]).toMatchObject({ placement: ['vertical', 'cold'] });
  });

  it.each([
    ['HOST_MEMORY_FULL', { retryAfterS: 7 }, '7'],
    ['TOO_MANY_REQUESTS', {}, '1'],
    ['NO_PLACE', {}, null],
  ] as const)('say when to ask again after %s', async (code, details, header) => {
    server.platform.failure = new SparklerError(code, 'no', details);
    const answer = await server.request('POST', '/invocations', HELLO);
    expect(answer.json).toMatchObject({ code, ...details });
    expect(answer.headers.get('retry-after')).toBe(header);
  });

  it('keep every phase', async () => {
    const phases = { vmmUp: 1, stateLoaded: 2, resumed: 3, ready: 4, firstResponse: 5 };
    server.platform.onInvoke = () => ({ phases, result: '"é\\n"' });
    const answer = await ok('POST', '/invocations', { ...HELLO, ssId: 'ss1', params: '' });
    expect(answer).toMatchObject({ startKind: 'snapshot', phases, result: '"é\\n"' });
  });

  it('are restored as they ask, and say how it went', async () => {
    server.platform.onInvoke = () => ({
      restore: {
        ...{ strategy: 'reap', why: 'so', recorded: false, served: 4, prefetched: 900 },
        ...{ populated: 0, populateMs: 0, readBytes: 4096 },
      },
    });
    const answer = await ok('POST', '/invocations', {
      ...{ ...HELLO, ssId: 'ss1', enableReap: true, wsFileDirectIo: true, wsSingleRead: true },
      mincore: -1,
    });
    expect(server.platform.calls.at(-1)?.[1]).toMatchObject({
      restore: { strategy: 'reap', options: { directIo: true, singleRead: true } },
    });
    expect(answer['restore']).toEqual({
      strategy: 'reap',
      why: 'so',
      recorded: false,
      served_faults: 4,
      prefetched_pages: 900,
      populated_pages: 0,
      populate_ms: 0,
      read_bytes: 4096,
    });
  });

  it('belong to the caller’s trace', async () => {
    const id = '4bf92f3577b34da6a3ce929d0e0e4736';
    const send = async (traceparent: string) =>
      (await server.request('POST', '/invocations', HELLO, { headers: { traceparent } })).json[
        'traceId'
      ];
    expect(await send(`00-${id}-00f067aa0ba902b7-01`)).toBe(id);
    expect(await send(`ff-${id}-00f067aa0ba902b7-01`)).not.toBe(id);
    expect(await send(`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`)).not.toBe('0'.repeat(32));
  });

  it('are logged with their trace but never with their bodies', async () => {
    const answer = await ok('POST', '/invocations', { ...HELLO, params: '"secret"' });
    await server.request('GET', '/healthz');
    expect(server.log()).toContain(`"traceId":"${String(answer['traceId'])}"`);
    expect(server.log()).not.toContain('secret');
  });

  it('carry what the function and the guest said when they fail', async () => {
    server.platform.failure = new SparklerError('HANDLER_FAILED', 'no', {
      stack: 'at x',
      errorType: 'ValueError',
      logs: 'l',
      console: 'c',
      step: 'invoke',
    });
    const answer = await server.request('POST', '/invocations', HELLO);
    expect(answer.status).toBe(422);
    expect(answer.json).toEqual({
      message: 'no',
      code: 'HANDLER_FAILED',
      fault: 'function',
      retryable: false,
      stack: 'at x',
      errorType: 'ValueError',
      logs: 'l',
      console: 'c',
      step: 'invoke',
    });
  });

  it('that fail for our fault are INTERNAL, and the log has the cause', async () => {
    server.platform.failure = new TypeError('x is not a function');
    const answer = await server.request('POST', '/invocations', HELLO);
    expect(answer.status).toBe(500);
    expect(answer.json).toMatchObject({ code: 'INTERNAL', fault: 'platform' });
    expect(server.log()).toContain('x is not a function');
  });
});

describe('the daemon itself', () => {
  it('says what it is', async () => {
    expect(await ok('GET', '/info')).toEqual(server.platform.info());
    expect(await ok('GET', '/healthz')).toEqual({ status: 'ok' });
    const metrics = await server.request('GET', '/metrics');
    expect(metrics.text).toContain('x 1');
    expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  });

  it('serves its document and a page to try it', async () => {
    expect(await ok('GET', '/openapi.json')).toMatchObject({ openapi: '3.1.0' });
    const page = await server.request('GET', '/docs');
    expect(page.status).toBe(200);
    expect(page.text).toContain('swagger-ui');
    const script = await server.request('GET', '/docs/static/swagger-ui-bundle.js');
    expect(script.status).toBe(200);
    expect(script.text.length).toBeGreaterThan(100_000);
    expect((await server.request('GET', '/docs/json')).json).toHaveProperty('paths');
  });
});
