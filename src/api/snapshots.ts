/** `/snapshots`: take, list, look at, change the cache of, and delete snapshots. */
import { type Static, Type } from 'typebox';
import type { SnapshotRecord } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact, given, timestamp } from './compact.js';
import type { Api, ApiContext } from './context.js';
import {
  bodyErrorAnswers,
  emptyAnswer,
  errorAnswers,
  instant,
  name,
  optionalName,
  ref,
} from './wire.js';

const fields = {
  vmId: name('The VM that it was taken of; it may be gone.'),
  ssId: name('Its id.'),
  snapshot_type: Type.Enum(['Full'], { type: 'string', description: 'All of memory.' }),
  snapshot_path: Type.String({ description: 'File of the device state.' }),
  mem_file_path: Type.String({ description: 'File of guest memory.' }),
  version: Type.String({ description: 'Name and version of the VMM that took it.' }),
  record_regions: Type.Boolean({ description: 'Non-zero regions are mapped on their own.' }),
  size_threshold: Type.Integer({ description: 'Pages of the smallest region.' }),
  interval_threshold: Type.Integer({ description: 'Pages of the smallest gap.' }),
  func_name: Type.String({ description: 'The function that the VM ran.' }),
  vcpu: Type.Integer({ description: 'vCPUs of the machine.' }),
  mem_size: Type.Integer({ description: 'Memory of the machine, MiB.' }),
  image: Type.String({ description: 'Alias of the root file system.' }),
  kernel: Type.String({ description: 'Alias of the guest kernel.' }),
  code_sha256: Type.String({ description: "SHA-256 of the function's code drive." }),
  created_at: instant('When it was taken.'),
  disk_bytes: Type.Integer({
    description: 'Bytes that its files take on disk; the memory file is sparse.',
  }),
};

const SnapshotSchema = Type.Object(fields, { $id: 'Snapshot', description: 'A snapshot.' });

const SnapshotTakenSchema = Type.Object(
  {
    ...fields,
    duration_ms: Type.Number({ description: 'Taking it, the whole request, ms.' }),
    paused_ms: Type.Number({ description: 'For so long the guest stood still, ms.' }),
  },
  { $id: 'SnapshotTaken', description: 'A snapshot that was just taken.' },
);

const place = (what: string) =>
  Type.Optional(
    Type.String({
      maxLength: 4096,
      description: `Where ${what} goes: an absolute path inside a folder that the configuration allows. Default: the snapshot's own folder.`,
    }),
  );

const SnapshotInput = Type.Object(
  {
    vmId: name('The VM to take it of.'),
    ssId: optionalName('Its id. Default: a new one.'),
    snapshot_type: Type.Optional(
      Type.Enum(['Full'], {
        type: 'string',
        description: 'All of memory: the only type there is.',
      }),
    ),
    snapshot_path: place('the device state'),
    mem_file_path: place('guest memory'),
    version: Type.Optional(
      Type.String({
        maxLength: 64,
        description:
          "The original's wish for a format of Firecracker's. Has no effect: the answer names the VMM that took the snapshot.",
      }),
    ),
    record_regions: Type.Optional(
      Type.Boolean({
        description:
          '`faasnap` maps the regions that are not zero over anonymous memory. Default true; false: over the memory file.',
      }),
    ),
    size_threshold: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Smaller regions, in pages, are not mapped on their own. Default 0.',
      }),
    ),
    interval_threshold: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Gaps of fewer zero pages become part of a region. Default 32.',
      }),
    ),
  },
  { $id: 'SnapshotInput', additionalProperties: false, description: 'A snapshot to take.' },
);

const flag = (description: string) => Type.Optional(Type.Boolean({ description }));

const SnapshotPatchInput = Type.Object(
  {
    dig_hole: flag('Make zero blocks of the memory file holes.'),
    load_cache: flag('Read the memory file into the page cache.'),
    drop_cache: flag('Drop the memory file from the page cache.'),
  },
  { $id: 'SnapshotPatch', additionalProperties: false, description: 'What to do.' },
);

export const SnapshotParams = Type.Object({ ssId: name('Id of the snapshot.') });

function snapshotToWire(record: SnapshotRecord): Static<typeof SnapshotSchema> {
  return {
    vmId: record.vmId,
    ssId: record.ssId,
    snapshot_type: 'Full',
    snapshot_path: record.statePath,
    mem_file_path: record.memoryPath,
    version: record.version,
    record_regions: record.regions.record,
    size_threshold: record.regions.sizeThreshold,
    interval_threshold: record.regions.intervalThreshold,
    func_name: record.functionName,
    vcpu: record.vcpus,
    mem_size: record.memMiB,
    image: record.image,
    kernel: record.kernel,
    code_sha256: record.codeId,
    created_at: timestamp(record.createdAt),
    disk_bytes: record.diskBytes,
  };
}

const tags = ['snapshots'];

