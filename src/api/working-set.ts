/** What was recorded of a snapshot, as numbers and as a picture; and whether the snapshot is whole. */
import { type Static, Type } from 'typebox';
import type { SnapshotVerified, WorkingSetView } from '../control/index.js';
import { compact, timestamp } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { SnapshotParams } from './snapshots.js';
import { emptyAnswer, errorAnswers, instant, matching, ref, WORKING_SET_ERRORS } from './wire.js';

const count = (description: string) => Type.Integer({ description });
const use = (description: string) =>
  Type.Enum(['reap', 'faasnap', 'populate'], { type: 'string', description });

const WorkingSet = Type.Object(
  {
    pages: count('Pages of guest memory, 4096 bytes each.'),
    nonzero_pages: count('Those of them that are not zero.'),
    recordings: Type.Array(
      Type.Object({
        name: Type.String({ description: 'Which recording.' }),
        kind: Type.Enum(['userfault', 'mincore'], {
          type: 'string',
          description: '`userfault`: page faults; `mincore`: scans of the page cache.',
        }),
        event_sha256: Type.String({ description: 'SHA-256 of the event that was invoked.' }),
        event_bytes: count('Bytes of it.'),
        recorded_at: instant('When.'),
        pages: count('Pages in it.'),
        layers: count('Layers in it; 0 for page faults.'),
      }),
      { description: 'One for each recorded invocation; traces oldest first, then layers.' },
    ),
    files: Type.Array(
      Type.Object({
        strategy: use('The strategy that uses it.'),
        regions: count('Regions in it.'),
        pages: count('Pages in it.'),
        bytes: count('Bytes of it.'),
        cached: Type.Boolean({
          description: 'It was read into the page cache by this daemon and not dropped since.',
        }),
      }),
      { description: 'The working-set files that there are.' },
    ),
    similarities: Type.Array(
      Type.Object({
        one: Type.String({ description: 'A recording.' }),
        other: Type.String({ description: 'Another one.' }),
        jaccard: Type.Number({ description: 'Shared pages by all pages of both, 0 to 1.' }),
      }),
      { description: 'Each pair of recordings.' },
    ),
    written_pages: Type.Optional(count('Pages that invocations are known to write.')),
    common: Type.Optional(
      Type.Object(
        {
          at_least: count('In so many of the recordings at least …'),
          of: count('… of so many …'),
          pages: count('… are so many pages.'),
        },
        { description: 'Only with `at_least`.' },
      ),
    ),
  },
  { $id: 'WorkingSet', description: 'What is known of the working set of a snapshot.' },
);

const Verification = Type.Object(
  {
    memory_id: Type.String({ description: 'SHA-256 over the checksums of guest memory.' }),
    files: Type.Array(
      Type.Object({
        name: Type.String({ description: "Its name in the snapshot's folder, or its path." }),
        bytes: count('Bytes of it.'),
      }),
      { description: 'What was read in full and found whole.' },
    ),
    read_bytes: count('Bytes of all of them; holes count as zeros.'),
    dropped: Type.Array(Type.String(), {
      description: 'Recordings and files made of them that were damaged, and are gone now.',
    }),
    duration_ms: Type.Number({ description: 'How long it took, ms.' }),
  },
  { $id: 'Verification', description: 'A snapshot that is whole.' },
);

function workingSetToWire(view: WorkingSetView): Static<typeof WorkingSet> {
  const { common, recordings } = view;
  return compact({
    pages: view.pages,
    nonzero_pages: view.nonZeroPages,
    recordings: recordings.map((recording) => ({
      name: recording.name,
      kind: recording.kind,
      event_sha256: recording.eventSha256,
      event_bytes: recording.eventBytes,
      recorded_at: timestamp(recording.recordedAt),
      pages: recording.pages,
      layers: recording.groups,
    })),
    files: view.files.map(({ use: strategy, ...file }) => ({ strategy, ...file })),
    similarities: view.similarities.map((pair) => ({ ...pair })),
    written_pages: view.writtenPages,
    common: common && { at_least: common.atLeast, of: recordings.length, pages: common.pages },
  });
}

function verifiedToWire(verified: SnapshotVerified): Static<typeof Verification> {
  const files = verified.files.map((file) => ({ ...file }));
  return {
    memory_id: verified.memoryId,
    files,
    read_bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    dropped: [...verified.dropped],
    duration_ms: verified.durationMs,
  };
}

/** Queries are text. */
const AT_LEAST = '^[1-9][0-9]{0,3}$';

const tags = ['snapshots'];
const url = '/snapshots/:ssId/working-set';
const params = SnapshotParams;

function lookAndForget(app: Api, { platform }: ApiContext): void {
  app.get(
    url,
    {
      schema: {
        operationId: 'getWorkingSet',
        tags,
        summary: 'What was recorded of a snapshot, and what was made of it',
        params,
        querystring: Type.Object(
          {
            at_least: Type.Optional(
              matching(
                AT_LEAST,
                'a whole number from 1 to 9999',
                'Also count the pages that are in at least so many of the recordings.',
              ),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: ref(WorkingSet), ...errorAnswers(...WORKING_SET_ERRORS) },
      },
    },
    async (request) => {
      const { at_least } = request.query;
      const atLeast = at_least === undefined ? undefined : Number(at_least);
      return workingSetToWire(await platform.workingSets.workingSet(request.params.ssId, atLeast));
    },
  );
  app.delete(
    url,
    {
      schema: {
        operationId: 'forgetWorkingSet',
        tags,
        summary: 'Forget all that was recorded of a snapshot, and all that was made of it',
        params,
        response: { 200: emptyAnswer('It is forgotten.'), ...errorAnswers(...WORKING_SET_ERRORS) },
      },
    },
    async (request, reply) => {
      await platform.workingSets.forget(request.params.ssId);
      return reply.send(undefined);
    },
  );
}

function picture(app: Api, { platform }: ApiContext): void {
  app.get(
    `${url}/picture`,
    {
      schema: {
        operationId: 'workingSetPicture',
        tags,
        summary: "A picture of a snapshot's memory",
        description: 'Which pages are zero, resident, touched by invocations, and prefetched.',
        params,
        querystring: Type.Object(
          {
            strategy: Type.Optional(
              use('Whose working-set file counts as prefetched. Default: the one made last.'),
            ),
          },
          { additionalProperties: false },
        ),
        response: {
          200: {
            description: 'SVG.',
            content: { 'image/svg+xml': { schema: { type: 'string' } } },
          },
          ...errorAnswers(...WORKING_SET_ERRORS),
        },
      },
    },
    async (request, reply) => {
      const svg = await platform.workingSets.picture(request.params.ssId, request.query.strategy);
      return reply.type('image/svg+xml; charset=utf-8').send(svg);
    },
  );
}

function verify(app: Api, { platform }: ApiContext): void {
  app.post(
    '/snapshots/:ssId/verify',
    {
      schema: {
        operationId: 'verifySnapshot',
        tags,
        summary: 'Read a snapshot in full and verify it',
        description:
          'Drops its memory from the page cache first, so that the disk is read. SNAPSHOT_UNUSABLE says what is damaged.',
        params,
        response: {
          200: ref(Verification),
          ...errorAnswers('OPERATION_UNSUPPORTED', ...WORKING_SET_ERRORS),
        },
      },
    },
    async (request) => verifiedToWire(await platform.workingSets.verify(request.params.ssId)),
  );
}

export function workingSetRoutes(app: Api, context: ApiContext): void {
  app.addSchema(WorkingSet).addSchema(Verification);
  lookAndForget(app, context);
  picture(app, context);
  verify(app, context);
}
