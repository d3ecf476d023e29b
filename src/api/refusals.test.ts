import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type ApiServer, startApi } from '../../tests/support/api-server.js';
import { ERROR_KINDS, type ErrorCode } from '../errors.js';

const LIMITS = {
  'limits.codeArchiveBytes': 1_000_000,
  'limits.maxVcpus': 4,
  'limits.maxMemMiB': 4096,
  'limits.maxEnvBytes': 100,
  'timeouts.maxInvocationMs': 60_000,
};

let server: ApiServer;
beforeAll(async () => {
  server = await startApi(LIMITS);
  await server.request('POST', '/functions', { func_name: 'hello' });
});
afterAll(async () => server.close());

/** Every refusal has the one shape, its code's status, and changes nothing. */
function expectRefusal(answer: Answer, code: ErrorCode): void {
  const { status, fault, retryable } = ERROR_KINDS[code];
  expect(answer.json).toMatchObject({ code, fault, retryable });
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(answer.json['message']).toMatch(/\S/);
}

async function refused(
  code: ErrorCode,
  method: string,
  path: string,
  body?: unknown,
  init?: RequestInit,
): Promise<Answer> {
  const before = server.platform.calls.length;
  const answer = await server.request(method, path, body, init);
  expectRefusal(answer, code);
  expect(server.platform.calls.slice(before)).toEqual([]);
  return answer;
}

const FN = { func_name: 'hello' };

