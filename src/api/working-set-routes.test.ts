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

describe('working sets', () => {
  beforeEach(async () => {
    await ok('POST', '/functions', HELLO);
    await ok('POST', '/vms', HELLO);
    await ok('POST', '/snapshots', { vmId: 'vm1', ssId: 'base' });
    await ok('POST', '/snapshots', { vmId: 'vm1', ssId: 'warm' });
  });
  const lastCall = () => server.platform.calls.at(-1);
  const empty = async (method: string, path: string, body?: unknown) => {
    const answer = await server.request(method, path, body);
    expect([answer.status, answer.text]).toEqual([200, '']);
    return lastCall();
  };

  it('are copied with their snapshot', async () => {
    const copy = await ok('PUT', '/snapshots?from_snapshot=base&mem_file_path=%2Fsnap%2Fm2', {});
    expect(lastCall()).toEqual(['copySnapshot', { from: 'base', memoryPath: '/snap/m2' }]);
    expect(copy).toMatchObject({ ssId: 'ss2', mem_file_path: '/snap/m2', func_name: 'hello' });
    await ok('PUT', '/snapshots?from_snapshot=base&mem_file_path=&ssId=mine');
    expect(lastCall()).toEqual(['copySnapshot', { from: 'base', ssId: 'mine' }]);
  });

  it('are counted as the original does', async () => {
    expect(await ok('GET', '/snapshots/warm/mincore')).toEqual({
      nlayers: 3,
      n_nz_regions: 40,
      nz_region_size: 5000,
      n_ws_regions: 12,
      ws_region_size: 900,
    });
  });

  it('take layers from other snapshots', async () => {
    expect(await empty('PUT', '/snapshots/warm/mincore?source=base', {})).toEqual([
      'carryMincore',
      ['warm', 'base'],
    ]);
    const layer = { position: 2, fromDiff: 'base' };
    expect(await empty('POST', '/snapshots/warm/mincore', layer)).toEqual([
      'addMincoreLayer',
      ['warm', 2, 'base'],
    ]);
  });

  it.each([
    [
      {
        ...{ from_records_size: 64, trim_regions: true, to_ws_file: true, inactive_ws: true },
        ...{ zero_ws: true, size_threshold: 2, interval_threshold: 0, mincore_cache: [1, 3] },
        drop_ws_cache: true,
      },
      {
        ...{ fromRecordsSize: 64, trimRegions: true, warmLayers: [1, 3], dropCache: true },
        toFile: { inactiveWs: true, zeroWs: true, sizeThreshold: 2, intervalThreshold: 0 },
      },
    ],
    [{ to_ws_file: '/snap/ws' }, { toFile: { exportPath: '/snap/ws' } }],
    [
      {
        ...{ from_records_size: 0, trim_regions: false, to_ws_file: '', inactive_ws: false },
        ...{ zero_ws: false, size_threshold: 0, interval_threshold: 0, mincore_cache: [] },
        drop_ws_cache: false,
      },
      {},
    ],
    [{ from_records_size: null, to_ws_file: null, mincore_cache: null, trim_regions: null }, {}],
  ])('are changed by %j', async (body, patch) => {
    expect(await empty('PATCH', '/snapshots/warm/mincore', body)).toEqual([
      'patchMincore',
      ['warm', patch],
    ]);
  });

  it('of REAP are shown, cached, dropped and forgotten', async () => {
    expect(await ok('GET', '/snapshots/warm/reap')).toEqual({
      traces: 2,
      ws_file: true,
      ws_regions: 7,
      ws_pages: 100,
      ws_bytes: 420_000,
      cached: true,
    });
    for (const keep of [true, false]) {
      const call = await empty('PATCH', '/snapshots/warm/reap', String(keep));
      expect(call).toEqual(['cacheReap', ['warm', keep]]);
    }
    expect(await empty('DELETE', '/snapshots/warm/reap')).toEqual(['forgetReap', ['warm']]);
  });

  it('are described, drawn and forgotten', async () => {
    const recording = {
      ...{ event_sha256: 'e0', event_bytes: 2, recorded_at: '2024-05-06T07:08:09.000Z' },
      pages: 100,
    };
    const described = {
      pages: 32_768,
      nonzero_pages: 9000,
      recordings: [
        { ...recording, name: 'trace-1', kind: 'userfault', layers: 0 },
        { ...recording, name: 'layers', kind: 'mincore', layers: 3 },
      ],
      files: [{ strategy: 'reap', regions: 7, pages: 100, bytes: 420_000, cached: true }],
      similarities: [{ one: 'trace-1', other: 'layers', jaccard: 0.8 }],
      written_pages: 55,
    };
    expect(await ok('GET', '/snapshots/warm/working-set')).toEqual(described);
    expect(await ok('GET', '/snapshots/warm/working-set?at_least=2')).toEqual({
      ...described,
      common: { at_least: 2, of: 2, pages: 80 },
    });
    const picture = await server.request(
      'GET',
      '/snapshots/warm/working-set/picture?strategy=faasnap',
    );
    expect(picture.headers.get('content-type')).toBe('image/svg+xml; charset=utf-8');
    expect(picture.text).toBe('<svg aria-label="faasnap"/>');
    expect(await empty('DELETE', '/snapshots/warm/working-set')).toEqual(['forget', ['warm']]);
  });

  it('are verified with their snapshot, which is refused when it is damaged', async () => {
    expect(await ok('POST', '/snapshots/warm/verify')).toEqual({
      memory_id: 'ab12',
      files: [
        { name: 'memory', bytes: 4096 },
        { name: 'state', bytes: 10 },
      ],
      read_bytes: 4106,
      dropped: [],
      duration_ms: 3.5,
    });
    server.platform.failure = new SparklerError('SNAPSHOT_UNUSABLE', 'damaged at byte 65536');
    const answer = await server.request('POST', '/snapshots/warm/verify');
    expect(answer.status).toBe(409);
    expect(answer.json).toMatchObject({
      code: 'SNAPSHOT_UNUSABLE',
      message: 'damaged at byte 65536',
    });
  });
});
