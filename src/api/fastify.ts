/** How Fastify is set up: nothing is coerced, dropped or logged behind the caller's back. */
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import type { Config } from '../config/index.js';
import type { Api } from './context.js';
import { answerBrokenRequest, sendFailure } from './failures.js';
import { traceIdOf } from './trace.js';

/** Longer than any name, so that the schema refuses a long one and says why. */
const MAX_PARAM_LENGTH = 4096;

/** Node looks for requests that are overdue so often, ms; more often where the limit is shorter. */
const OVERDUE_CHECK_MS = 5_000;

/** A request's headers must be here within so long, ms; sooner where the limit is shorter. */
const HEADERS_MS = 20_000;

/** A Fastify instance without routes. */
export function newFastify(config: Config, logger: FastifyBaseLogger): Api {
  const { limits, timeouts } = config;
  return Fastify({
    loggerInstance: logger,
    requestIdHeader: false,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'traceId' }),
    genReqId: (raw) => traceIdOf(raw.headers['traceparent']),
    bodyLimit: limits.jsonBodyBytes,
    requestTimeout: timeouts.httpRequestMs,
    keepAliveTimeout: timeouts.httpKeepAliveMs,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    http: {
      // Node would answer a missing Host header itself, in another shape; guard.ts does.
      requireHostHeader: false,
      // Node swaps the two limits where that of the headers is the longer one.
      headersTimeout: Math.min(timeouts.httpRequestMs, HEADERS_MS),
      requestTimeout: timeouts.httpRequestMs,
      connectionsCheckingInterval: Math.min(timeouts.httpRequestMs, OVERDUE_CHECK_MS),
    },
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => {
      sendFailure(error, request, reply);
    },
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: true,
        allErrors: false,
        verbose: true,
        // The archive's `format` has no type: its body is a stream.
        strictTypes: false,
        keywords: ['x-later'],
      },
    },
  });
}