describe('a body', () => {
  it.each([
    ['/functions', {}, 'func_name', 'is required'],
    ['/functions', { func_name: 3 }, 'func_name', 'must be a string, is 3'],
    ['/vmms', { enableReap: true, strategy: 'vanilla' }, 'strategy', 'enableReap asks for reap'],
    ['/vmms', { strategy: 'magic' }, 'strategy', 'must be one of'],
    ['/vmms', { func_name: 'hello' }, 'func_name', 'is not a field of this request'],
    ['/functions', { func_name: '' }, 'func_name', 'must be a name'],
    ['/functions', { func_name: '-x' }, 'func_name', 'must be a name'],
    ['/functions', { func_name: '../x' }, 'func_name', 'must be a name'],
    ['/functions', { func_name: 'a'.repeat(65) }, 'func_name', 'must be a name'],
    ['/functions', { func_name: 'a\n' }, 'func_name', 'must be a name'],
    ['/functions', { ...FN, memsize: 512 }, 'memsize', 'is not a field of this request'],
    ['/functions', { ...FN, vcpu: '2' }, 'vcpu', 'must be a whole number, is "2"'],
    ['/functions', { ...FN, vcpu: 0 }, 'vcpu', 'must be at least 1'],
    ['/functions', { ...FN, vcpu: 5 }, 'vcpu', 'must be at most 4'],
    ['/functions', { ...FN, vcpu: 1.5 }, 'vcpu', 'must be a whole number'],
    ['/functions', { ...FN, vcpu: null }, 'vcpu', 'must be a whole number, is null'],
    ['/functions', { ...FN, mem_size: 4097 }, 'mem_size', 'must be at most 4096'],
    ['/functions', { ...FN, mem_size: -1 }, 'mem_size', 'must be at least 1'],
    ['/functions', { ...FN, runtime: 'ruby' }, 'runtime', 'must be one of python3, nodejs'],
    ['/functions', { ...FN, handler: 'app' }, 'handler', 'written `file.function`'],
    ['/functions', { ...FN, handler: '../app.handler' }, 'handler', 'written `file.function`'],
    ['/functions', { ...FN, timeout_ms: 60_001 }, 'timeout_ms', 'must be at most 60000'],
    ['/functions', { ...FN, env: ['A=1'] }, 'env', 'must be an object, is a list'],
    ['/functions', { ...FN, env: { A: 1 } }, 'env.A', 'must be a string'],
    ['/functions', { ...FN, env: { A: 'x\u0000' } }, 'env.A', 'text without NUL'],
    ['/functions', { ...FN, env: { 'A=B': 'x' } }, 'env.A=B', 'is not a field'],
    ['/vms', {}, 'func_name', 'is required'],
    ['/vms', { ...FN, mem_size: 512 }, 'mem_size', 'is not a field'],
    ['/vms', { ...FN, vcpu: true }, 'vcpu', 'must be a whole number, is true'],
    ['/vms', { ...FN, ssId: '../x' }, 'ssId', 'must be a name'],
    [
      '/vms',
      { ...FN, memory_policy: 'elastic' },
      'memory_policy',
      'must be one of static, balloon',
    ],
    ['/vms', { ...FN, enable_balloon: 1 }, 'enable_balloon', 'must be true or false'],
    ['/vms', { ...FN, blocks: [0] }, 'blocks.0', 'must be at least 1'],
    [
      '/vms',
      { ...FN, memory_policy: 'blocks', enable_balloon: true },
      'memory_policy',
      'asks for memory by blocks, but enable_balloon asks for balloon',
    ],
    [
      '/vms',
      { ...FN, enable_balloon: true, enable_faascale: true },
      'enable_balloon',
      'asks for memory by balloon, but enable_faascale asks for blocks',
    ],
    ['/snapshots', {}, 'vmId', 'is required'],
    ['/snapshots', { vmId: 'v', snapshot_type: 'Diff' }, 'snapshot_type', 'must be one of Full'],
    ['/snapshots', { vmId: 'v', snapshot_path: 1 }, 'snapshot_path', 'must be a string'],
    ['/snapshots', { vmId: 'v', ssId: 'a/b' }, 'ssId', 'must be a name'],
    ['/invocations', {}, 'func_name', 'is required'],
    ['/invocations', { ...FN, params: { a: 1 } }, 'params', 'must be a string, is an object'],
    ['/invocations', { ...FN, timeout_ms: 0 }, 'timeout_ms', 'must be at least 1'],
    ['/invocations', { ...FN, vmid: 'x' }, 'vmid', 'is not a field'],
    ['/invocations', { ...FN, placement: [] }, 'placement', 'must'],
    ['/invocations', { ...FN, placement: ['hot'] }, 'placement.0', 'must be one of'],
    ['/invocations', { ...FN, placement: ['cold', 'cold'] }, 'placement', 'must'],
    ['/functions', { ...FN, max_instances: 0 }, 'max_instances', 'must be at least 1'],
    ['/functions', { ...FN, max_vms: 65 }, 'max_vms', 'must be at most 64'],
  ])('%s %j is refused for %s', async (path, body, field, reason) => {
    const { json } = await refused('INVALID_REQUEST', 'POST', path, body);
    expect(json['field']).toBe(field);
    expect(json['message']).toContain(`${field}: `);
    expect(json['message']).toContain(reason);
  });

  it.each([['null'], ['[]'], ['"x"'], ['1']])('that is %s is refused', async (text) => {
    const { json } = await refused('INVALID_REQUEST', 'POST', '/functions', text);
    expect(json['message']).toBe('The body must be a JSON object.');
  });

  it.each([
    ['{"func_name": hello}', 'line 1, column 15'],
    ['{\n"func_name": "hello",\n}', 'line 3, column 1'],
    ['', 'empty'],
  ])('that is not JSON is refused with the place: %j', async (text, reason) => {
    const { json } = await refused('INVALID_REQUEST', 'POST', '/functions', text);
    expect(json['message']).toContain(reason);
  });

  it('cannot reach the prototype', async () => {
    const text = '{"func_name":"hello","__proto__":{"x":1}}';
    await refused('INVALID_REQUEST', 'POST', '/functions', text);
  });

  it('that is missing is refused', async () => {
    await refused('INVALID_REQUEST', 'POST', '/functions');
  });

  it('of another type is refused', async () => {
    const answer = await refused('UNSUPPORTED_MEDIA_TYPE', 'POST', '/invocations', '{}', {
      headers: { 'content-type': 'text/plain' },
    });
    expect(answer.json['message']).toContain('application/json');
  });

  it('with too large an environment is refused', async () => {
    const env = { A: 'x'.repeat(100) };
    const { json } = await refused('LIMIT_EXCEEDED', 'POST', '/functions', { ...FN, env });
    expect(json['field']).toBe('env');
  });

  it.each([
    ['/functions', 1024 * 1024 + 1],
    ['/invocations', 6 * 1024 * 1024 + 1],
  ])('%s of %i bytes is too large', async (path, size) => {
    const body = JSON.stringify({ ...FN, params: '' }).padEnd(size);
    const { json } = await refused('BODY_TOO_LARGE', 'POST', path, body);
    expect(json['message']).toContain(String(size - 1));
  });

  it('is too large when its length was not said before', async () => {
    const chunk = new Uint8Array(64 * 1024).fill(32);
    let sent = 0;
    const body = new ReadableStream({
      pull: (c) => (sent++ < 120 ? c.enqueue(chunk) : c.close()),
    });
    await refused('BODY_TOO_LARGE', 'POST', '/invocations', undefined, {
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    });
  });
});

