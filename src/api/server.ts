/** The HTTP API over a platform. */
import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config/index.js';
import type { Platform } from '../control/index.js';
import type { Api } from './context.js';
import { documentRoutes } from './document.js';
import { parseJsonBody, sendFailure } from './failures.js';
import { newFastify } from './fastify.js';
import { guardFor } from './guard.js';
import { MethodTable } from './methods.js';
import { registerRoutes } from './routes.js';

/** JSON is read by ourselves, so that a message can say where it is broken. */
function setJsonParser(app: Api): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      done(null, parseJsonBody(text as string));
    } catch (error) {
      done(error as Error);
    }
  });
}

/**
 * The API, ready to `listen`. Its host and limits come from `config`; the platform is not closed
 * with it.
 */
export function buildApi(platform: Platform, config: Config, logger: FastifyBaseLogger): Api {
  const app = newFastify(config, logger);
  const methods = new MethodTable();
  const guard = guardFor(config.host);
  app.addHook('onRoute', methods.note);
  app.addHook('onRequest', (request, _reply, done) => {
    guard(request.raw);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    request.log.debug(
      {
        method: request.method,
        url: request.url,
        status: reply.statusCode,
        ms: reply.elapsedTime,
      },
      'request',
    );
    done();
  });
  app.setErrorHandler((error, request, reply) => sendFailure(error, request, reply));
  app.setNotFoundHandler(methods.refuse);
  setJsonParser(app);
  registerRoutes(app, { platform, config });
  documentRoutes(app, config);
  return app;
}
