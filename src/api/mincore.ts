/** `/snapshots/{ssId}/mincore`: FaaSnap's layers, regions and loading set. */
import { type Static, Type } from 'typebox';
import type { MincorePatch } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { SnapshotParams } from './snapshots.js';
import {
  bodyErrorAnswers,
  emptyAnswer,
  errorAnswers,
  name,
  ref,
  WORKING_SET_ERRORS,
} from './wire.js';

const count = (description: string) => Type.Integer({ description });

const Mincore = Type.Object(
  {
    nlayers: count('Layers: groups of pages in the order in which a recording saw them.'),
    n_nz_regions: count('Regions of pages that are not zero.'),
    nz_region_size: count('Pages in them, with the gaps that belong to them.'),
    n_ws_regions: count('Regions in the working-set file; 0 while there is none.'),
    ws_region_size: count('Pages in them.'),
  },
  { $id: 'Mincore', description: "A snapshot's mincore state." },
);

/** The last layer there can be. */
const MAX_LAYER = 65_535;
const MAX_PAGES = 2 ** 30;

const MincoreLayer = Type.Object(
  {
    position: Type.Integer({
      minimum: 1,
      maximum: MAX_LAYER,
      description: 'Which layer it becomes, 1 being the first; later ones move back by one.',
    }),
    fromDiff: name('The snapshot whose pages are compared.'),
  },
  { $id: 'MincoreLayer', additionalProperties: false, description: 'A layer to add.' },
);

const flag = (description: string) =>
  Type.Optional(Type.Union([Type.Boolean(), Type.Null()], { description }));

const pages = (description: string) =>
  Type.Optional(
    Type.Union([Type.Integer({ minimum: 0, maximum: MAX_PAGES }), Type.Null()], { description }),
  );

const MincorePatchInput = Type.Object(
  {
    from_records_size: pages(
      'Make layers of so many pages each from the page faults that `reap` recorded, instead of those there are. 0: do not.',
    ),
    trim_regions: flag("Take pages outside of the snapshot's regions out of the layers."),
    to_ws_file: Type.Optional(
      Type.Union([Type.Boolean(), Type.String({ maxLength: 4096 }), Type.Null()], {
        description:
          "Write the loading set to the snapshot's working-set file. A path: a copy of the file goes there too, and is the caller's; an absolute path inside a folder that the configuration allows.",
      }),
    ),
    inactive_ws: flag(
      '`to_ws_file`: also pages that are not zero and in no layer; they come last.',
    ),
    zero_ws: flag('`to_ws_file`: also zero pages that are in a layer.'),
    size_threshold: pages('`to_ws_file`: without regions of fewer pages. Default 0.'),
    interval_threshold: pages('`to_ws_file`: gaps of fewer pages are filled. Default 32.'),
    mincore_cache: Type.Optional(
      Type.Union([Type.Array(Type.Integer({ minimum: 1, maximum: MAX_LAYER })), Type.Null()], {
        description:
          'Drop the memory file from the page cache, then read the pages of these layers into it. Empty: do not.',
      }),
    ),
    drop_ws_cache: flag('Drop the working-set files from the page cache.'),
  },
  {
    $id: 'MincorePatch',
    additionalProperties: false,
    description: 'What to do, in the order of the fields.',
  },
);

type Patch = Static<typeof MincorePatchInput>;

/** Fields that say how the file is written: nothing without it. */
const FILE_FIELDS = ['inactive_ws', 'zero_ws', 'size_threshold', 'interval_threshold'] as const;

/** @throws SparklerError INVALID_REQUEST for fields that would be ignored. */
function patchOf(body: Patch): MincorePatch {
  return compact({
    fromRecordsSize: body.from_records_size ? body.from_records_size : undefined,
    trimRegions: body.trim_regions === true ? true : undefined,
    toFile: fileOf(body),
    warmLayers: body.mincore_cache?.length ? body.mincore_cache : undefined,
    dropCache: body.drop_ws_cache === true ? true : undefined,
  });
}

function fileOf(body: Patch): MincorePatch['toFile'] {
  const { to_ws_file } = body;
  if (!to_ws_file) {
    const field = FILE_FIELDS.find((one) => Boolean(body[one]));
    if (field === undefined) return undefined;
    const message = `${field}: says how the working-set file is written; give to_ws_file too.`;
    throw new SparklerError('INVALID_REQUEST', message, { field });
  }
  return compact({
    inactiveWs: body.inactive_ws ?? undefined,
    zeroWs: body.zero_ws ?? undefined,
    sizeThreshold: body.size_threshold ?? undefined,
    intervalThreshold: body.interval_threshold ?? undefined,
    exportPath: to_ws_file === true ? undefined : to_ws_file,
  });
}

const tags = ['snapshots'];
const url = '/snapshots/:ssId/mincore';
const params = SnapshotParams;

function lookAt(app: Api, { platform }: ApiContext): void {
  app.get(
    url,
    {
      schema: {
        operationId: 'getMincore',
        tags,
        summary: "A snapshot's layers, regions and loading set, counted",
        params,
        response: { 200: ref(Mincore), ...errorAnswers(...WORKING_SET_ERRORS) },
      },
    },
    (request) => platform.workingSets.mincore(request.params.ssId),
  );
}

function addLayers(app: Api, { platform }: ApiContext): void {
  app.put(
    url,
    {
      schema: {
        operationId: 'carryMincore',
        tags,
        summary: "Carry another snapshot's layers over",
        description: 'They replace those that there are, and the file that was made of them.',
        params,
        querystring: Type.Object(
          { source: name('The snapshot whose layers they are.') },
          { additionalProperties: false },
        ),
        response: { 200: emptyAnswer('Done.'), ...errorAnswers(...WORKING_SET_ERRORS) },
      },
    },
    async (request, reply) => {
      await platform.workingSets.carryMincore(request.params.ssId, request.query.source);
      return reply.send(undefined);
    },
  );
  app.post(
    url,
    {
      schema: {
        operationId: 'addMincoreLayer',
        tags,
        summary: 'Add a layer of pages that two snapshots share and that are not zero',
        params,
        body: ref(MincoreLayer),
        response: {
          200: emptyAnswer('Done.'),
          ...bodyErrorAnswers('LIMIT_EXCEEDED', ...WORKING_SET_ERRORS),
        },
      },
    },
    async (request, reply) => {
      const { position, fromDiff } = request.body;
      await platform.workingSets.addMincoreLayer(request.params.ssId, position, fromDiff);
      return reply.send(undefined);
    },
  );
}

function change(app: Api, { platform }: ApiContext): void {
  app.patch(
    url,
    {
      schema: {
        operationId: 'patchMincore',
        tags,
        summary: "Emulate or trim a snapshot's layers, write its working-set file, change caches",
        params,
        body: ref(MincorePatchInput),
        response: {
          200: emptyAnswer('Done.'),
          ...bodyErrorAnswers(
            'PATH_NOT_ALLOWED',
            'LIMIT_EXCEEDED',
            'OPERATION_UNSUPPORTED',
            'STORAGE_FULL',
            ...WORKING_SET_ERRORS,
          ),
        },
      },
    },
    async (request, reply) => {
      await platform.workingSets.patchMincore(request.params.ssId, patchOf(request.body));
      return reply.send(undefined);
    },
  );
}

export function mincoreRoutes(app: Api, context: ApiContext): void {
  for (const schema of [Mincore, MincoreLayer, MincorePatchInput]) app.addSchema(schema);
  lookAt(app, context);
  addLayers(app, context);
  change(app, context);
}
