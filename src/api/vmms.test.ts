import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiServer, startApi } from '../../tests/support/api-server.js';

let server: ApiServer;
beforeEach(async () => (server = await startApi()));
afterEach(async () => server.close());

async function ok(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const answer = await server.request(method, path, body);
  expect(answer.json).not.toHaveProperty('message');
  expect(answer.status).toBe(200);
  return answer.json;
}

describe('VMs', () => {
  it('are started for the pool, as the original’s clients ask for it, and ours', async () => {
    await ok('POST', '/functions', { func_name: 'hello' });
    await ok('POST', '/vms', { func_name: 'hello' });
    await ok('POST', '/snapshots', { vmId: 'vm1', ssId: 'ss1' });
    const pooled = await ok('POST', '/vmms', { namespace: '', enableReap: true });
    expect(pooled).toMatchObject({ ssId: 'ss1', startKind: 'snapshot', pooled: true });
    expect(server.platform.calls.at(-1)).toEqual(['poolVm', { strategy: 'reap' }]);
    expect(await ok('GET', `/vms/${String(pooled['vmId'])}`)).toEqual(pooled);
    await ok('POST', '/vmms', { namespace: '', enableReap: false, ssId: '' });
    expect(server.platform.calls.at(-1)).toEqual(['poolVm', {}]);
    await ok('POST', '/vmms', { ssId: 'ss1', strategy: 'populate' });
    expect(server.platform.calls.at(-1)).toEqual(['poolVm', { ssId: 'ss1', strategy: 'populate' }]);
  });
});
