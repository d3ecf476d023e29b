/** `/snapshots/{ssId}/reap`: what REAP has recorded of a snapshot. */
import { type Static, Type } from 'typebox';
import type { ReapState } from '../control/index.js';
import type { Api, ApiContext } from './context.js';
import { SnapshotParams } from './snapshots.js';
import { bodyErrorAnswers, emptyAnswer, errorAnswers, ref, WORKING_SET_ERRORS } from './wire.js';

const Reap = Type.Object(
  {
    traces: Type.Integer({ description: 'Recorded invocations; 0: the next one is recorded.' }),
    ws_file: Type.Boolean({ description: 'The recorded pages are in a working-set file.' }),
    ws_regions: Type.Integer({ description: 'Regions in it.' }),
    ws_pages: Type.Integer({ description: 'Pages in it.' }),
    ws_bytes: Type.Integer({ description: 'Bytes of it.' }),
    cached: Type.Boolean({ description: 'It was read into the page cache and not dropped since.' }),
  },
  { $id: 'Reap', description: "REAP's state of a snapshot." },
);

function reapToWire({ traces, file }: ReapState): Static<typeof Reap> {
  return {
    traces,
    ws_file: file !== undefined,
    ws_regions: file?.regions ?? 0,
    ws_pages: file?.pages ?? 0,
    ws_bytes: file?.bytes ?? 0,
    cached: file?.cached ?? false,
  };
}

const tags = ['snapshots'];
const url = '/snapshots/:ssId/reap';
const params = SnapshotParams;

export function reapRoutes(app: Api, { platform }: ApiContext): void {
  app.addSchema(Reap);
  app.get(
    url,
    {
      schema: {
        operationId: 'getReap',
        tags,
        summary: 'What REAP has recorded',
        params,
        response: { 200: ref(Reap), ...errorAnswers(...WORKING_SET_ERRORS) },
      },
    },
    async (request) => reapToWire(await platform.workingSets.reap(request.params.ssId)),
  );
  app.delete(
    url,
    {
      schema: {
        operationId: 'forgetReap',
        tags,
        summary: 'Forget what REAP has recorded',
        params,
        response: {
          200: emptyAnswer('The next restore with `reap` records anew.'),
          ...errorAnswers(...WORKING_SET_ERRORS),
        },
      },
    },
    async (request, reply) => {
      await platform.workingSets.forgetReap(request.params.ssId);
      return reply.send(undefined);
    },
  );
  app.patch(
    url,
    {
      schema: {
        operationId: 'cacheReap',
        tags,
        summary: "Keep REAP's working-set file in the page cache, or drop it from there",
        params,
        body: Type.Boolean({ description: 'true: read it into the page cache. false: drop it.' }),
        response: {
          200: emptyAnswer('Done.'),
          ...bodyErrorAnswers('OPERATION_UNSUPPORTED', 'STORAGE_FULL', ...WORKING_SET_ERRORS),
        },
      },
    },
    async (request, reply) => {
      await platform.workingSets.cacheReap(request.params.ssId, request.body);
      return reply.send(undefined);
    },
  );
}
