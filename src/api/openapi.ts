/**
 * The OpenAPI document, made from the routes' schemas. The routes are registered once more on an
 * instance that serves nothing, and only when somebody asks: a daemon at rest pays nothing for it.
 */
import type { Config } from '../config/index.js';
import type { Platform } from '../control/index.js';
import type { Api } from './context.js';
import { newFastify } from './fastify.js';
import { registerRoutes } from './routes.js';

/** An OpenAPI 3.1 document, as far as anyone here looks into it. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> };
}

/** The version of the API, which is not the daemon's: it changes when the wire does. */
const API_VERSION = '1.0.0';

const DESCRIPTION = `Functions in microVMs. Bodies are JSON; success is 200; every other status
carries an \`Error\`. There is no authentication: the daemon listens on this machine only, unless
told otherwise.`;

const silent = { level: 'silent' as const };

interface BinaryBody {
  readonly content: Record<string, { readonly schema: { type?: string } }>;
}

/**
 * The archive's schema has no type, because its body is a stream here; for those who send it, it
 * is binary text.
 */
function describeArchive(document: OpenApiDocument): OpenApiDocument {
  const put = document.paths['/functions/{func_name}/code']?.['put'];
  const { content } = (put as { requestBody: BinaryBody }).requestBody;
  for (const { schema } of Object.values(content)) schema.type = 'string';
  return document;
}

/** Registers every route with the generator; nothing calls the handlers. */
export async function documentedApi(config: Config): Promise<Api> {
  const [{ default: swagger }, { pino }] = await Promise.all([
    import('@fastify/swagger'),
    import('pino'),
  ]);
  const app = newFastify(config, pino(silent));
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sparkler',
        version: API_VERSION,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
      },
      tags: [
        { name: 'functions', description: 'What can be invoked.' },
        { name: 'invocations', description: 'Invoking it.' },
        { name: 'vms', description: 'The microVMs that serve it.' },
        { name: 'snapshots', description: 'What microVMs are started from in milliseconds.' },
        { name: 'daemon', description: 'The daemon itself.' },
      ],
    },
    refResolver: {
      buildLocalReference: (json, _baseUri, _fragment, i) =>
        typeof json['$id'] === 'string' ? json['$id'] : `schema${i}`,
    },
  });
  app.register((scope: Api, _options, done) => {
    registerRoutes(scope, { platform: {} as Platform, config });
    done();
  });
  return app;
}

/** The document for the limits of `config`. */
export async function openApiDocument(config: Config): Promise<OpenApiDocument> {
  const app = await documentedApi(config);
  await app.ready();
  return describeArchive(app.swagger() as OpenApiDocument);
}