function listAndTake(app: Api, { platform }: ApiContext): void {
  for (const schema of [SnapshotSchema, SnapshotTakenSchema, SnapshotInput, SnapshotPatchInput]) {
    app.addSchema(schema);
  }
  app.get(
    '/snapshots',
    {
      schema: {
        operationId: 'listSnapshots',
        tags,
        summary: 'All snapshots',
        response: {
          200: Type.Array(ref(SnapshotSchema), { description: 'The snapshots.' }),
          ...errorAnswers(),
        },
      },
    },
    () => platform.listSnapshots().map(snapshotToWire),
  );
  app.post(
    '/snapshots',
    {
      schema: {
        operationId: 'takeSnapshot',
        tags,
        summary: 'Take a snapshot of a microVM',
        description: 'The VM goes on afterwards.',
        body: ref(SnapshotInput),
        response: {
          200: ref(SnapshotTakenSchema),
          ...bodyErrorAnswers(
            'VM_NOT_FOUND',
            'VM_WRONG_STATE',
            'PATH_NOT_ALLOWED',
            'OPERATION_UNSUPPORTED',
            'FUNCTION_NOT_FROZEN',
            'GUEST_NOT_READY',
            'VMM_FAILED',
            'VM_DIED',
            'STORAGE_FULL',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request) => {
      const { vmId, ssId, snapshot_path, mem_file_path } = request.body;
      const { record_regions, size_threshold, interval_threshold } = request.body;
      const taken = await platform.takeSnapshot(
        compact({
          vmId,
          ssId: given(ssId),
          statePath: given(snapshot_path),
          memoryPath: given(mem_file_path),
          regions: compact({
            record: record_regions,
            sizeThreshold: size_threshold,
            intervalThreshold: interval_threshold,
          }),
        }),
      );
      return {
        ...snapshotToWire(taken.snapshot),
        duration_ms: taken.totalMs,
        paused_ms: taken.pausedMs,
      };
    },
  );
}

const CopyQuery = Type.Object(
  {
    from_snapshot: name('The snapshot to copy.'),
    mem_file_path: place("the copy's memory"),
    ssId: optionalName("The copy's id. Default: a new one."),
  },
  { additionalProperties: false },
);

function copySnapshot(app: Api, { platform }: ApiContext): void {
  app.put(
    '/snapshots',
    {
      schema: {
        operationId: 'copySnapshot',
        tags,
        summary: 'Copy a snapshot',
        description:
          'The copy has a memory file of its own, which shares its blocks where the file system can, and all that was recorded of the source.',
        querystring: CopyQuery,
        response: {
          200: ref(SnapshotSchema),
          ...errorAnswers(
            'SNAPSHOT_NOT_FOUND',
            'SNAPSHOT_UNUSABLE',
            'PATH_NOT_ALLOWED',
            'FUNCTION_NOT_FOUND',
            'OPERATION_UNSUPPORTED',
            'STORAGE_FULL',
            'TOO_MANY_REQUESTS',
            'VMM_FAILED',
            'DEPENDENCY_MISSING',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request) => {
      const { from_snapshot, mem_file_path, ssId } = request.query;
      const input = { from: from_snapshot, memoryPath: given(mem_file_path), ssId: given(ssId) };
      return snapshotToWire(await platform.copySnapshot(compact(input)));
    },
  );
}

function oneSnapshot(app: Api, { platform }: ApiContext): void {
  app.get(
    '/snapshots/:ssId',
    {
      schema: {
        operationId: 'getSnapshot',
        tags,
        summary: 'One snapshot',
        params: SnapshotParams,
        response: { 200: ref(SnapshotSchema), ...errorAnswers('SNAPSHOT_NOT_FOUND') },
      },
    },
    (request) => snapshotToWire(platform.getSnapshot(request.params.ssId)),
  );
  app.delete(
    '/snapshots/:ssId',
    {
      schema: {
        operationId: 'deleteSnapshot',
        tags,
        summary: 'Delete a snapshot and its files',
        params: SnapshotParams,
        response: {
          200: emptyAnswer('The snapshot is gone.'),
          ...errorAnswers('SNAPSHOT_NOT_FOUND', 'SNAPSHOT_IN_USE'),
        },
      },
    },
    async (request, reply) => {
      await platform.deleteSnapshot(request.params.ssId);
      return reply.send(undefined);
    },
  );
}

function patchSnapshot(app: Api, { platform }: ApiContext): void {
  app.patch(
    '/snapshots/:ssId',
    {
      schema: {
        operationId: 'patchSnapshot',
        tags,
        summary: "Dig holes into a snapshot's memory file, or load or drop its cache",
        params: SnapshotParams,
        body: ref(SnapshotPatchInput),
        response: {
          200: emptyAnswer('Done.'),
          ...bodyErrorAnswers(
            'SNAPSHOT_NOT_FOUND',
            'OPERATION_UNSUPPORTED',
            'TOO_MANY_REQUESTS',
            'VMM_FAILED',
            'DEPENDENCY_MISSING',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request, reply) => {
      const { dig_hole, load_cache, drop_cache } = request.body;
      if (load_cache && drop_cache) {
        throw new SparklerError(
          'INVALID_REQUEST',
          'drop_cache: cannot be asked for together with load_cache.',
          { field: 'drop_cache' },
        );
      }
      await platform.patchSnapshot(
        request.params.ssId,
        compact({ digHole: dig_hole, loadCache: load_cache, dropCache: drop_cache }),
      );
      return reply.send(undefined);
    },
  );
}

export function snapshotRoutes(app: Api, context: ApiContext): void {
  listAndTake(app, context);
  copySnapshot(app, context);
  oneSnapshot(app, context);
  patchSnapshot(app, context);
}
