import { readFileSync } from 'node:fs';
import type { Static } from 'typebox';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../config/index.js';
import { ERROR_KINDS, type WireError } from '../errors.js';
import { type OpenApiDocument, openApiDocument } from './index.js';
import { ErrorSchema } from './wire.js';

type Node = Readonly<Record<string, unknown>>;

let document: OpenApiDocument;
beforeAll(async () => (document = await openApiDocument(loadConfig({ env: {} }))));

/** Paths of all fields below `node` that nothing describes. */
function undescribed(node: unknown, path: string): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const fields = Object.entries((node as Node)['properties'] ?? {}).flatMap(([name, field]) => {
    const { description, $ref } = field as Node;
    const missing = description === undefined && $ref === undefined;
    return [...(missing ? [`${path}.${name}`] : []), ...undescribed(field, `${path}.${name}`)];
  });
  return [...fields, ...undescribed((node as Node)['items'], `${path}[]`)];
}

function operations(): [string, Node][] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, op]): [string, Node] => [
      `${method.toUpperCase()} ${path}`,
      op as Node,
    ]),
  );
}

/** Checked by the compiler: an error's field that the schema lacks would vanish from answers. */
type Same<A, B> = [Required<A>] extends [B] ? ([Required<B>] extends [A] ? true : never) : never;
const complete: Same<WireError, Static<typeof ErrorSchema>> = true;

describe('the OpenAPI document', () => {
  it('has every route', () => {
    expect(
      operations()
        .map(([route]) => route)
        .sort(),
    ).toEqual([
      'DELETE /functions/{func_name}',
      'DELETE /snapshots/{ssId}',
      'DELETE /snapshots/{ssId}/reap',
      'DELETE /snapshots/{ssId}/working-set',
      'DELETE /vms/{vmId}',
      'GET /functions',
      'GET /functions/{func_name}',
      'GET /functions/{func_name}/logs',
      'GET /healthz',
      'GET /info',
      'GET /metrics',
      'GET /snapshots',
      'GET /snapshots/{ssId}',
      'GET /snapshots/{ssId}/mincore',
      'GET /snapshots/{ssId}/reap',
      'GET /snapshots/{ssId}/working-set',
      'GET /snapshots/{ssId}/working-set/picture',
      'GET /vms',
      'GET /vms/{vmId}',
      'GET /vms/{vmId}/console',
      'PATCH /snapshots/{ssId}',
      'PATCH /snapshots/{ssId}/mincore',
      'PATCH /snapshots/{ssId}/reap',
      'PATCH /vms/{vmId}',
      'POST /functions',
      'POST /invocations',
      'POST /snapshots',
      'POST /snapshots/{ssId}/mincore',
      'POST /snapshots/{ssId}/verify',
      'POST /vmms',
      'POST /vms',
      'PUT /functions/{func_name}/code',
      'PUT /snapshots',
      'PUT /snapshots/{ssId}/mincore',
    ]);
  });

  it('describes every field, parameter and operation', () => {
    const schemas = Object.entries(document.components?.schemas ?? {});
    expect(schemas.length).toBeGreaterThan(10);
    expect(schemas.flatMap(([name, schema]) => undescribed(schema, name))).toEqual([]);
    for (const [route, op] of operations()) {
      expect(op, route).toMatchObject({
        operationId: expect.any(String) as string,
        summary: expect.any(String) as string,
      });
      for (const parameter of (op['parameters'] ?? []) as Node[]) {
        expect(parameter['description'], route).toBeTruthy();
      }
    }
  });

  it('gives every status of every route the one error, and names its codes', () => {
    for (const [route, op] of operations()) {
      const answers = Object.entries(op['responses'] as Record<string, Node>);
      expect(answers.length, route).toBeGreaterThan(3);
      for (const [status, answer] of answers) {
        if (status === '200') continue;
        expect(answer['content'], `${route} ${status}`).toEqual({
          'application/json': { schema: { $ref: '#/components/schemas/Error' } },
        });
        for (const [, code] of String(answer['description']).matchAll(/`([A-Z_]+)`/g)) {
          const kind = ERROR_KINDS[code as keyof typeof ERROR_KINDS];
          expect(String(kind.status), `${route} ${code ?? ''}`).toBe(status);
        }
      }
    }
  });

  it('has the error with all its fields', () => {
    expect(complete).toBe(true);
    expect(document.components?.schemas?.['Error']).toMatchObject({ type: 'object' });
  });

  it('knows no type that only JSON Schema has, and no dangling reference', () => {
    const text = JSON.stringify(document);
    const names = Object.keys(document.components?.schemas ?? {});
    for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      expect(names).toContain(name);
    }
    expect(text).not.toMatch(/"\$ref":"(?!#\/components)/);
  });

  it('is explained in docs/api.md, route by route', () => {
    const text = readFileSync('docs/api.md', 'utf8');
    for (const [route] of operations()) expect(text).toContain(`\`${route}\``);
  });
});
