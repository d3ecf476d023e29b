/**
 * `fetch` over node:http. Node's own gives up when headers do not come within five minutes, which
 * an invocation may well take, and hides why a connection failed.
 */
import {
  Agent,
  type IncomingMessage,
  type RequestOptions,
  request as httpRequest,
} from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SparklerError } from '../errors.js';

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name cannot be resolved now',
  ECONNRESET: 'the connection was closed before the answer came',
  EPIPE: 'the connection was closed before the answer came',
  ETIMEDOUT: 'the connection timed out',
  EHOSTUNREACH: 'the host cannot be reached',
};

/** Says what to do about a daemon that does not answer. */
function unreachable(origin: string, cause: unknown): SparklerError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  const reason = REASONS[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new SparklerError(
    'DAEMON_UNREACHABLE',
    `The daemon at ${origin} cannot be reached: ${reason}. ` +
      'Start one with `sparkler daemon`, or name another with --url or SPARKLER_URL.',
    {},
    cause,
  );
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A body of known size goes out with its length; only an archive is streamed. */
async function send(target: ReturnType<typeof httpRequest>, request: Request): Promise<void> {
  if (request.body === null) {
    target.end();
  } else if (request.headers.get('content-type') === 'application/json') {
    const body = Buffer.from(await request.arrayBuffer());
    target.setHeader('content-length', body.length);
    target.end(body);
  } else {
    // The two libraries' types of the same stream differ.
    await pipeline(Readable.fromWeb(request.body as never), target);
  }
}

function open(request: Request, agent: Agent) {
  const url = new URL(request.url);
  const options: RequestOptions = {
    agent,
    method: request.method,
    headers: Object.fromEntries(request.headers),
    signal: request.signal,
  };
  const target = httpRequest(url, options);
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    target.once('response', resolve);
    target.once('error', reject);
  });
  return { target, answer };
}

/** Sends `request`; the whole answer is read. @throws SparklerError DAEMON_UNREACHABLE */
export async function nodeFetch(request: Request, agent: Agent): Promise<Response> {
  const { target, answer } = open(request, agent);
  // The daemon may refuse an upload before it has read all of it: its answer counts, not the pipe.
  const sent = send(target, request).catch((error: unknown) => error);
  try {
    const message = await answer;
    const body = await readAll(message);
    const headers = new Headers();
    for (const [name, value] of Object.entries(message.headers)) {
      if (value !== undefined) headers.set(name, String(value));
    }
    return new Response(body.length === 0 ? null : new Uint8Array(body), {
      status: message.statusCode ?? 0,
      headers,
    });
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    const failed = await Promise.race([sent, Promise.resolve()]);
    // What could not be read here (the archive) is said before what the socket made of it.
    if (failed instanceof SparklerError) throw failed;
    throw unreachable(new URL(request.url).origin, cause);
  }
}
