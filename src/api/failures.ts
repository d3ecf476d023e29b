/** Every answer that is not 200, whoever found the fault: ours, Fastify or Node's HTTP parser. */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, SparklerError, asSparklerError, toWire } from '../errors.js';
import { brokenJsonPosition, describePosition } from './json.js';
import { validationError } from './validation.js';

/** Fastify's own errors: which of ours they are, and what to say. */
const FASTIFY_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['BODY_TOO_LARGE', 'The body is larger than allowed'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['INVALID_REQUEST', 'The body is empty, but must be JSON'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'INVALID_REQUEST',
    'Content-Length: does not fit the body that was sent',
  ],
  FST_ERR_BAD_URL: ['INVALID_REQUEST', 'The path is not a valid URL path'],
  FST_ERR_MAX_PARAM_LENGTH: ['INVALID_REQUEST', 'The path is too long'],
};

function mediaTypeError(request: FastifyRequest): SparklerError {
  const type = request.headers['content-type'];
  const given = type === undefined ? 'is missing' : `is ${type}`;
  return new SparklerError(
    'UNSUPPORTED_MEDIA_TYPE',
    `Content-Type: ${given}; this route takes ${acceptedTypes(request)}.`,
    { field: 'Content-Type' },
  );
}

function acceptedTypes(request: FastifyRequest): string {
  const { consumes } = (request.routeOptions.schema ?? {}) as { consumes?: string[] };
  return (consumes ?? ['application/json']).join(', ');
}

function fromFastify(error: FastifyError, request: FastifyRequest): SparklerError | undefined {
  if (error.validation) return validationError(error.validation);
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return mediaTypeError(request);
  const known = FASTIFY_ERRORS[error.code];
  if (known) {
    const [code, message] = known;
    const limit = code === 'BODY_TOO_LARGE' ? ` (${request.routeOptions.bodyLimit} bytes)` : '';
    return new SparklerError(code, `${message}${limit}.`, {}, error);
  }
  // Broken JSON and the like: the parser gives its errors a status and sometimes no code.
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new SparklerError('INVALID_REQUEST', `${error.message}.`, {}, error);
  }
  return undefined;
}

/** Parses a JSON body; says where it is broken. @throws SparklerError INVALID_REQUEST */
export function parseJsonBody(text: string): unknown {
  if (text === '')
    throw new SparklerError('INVALID_REQUEST', 'The body is empty; it must be JSON.');
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const where = describePosition(text, brokenJsonPosition(text));
    throw new SparklerError('INVALID_REQUEST', `The body is not JSON: ${where}.`, {}, cause);
  }
}

/** What a caller is told to wait that is refused because too many came before it, s. */
const RETRY_AFTER_S = 1;

/** Sends `error` in the one shape; what is not the caller's fault is logged with its cause. */
export function sendFailure(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const ours =
    error instanceof SparklerError
      ? error
      : (fromFastify(error as FastifyError, request) ?? asSparklerError(error));
  const { status, fault } = ours.kind;
  if (fault === 'platform') request.log.error({ err: ours }, 'request failed');
  else request.log.debug({ code: ours.code, message: ours.message }, 'request refused');
  // Node reads what is left of the body and keeps the connection, so that the answer arrives.
  reply.removeHeader('connection');
  request.raw.resume();
  if (status === 429) reply.header('retry-after', ours.details.retryAfterS ?? RETRY_AFTER_S);
  return reply.code(status).type('application/json; charset=utf-8').send(toWire(ours));
}

const PARSER_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['REQUEST_TIMEOUT', 'The request did not arrive in time.'],
  HPE_HEADER_OVERFLOW: ['HEADERS_TOO_LARGE', "The request's headers are too large."],
};

/** Answers what Node's parser refused; there is no request object then. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = PARSER_ERRORS[error.code ?? ''] ?? [
    'INVALID_REQUEST',
    'The request is not HTTP as this daemon reads it.',
  ];
  const failure = new SparklerError(code, message);
  const body = JSON.stringify(toWire(failure));
  socket.end(
    `HTTP/1.1 ${failure.kind.status} ${code}\r\nConnection: close\r\n` +
      'Content-Type: application/json; charset=utf-8\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
