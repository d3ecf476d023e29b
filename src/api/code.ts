/** `PUT /functions/{func_name}/code`: an archive, streamed to the platform as it arrives. */
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import { SparklerError } from '../errors.js';
import type { Api, ApiContext } from './context.js';
import { FunctionParams, FunctionSchema, functionToWire } from './functions.js';
import { errorAnswers, ref } from './wire.js';

/** What an archive may be called; its first bytes say what it is. */
const ARCHIVE_TYPES = [
  'application/zip',
  'application/x-tar',
  'application/gzip',
  'application/octet-stream',
];

function tooLarge(limit: number): SparklerError {
  return new SparklerError(
    'ARCHIVE_TOO_LARGE',
    `The archive is larger than allowed (${limit} bytes).`,
  );
}

/** Passes `source` on up to `limit` bytes; never destroys it, so that the answer can be sent. */
async function* limited(source: Readable, limit: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > limit) throw tooLarge(limit);
      yield chunk as Buffer;
    }
  } catch (cause) {
    if (cause instanceof SparklerError) throw cause;
    throw new SparklerError('INVALID_REQUEST', 'The upload ended early.', {}, cause);
  }
}

function checkLength(header: string | undefined, limit: number): void {
  if (Number(header ?? 0) > limit) throw tooLarge(limit);
  if (header === '0') {
    throw new SparklerError('INVALID_ARCHIVE', 'The body is empty; it must be an archive.');
  }
}

export function codeRoutes(app: Api, { platform, config }: ApiContext): void {
  const limit = config.limits.codeArchiveBytes;
  app.register((scope: Api, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(ARCHIVE_TYPES, (_request, payload, parsed) => parsed(null, payload));
    scope.put(
      '/functions/:func_name/code',
      {
        bodyLimit: limit,
        schema: {
          operationId: 'putCode',
          tags: ['functions'],
          summary: "Upload a function's code",
          description:
            'The body is a zip or tar archive (the tar may be gzipped) of what the guest sees at ' +
            '`/var/task`. VMs that run keep the code they started with.',
          consumes: ARCHIVE_TYPES,
          params: FunctionParams,
          body: Type.Unsafe<Readable>({ format: 'binary', description: 'The archive.' }),
          response: {
            200: ref(FunctionSchema),
            ...errorAnswers(
              'FUNCTION_NOT_FOUND',
              'UNSUPPORTED_MEDIA_TYPE',
              'INVALID_ARCHIVE',
              'ARCHIVE_TOO_LARGE',
              'STORAGE_FULL',
              'DEPENDENCY_MISSING',
              'IMAGE_BUILD_FAILED',
              'SHUTTING_DOWN',
            ),
          },
        },
      },
      async (request) => {
        checkLength(request.headers['content-length'], limit);
        const archive = Readable.from(limited(request.raw, limit), { objectMode: false });
        try {
          return functionToWire(await platform.putCode(request.params.func_name, archive));
        } finally {
          archive.destroy();
        }
      },
    );
    done();
  });
}
