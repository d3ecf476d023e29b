/** `/openapi.json` and `/docs`: made and loaded when first asked for. */
import type { Config } from '../config/index.js';
import type { Api } from './context.js';
import { type OpenApiDocument, documentedApi, openApiDocument } from './openapi.js';

/** The page to try the API in a browser, as an instance that is never listened on. */
async function buildPage(config: Config): Promise<Api> {
  const [app, { default: swaggerUi }] = await Promise.all([
    documentedApi(config),
    import('@fastify/swagger-ui'),
  ]);
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  await app.ready();
  return app;
}

export function documentRoutes(app: Api, config: Config): void {
  let document: Promise<OpenApiDocument> | undefined;
  let page: Promise<Api> | undefined;
  app.get('/openapi.json', () => (document ??= openApiDocument(config)));
  for (const url of ['/docs', '/docs/*']) {
    app.get(url, async (request, reply) => {
      const pages = await (page ??= buildPage(config));
      reply.hijack();
      pages.routing(request.raw, reply.raw);
    });
  }
  app.addHook('onClose', async () => {
    await (await page)?.close();
  });
}
