/** What Ajv found wrong with a request, as one SparklerError that names the field and the reason. */
import type { FastifySchemaValidationError } from 'fastify';
import { SparklerError } from '../errors.js';
import { PATTERN_MEANINGS } from './wire.js';

/** What Ajv adds with `verbose`. */
interface Verbose {
  readonly data?: unknown;
  readonly parentSchema?: Readonly<Record<string, unknown>>;
}

/** At most so much of a wrong value is repeated in a message, characters. */
const SHOWN_VALUE = 40;

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) return 'absent';
  return text.length > SHOWN_VALUE ? `${text.slice(0, SHOWN_VALUE)}…` : text;
}

const ARTICLES: Readonly<Record<string, string>> = {
  integer: 'a whole number',
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null',
};

function fieldOf(error: FastifySchemaValidationError): string {
  const path = error.instancePath.split('/').slice(1);
  const { missingProperty, additionalProperty } = error.params;
  if (typeof missingProperty === 'string') path.push(missingProperty);
  if (typeof additionalProperty === 'string') path.push(additionalProperty);
  return path.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')).join('.');
}

type Params = Readonly<Record<string, unknown>>;

const REASONS: Readonly<Record<string, (params: Params) => string>> = {
  type: ({ type }) => `must be ${ARTICLES[String(type)] ?? String(type)}`,
  enum: ({ allowedValues }) => `must be one of ${(allowedValues as unknown[]).join(', ')}`,
  minimum: ({ limit }) => `must be at least ${String(limit)}`,
  maximum: ({ limit }) => `must be at most ${String(limit)}`,
  minLength: ({ limit }) => `must have at least ${String(limit)} characters`,
  maxLength: ({ limit }) => `must have at most ${String(limit)} characters`,
  maxProperties: ({ limit }) => `must have at most ${String(limit)} entries`,
  pattern: ({ pattern }) => `must be ${PATTERN_MEANINGS[String(pattern)] ?? String(pattern)}`,
};

function reasonOf(error: FastifySchemaValidationError, value: unknown): string {
  if (error.keyword === 'required') return 'is required';
  if (error.keyword === 'additionalProperties') return 'is not a field of this request';
  const reason = REASONS[error.keyword]?.(error.params) ?? error.message ?? 'is wrong';
  return `${reason}, is ${shown(value)}`;
}

function bodyMessage(error: FastifySchemaValidationError, value: unknown): string {
  if (error.params['type'] === 'object') return 'The body must be a JSON object.';
  return `The body ${reasonOf(error, value)}.`;
}

/** Turns the first error of a failed validation into what the caller reads. */
export function validationError(errors: readonly FastifySchemaValidationError[]): SparklerError {
  const [error] = errors;
  if (!error) return new SparklerError('INVALID_REQUEST', 'The request is wrong.');
  const { data, parentSchema } = error as Verbose;
  const field = fieldOf(error);
  if (parentSchema?.['x-later'] === true) {
    return new SparklerError(
      'UNSUPPORTED_FIELD',
      `${field}: this version of Sparkler does not do it yet (the value is ${shown(data)}). Leave the field out.`,
      { field },
    );
  }
  if (field === '') return new SparklerError('INVALID_REQUEST', bodyMessage(error, data));
  return new SparklerError('INVALID_REQUEST', `${field}: ${reasonOf(error, data)}.`, { field });
}
