/** Checks a merged configuration against the schema and against itself; says all that is wrong. */
import { isAbsolute } from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { type Config, ConfigSchema } from './schema.js';

const ajv = new Ajv({ allErrors: true, useDefaults: true, strict: false });
const validate = ajv.compile(ConfigSchema);

/** One mistake: the field as `limits.maxVms`, and what is wrong with it. */
export interface Problem {
  readonly field: string;
  readonly reason: string;
}

function fieldOf(error: ErrorObject): string {
  const path = error.instancePath.split('/').slice(1);
  if (error.keyword === 'additionalProperties') {
    path.push(String(error.params['additionalProperty']));
  }
  return path.join('.') || 'the configuration';
}

function reasonOf(error: ErrorObject): string {
  if (error.keyword === 'additionalProperties') return 'is not a field of the configuration';
  if (error.keyword === 'enum') {
    return `must be one of ${(error.params['allowedValues'] as string[]).join(', ')}`;
  }
  return error.message ?? 'is wrong';
}

/** Fills the defaults into `value` (which is changed) and checks it against the schema. */
export function checkSchema(value: Record<string, unknown>): Problem[] {
  if (validate(value)) return [];
  return (validate.errors ?? []).map((error) => ({
    field: fieldOf(error),
    reason: reasonOf(error),
  }));
}

function checkAliases(group: 'images' | 'kernels', config: Config): Problem[] {
  return Object.entries(config[group]).flatMap(([alias, target]) =>
    isAbsolute(target) || /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(target)
      ? []
      : [
          {
            field: `${group}.${alias}`,
            reason: 'must be the name of a built-in or an absolute path',
          },
        ],
  );
}

/** Checks what one field requires of another. */
export function checkConsistency(config: Config): Problem[] {
  const { limits, timeouts } = config;
  const rules: [boolean, string, string][] = [
    [config.defaultImage in config.images, 'defaultImage', 'must be an alias listed in images'],
    [config.defaultKernel in config.kernels, 'defaultKernel', 'must be an alias listed in kernels'],
    [config.defaultVcpus <= limits.maxVcpus, 'defaultVcpus', 'must not exceed limits.maxVcpus'],
    [config.defaultMemMiB <= limits.maxMemMiB, 'defaultMemMiB', 'must not exceed limits.maxMemMiB'],
    [
      timeouts.defaultInvocationMs <= timeouts.maxInvocationMs,
      'timeouts.defaultInvocationMs',
      'must not exceed timeouts.maxInvocationMs',
    ],
    [
      limits.consoleAnswerBytes <= limits.consoleBytes,
      'limits.consoleAnswerBytes',
      'must not exceed limits.consoleBytes',
    ],
    [
      limits.codeFileBytes <= limits.codeUnpackedBytes,
      'limits.codeFileBytes',
      'must not exceed limits.codeUnpackedBytes',
    ],
  ];
  return [
    ...rules.filter(([holds]) => !holds).map(([, field, reason]) => ({ field, reason })),
    ...checkAliases('images', config),
    ...checkAliases('kernels', config),
  ];
}
