/** Knows which methods each path takes: an unknown path is 404, a wrong method 405 with `Allow`. */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { SparklerError } from '../errors.js';

export class MethodTable {
  private readonly methods = new Map<string, { path: RegExp; allowed: Set<string> }>();

  /** Notes a route as it is registered. */
  readonly note = ({ url, method }: RouteOptions): void => {
    const path = new RegExp(`^${url.replace(/:[^/]+/g, '[^/]+').replace('*', '.*')}$`);
    const entry = this.methods.get(url) ?? { path, allowed: new Set<string>() };
    for (const one of [method].flat()) entry.allowed.add(one);
    this.methods.set(url, entry);
  };

  /** What a request gets that no route took. */
  readonly refuse = (request: FastifyRequest, reply: FastifyReply): never => {
    const [path = ''] = request.url.split('?', 1);
    const entry = [...this.methods.values()].find((candidate) => candidate.path.test(path));
    if (!entry) {
      throw new SparklerError(
        'ROUTE_NOT_FOUND',
        `There is no route ${path}. The daemon lists its routes at /docs.`,
      );
    }
    const allow = [...entry.allowed].sort().join(', ');
    reply.header('allow', allow);
    throw new SparklerError(
      'METHOD_NOT_ALLOWED',
      `${request.method} is not a method of ${path}; it takes ${allow}.`,
    );
  };
}