describe('a field of a later version', () => {
  it.each([
    ['/invocations', 'namespace', 'fc1'],
    ['/vms', 'namespace', 'fc1'],
    ['/vmms', 'namespace', 'fc1'],
  ])('%s: %s = %j is refused by name', async (path, field, value) => {
    const body = { ...(path === '/vmms' ? {} : FN), [field]: value };
    const { json } = await refused('UNSUPPORTED_FIELD', 'POST', path, body);
    expect(json['field']).toBe(field);
    expect(json['message']).toContain('does not do it yet');
  });
});

describe('params', () => {
  it.each([
    ['{"a":', 'line 1, column 6 (character 6)'],
    ['hello', 'line 1, column 1 (character 1)'],
    ['{"a": 1,\n "b": x}', 'line 2, column 7 (character 16)'],
    ["{'a': 1}", 'line 1, column 2'],
  ])('%j are refused with the place', async (params, place) => {
    const { json } = await refused('INVALID_PARAMS', 'POST', '/invocations', { ...FN, params });
    expect(json['field']).toBe('params');
    expect(json['message']).toContain(place);
  });
});

describe('what does not exist', () => {
  it.each([
    ['GET', '/functions/nobody', 'FUNCTION_NOT_FOUND'],
    ['GET', '/functions/nobody/logs', 'FUNCTION_NOT_FOUND'],
    ['GET', '/vms/nobody', 'VM_NOT_FOUND'],
    ['GET', '/vms/nobody/console', 'VM_NOT_FOUND'],
    ['GET', '/snapshots/nobody', 'SNAPSHOT_NOT_FOUND'],
    ['GET', '/ui', 'ROUTE_NOT_FOUND'],
    ['GET', '/ui/data', 'ROUTE_NOT_FOUND'],
    ['GET', '/snapshots/nobody/mincore', 'SNAPSHOT_NOT_FOUND'],
    ['GET', '/snapshots/nobody/reap', 'SNAPSHOT_NOT_FOUND'],
    ['GET', '/snapshots/nobody/working-set', 'SNAPSHOT_NOT_FOUND'],
    ['GET', '/snapshots/nobody/working-set/picture', 'SNAPSHOT_NOT_FOUND'],
    ['POST', '/snapshots/nobody/verify', 'SNAPSHOT_NOT_FOUND'],
    ['GET', '/snapshots/x/mincore/1', 'ROUTE_NOT_FOUND'],
    ['PUT', '/net-ifaces/fc1', 'ROUTE_NOT_FOUND'],
    ['GET', '/', 'ROUTE_NOT_FOUND'],
    ['GET', '/functions/', 'INVALID_REQUEST'],
    ['GET', `/functions/${'a'.repeat(65)}`, 'INVALID_REQUEST'],
    ['GET', '/vms/a%20b', 'INVALID_REQUEST'],
  ] as const)('%s %s is %s', async (method, path, code) => {
    await refused(code, method, path);
  });

  it.each([
    ['DELETE', '/vms/nobody', undefined, 'VM_NOT_FOUND'],
    ['DELETE', '/functions/nobody', undefined, 'FUNCTION_NOT_FOUND'],
    ['DELETE', '/snapshots/nobody', undefined, 'SNAPSHOT_NOT_FOUND'],
    ['PATCH', '/snapshots/nobody', { dig_hole: true }, 'SNAPSHOT_NOT_FOUND'],
    ['POST', '/vms', { func_name: 'nobody' }, 'FUNCTION_NOT_FOUND'],
    ['POST', '/snapshots', { vmId: 'nobody' }, 'VM_NOT_FOUND'],
    ['POST', '/invocations', { func_name: 'nobody' }, 'FUNCTION_NOT_FOUND'],
  ] as const)('%s %s %j is %s', async (method, path, body, code) => {
    expectRefusal(await server.request(method, path, body), code);
  });

  it.each([
    ['DELETE', '/functions', 'GET, HEAD, POST'],
    ['DELETE', '/snapshots', 'GET, HEAD, POST, PUT'],
    ['DELETE', '/snapshots/x/mincore', 'GET, HEAD, PATCH, POST, PUT'],
    ['POST', '/snapshots/x/reap', 'DELETE, GET, HEAD, PATCH'],
    ['GET', '/snapshots/x/verify', 'POST'],
    ['GET', '/invocations', 'POST'],
    ['POST', '/vms/x', 'DELETE, GET, HEAD, PATCH'],
    ['GET', '/functions/x/code', 'PUT'],
    ['OPTIONS', '/functions', 'GET, HEAD, POST'],
  ])('%s %s takes %s', async (method, path, allow) => {
    const answer = await refused('METHOD_NOT_ALLOWED', method, path);
    expect(answer.headers.get('allow')).toBe(allow);
  });
});

