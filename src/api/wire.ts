/** Building blocks of the wire's schemas: names, references, fields of later versions, errors. */
import { type Static, type TSchema, Type } from 'typebox';
import { ERROR_KINDS, type ErrorCode } from '../errors.js';

/** Function names and ids of VMs and snapshots. */
const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$';

/** What the patterns of this API mean, for messages. */
export const PATTERN_MEANINGS: Readonly<Record<string, string>> = {};
const meanings = PATTERN_MEANINGS as Record<string, string>;

/** Text that matches `pattern`; `meaning` completes "must be". */
export function matching(pattern: string, meaning: string, description: string) {
  meanings[pattern] = meaning;
  return Type.String({ pattern, description });
}

const NAME_MEANING =
  'a name of 1 to 64 characters: letters, digits, `_`, `.`, `-`, the first a letter or digit';

/** A name or id that must be given. */
export const name = (description: string) => matching(NAME_PATTERN, NAME_MEANING, description);

/** A name or id that may be left out; the original's clients send an empty string then. */
export const optionalName = (description: string) =>
  Type.Optional(matching('^$|' + NAME_PATTERN, NAME_MEANING, description));

export const instant = (description: string) => Type.String({ format: 'date-time', description });

/** A reference to a schema that was added with `addSchema`: named in the OpenAPI document. */
export function ref<T extends TSchema>(schema: T) {
  const { $id } = schema as { $id?: string };
  return Type.Unsafe<Static<T>>({ $ref: `${$id ?? ''}#` });
}

/**
 * A field of the original that this version does not do. Its neutral values are accepted; any
 * other is UNSUPPORTED_FIELD, not ignored.
 */
export function later(type: string, neutral: readonly unknown[], what: string) {
  return Type.Optional(
    Type.Unsafe<unknown>({
      enum: neutral,
      'x-later': true,
      description: `${what}. A ${type}; not in this version: only ${neutral.map((value) => JSON.stringify(value)).join(' or ')} is accepted.`,
    }),
  );
}

/** The body of every answer that is not 200. */
export const ErrorSchema = Type.Object(
  {
    message: Type.String({ description: 'What is wrong and, where possible, what to do.' }),
    code: Type.Enum(Object.keys(ERROR_KINDS) as ErrorCode[], {
      type: 'string',
      description: 'Which error it is; docs/errors.md lists them.',
    }),
    fault: Type.Enum(['caller', 'function', 'guest', 'host', 'platform'], {
      type: 'string',
      description: 'Who can do something about it.',
    }),
    retryable: Type.Boolean({ description: 'The same request may succeed later.' }),
    field: Type.Optional(Type.String({ description: 'The field of the request that is wrong.' })),
    stack: Type.Optional(Type.String({ description: "The function's own stack trace." })),
    errorType: Type.Optional(Type.String({ description: "The function's own error type." })),
    console: Type.Optional(Type.String({ description: "The guest console's last lines." })),
    logs: Type.Optional(Type.String({ description: 'What the function printed last.' })),
    retryAfterS: Type.Optional(
      Type.Integer({
        description:
          'After so many seconds the same request is worth another try; `Retry-After` says the same.',
      }),
    ),
    step: Type.Optional(Type.String({ description: 'The step that failed.' })),
    limitMiB: Type.Optional(
      Type.Integer({ description: 'The memory that the function was limited to, MiB.' }),
    ),
  },
  { $id: 'Error', description: 'An error.' },
);

const EVERYWHERE = [
  'INVALID_REQUEST',
  'HOST_NOT_ALLOWED',
  'ORIGIN_NOT_ALLOWED',
  'INTERNAL',
] as const;
const WITH_BODY = ['UNSUPPORTED_FIELD', 'UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE'] as const;

/** The error answers of a route, by HTTP status: those of every route and `codes`. */
export function errorAnswers(...codes: readonly ErrorCode[]): Record<string, unknown> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...codes, ...EVERYWHERE])) {
    const { status } = ERROR_KINDS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const answers = [...byStatus].map(([status, list]) => [
    String(status),
    {
      description: list.map((code) => `\`${code}\``).join(', '),
      content: { 'application/json': { schema: { $ref: 'Error#' } } },
    },
  ]);
  return Object.fromEntries(answers) as Record<string, unknown>;
}

/** `errorAnswers` of a route that takes a JSON body. */
export const bodyErrorAnswers = (...codes: readonly ErrorCode[]) =>
  errorAnswers(...WITH_BODY, ...codes);

/** A 200 whose body is text. */
export const textAnswer = (description: string) => ({
  description,
  content: { 'text/plain': { schema: { type: 'string' } } },
});

/** Error codes of every route that works on a snapshot's working set. */
export const WORKING_SET_ERRORS = [
  'SNAPSHOT_NOT_FOUND',
  'SNAPSHOT_UNUSABLE',
  'TOO_MANY_REQUESTS',
  'DEPENDENCY_MISSING',
  'VMM_FAILED',
  'SHUTTING_DOWN',
] as const;

/** A 200 without a body. */
export const emptyAnswer = (description: string) =>
  Type.Unsafe<undefined>({ type: 'null', description });