describe('a patch', () => {
  it('cannot load and drop the cache at once', async () => {
    const body = { load_cache: true, drop_cache: true };
    const { json } = await refused('INVALID_REQUEST', 'PATCH', '/snapshots/x', body);
    expect(json['field']).toBe('drop_cache');
  });

  it.each([{ mincore: true }, { dig_hole: 1 }])('of %j is refused', async (body) => {
    await refused('INVALID_REQUEST', 'PATCH', '/snapshots/x', body);
  });
});

describe('a request about a working set', () => {
  const FILE = 'give to_ws_file too';

  it.each([
    ['PATCH', 'mincore', { from_records_size: -1 }, 'from_records_size', 'at least 0'],
    ['PATCH', 'mincore', { from_records_size: '64' }, 'from_records_size', 'a whole number'],
    ['PATCH', 'mincore', { trim_regions: 1 }, 'trim_regions', 'true or false'],
    ['PATCH', 'mincore', { mincore_cache: 2 }, 'mincore_cache', 'a list'],
    ['PATCH', 'mincore', { mincore_cache: [0] }, 'mincore_cache.0', 'at least 1'],
    ['PATCH', 'mincore', { to_ws_files: true }, 'to_ws_files', 'is not a field'],
    ['PATCH', 'mincore', { inactive_ws: true }, 'inactive_ws', FILE],
    ['PATCH', 'mincore', { to_ws_file: false, zero_ws: true }, 'zero_ws', FILE],
    ['PATCH', 'mincore', { to_ws_file: '', size_threshold: 2 }, 'size_threshold', FILE],
    ['PATCH', 'mincore', { interval_threshold: 32 }, 'interval_threshold', FILE],
    ['POST', 'mincore', { position: 0, fromDiff: 'b' }, 'position', 'at least 1'],
    ['POST', 'mincore', { position: 1 }, 'fromDiff', 'is required'],
    ['POST', 'mincore', { position: 1, fromDiff: '../b' }, 'fromDiff', 'must be a name'],
    ['PUT', 'mincore', undefined, 'source', 'is required'],
    ['PUT', 'mincore?source=..', undefined, 'source', 'must be a name'],
    ['PUT', 'mincore?source=a&from=b', undefined, 'from', 'is not a field'],
    ['GET', 'working-set?at_least=0', undefined, 'at_least', 'from 1 to 9999'],
    ['GET', 'working-set?at_least=two', undefined, 'at_least', 'from 1 to 9999'],
    ['GET', 'working-set/picture?strategy=vanilla', undefined, 'strategy', 'must be one of reap'],
  ])('%s %s %j is refused for %s', async (method, path, body, field, reason) => {
    const { json } = await refused('INVALID_REQUEST', method, `/snapshots/x/${path}`, body);
    expect(json['field']).toBe(field);
    expect(json['message']).toContain(reason);
  });

  it.each([['"yes"'], ['{}'], ['1'], ['null']])('cannot keep REAP cached by %s', async (body) => {
    const { json } = await refused('INVALID_REQUEST', 'PATCH', '/snapshots/x/reap', body);
    expect(json['message']).toMatch(/^The body must be true or false, is /);
  });

  it.each([
    ['', 'from_snapshot'],
    ['?from_snapshot=../x', 'from_snapshot'],
    ['?from_snapshot=x&ssId=a/b', 'ssId'],
    ['?from_snapshot=x&snapshot_path=/s', 'snapshot_path'],
  ])('a copy %s is refused', async (query, field) => {
    const { json } = await refused('INVALID_REQUEST', 'PUT', `/snapshots${query}`);
    expect(json['field']).toBe(field);
  });
});

describe('code', () => {
  const upload = (path: string, init: RequestInit) =>
    server.request('PUT', path, undefined, {
      ...init,
      headers: { 'content-type': 'application/zip', ...(init.headers as object | undefined) },
    });
  const path = '/functions/hello/code';

  it('for an unknown function is refused, however large', async () => {
    const body = new Uint8Array(900_000);
    expectRefusal(await upload('/functions/nobody/code', { body }), 'FUNCTION_NOT_FOUND');
  });

  it('that is too large is refused', async () => {
    const body = new Uint8Array(1_000_001);
    expectRefusal(await upload(path, { body }), 'ARCHIVE_TOO_LARGE');
  });

  it('that turns out too large is refused', async () => {
    let sent = 0;
    const chunk = new Uint8Array(100_000);
    const body = new ReadableStream({ pull: (c) => (sent++ < 11 ? c.enqueue(chunk) : c.close()) });
    const answer = await upload(path, { body, duplex: 'half' });
    expectRefusal(answer, 'ARCHIVE_TOO_LARGE');
  });

  it('that is empty is refused', async () => {
    const answer = await upload(path, { body: new Uint8Array(0) });
    expectRefusal(answer, 'INVALID_ARCHIVE');
  });

  it.each(['application/json', 'text/plain'])('as %s is refused', async (type) => {
    const init = { body: 'x', headers: { 'content-type': type } };
    const answer = await upload(path, init);
    expectRefusal(answer, 'UNSUPPORTED_MEDIA_TYPE');
    expect(answer.json['message']).toContain('application/zip, application/x-tar');
  });

  it('whose sender goes away fails in the platform, and the daemon goes on', async () => {
    const before = server.platform.calls.length;
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write(
          `PUT ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\nContent-Length: 1000\r\n\r\nabc`,
          () => setTimeout(() => socket.destroy(), 50),
        );
      });
      socket.on('close', () => resolve());
    });
    expect((await server.request('GET', '/healthz')).status).toBe(200);
    expect(server.platform.calls.length).toBe(before + 1);
    expect(server.platform.functions.get('hello')?.codeId).toBeUndefined();
  });
});

describe('a crooked request', () => {
  const get = (path: string, headers = 'Host: localhost\r\n') =>
    server.raw(`GET ${path} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);

  it.each([
    ['/functions/..%2fvms'],
    ['/functions/%2e%2e/vms'],
    ['/functions/../vms'],
    ['/functions/hello%2Fcode'],
    ['/functions/a%5cb'],
    ['/functions/a%00'],
    ['/functions/.'],
    ['/functions/%zz'],
    ['http://evil.com/functions'],
  ])('for %s is refused', async (path) => {
    const answer = await get(path);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"INVALID_REQUEST"');
  });

  it('may hold anything in its query', async () => {
    expect(await get('/healthz?next=/../%2f..')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ['two Host headers', 'Host: localhost\r\nHost: localhost\r\n', 'twice'],
    ['two Host headers in other letters', 'Host: localhost\r\nhOST: evil\r\n', 'twice'],
    ['no Host header', '', 'required'],
    ['a Host that is none', 'Host: a b\r\n', 'not a host name'],
    ['a Host with a user', 'Host: localhost@evil\r\n', 'not a host name'],
  ])('with %s is refused', async (_what, headers, reason) => {
    const answer = await get('/healthz', headers);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"field":"Host"');
    expect(answer).toContain(reason);
  });

  it('that is not HTTP is refused', async () => {
    const answer = await server.raw('hello\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"INVALID_REQUEST"');
  });

  it('with endless headers is refused', async () => {
    const answer = await get('/healthz', `Host: localhost\r\nX: ${'x'.repeat(20_000)}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('"code":"HEADERS_TOO_LARGE"');
  });
});

describe('a page in the browser', () => {
  const withHeaders = (headers: Record<string, string>) =>
    server.raw(
      `GET /healthz HTTP/1.1\r\n${Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}Connection: close\r\n\r\n`,
    );

  it.each(['evil.com', 'localhost.evil.com:8080', '10.1.2.3', '127.0.0.1.evil.com'])(
    'cannot reach the daemon as %s',
    async (host) => {
      const answer = await withHeaders({ Host: host });
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(answer).toContain('"code":"HOST_NOT_ALLOWED"');
    },
  );

  it.each(['http://evil.com', 'https://localhost:8080', 'null', 'http://localhost', ''])(
    'of %j cannot use the daemon',
    async (origin) => {
      const answer = await withHeaders({ Host: 'localhost:8080', Origin: origin });
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(answer).toContain('"code":"ORIGIN_NOT_ALLOWED"');
    },
  );

  it.each(['localhost:8080', '127.0.0.1', '127.0.0.1:99', '[::1]:8080', 'LOCALHOST'])(
    'of the daemon itself at %s can',
    async (host) => {
      const answer = await withHeaders({ Host: host, Origin: `http://${host}` });
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    },
  );
});

describe('a daemon with other settings', () => {
  it('that listens for other machines answers by any name, but not for other pages', async () => {
    const open = await startApi({ host: '0.0.0.0' });
    const send = (headers: string) =>
      open.raw(`GET /healthz HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
    try {
      expect(await send('Host: box.example:8080\r\n')).toMatch(/^HTTP\/1\.1 200 /);
      const foreign = 'Host: box.example:8080\r\nOrigin: http://evil.com\r\n';
      expect(await send(foreign)).toMatch(/^HTTP\/1\.1 403 /);
    } finally {
      await open.close();
    }
  });

  it('gives up on a request that does not arrive', async () => {
    const hasty = await startApi({ 'timeouts.httpRequestMs': 200 });
    try {
      const answer = await hasty.raw(
        'POST /vms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      );
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain('"code":"REQUEST_TIMEOUT"');
    } finally {
      await hasty.close();
    }
  });
});
