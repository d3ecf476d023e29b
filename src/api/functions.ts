/** `/functions`: what functions there are, their settings, their output. */
import { type Static, Type } from 'typebox';
import type { Config } from '../config/index.js';
import type { FunctionRecord } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact, given, timestamp } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { rulesFromWire, rulesInput, rulesToWire, rulesView } from './placement-fields.js';
import { strategyField } from './restore-fields.js';
import {
  bodyErrorAnswers,
  emptyAnswer,
  errorAnswers,
  instant,
  matching,
  name,
  optionalName,
  ref,
  textAnswer,
} from './wire.js';

const ENV_NAME = '^[A-Za-z_][A-Za-z0-9_]{0,127}$';

// eslint-disable-next-line no-control-regex -- an environment cannot hold NUL
const ENV_VALUE = /^[^\u0000]*$/.source;

const env = (description: string) =>
  Type.Record(
    Type.String({ pattern: ENV_NAME }),
    matching(ENV_VALUE, 'text without NUL', 'The value.'),
    { additionalProperties: false, description },
  );

const HANDLER = '^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+){0,32}\\.[A-Za-z_$][A-Za-z0-9_$]*$';

const runtime = (description: string) =>
  Type.Enum(['python3', 'nodejs'], { type: 'string', description });

const funcName = () => name("The function's name.");

export const FunctionSchema = Type.Object(
  {
    func_name: funcName(),
    image: Type.String({ description: 'Alias of the root file system.' }),
    kernel: Type.String({ description: 'Alias of the guest kernel.' }),
    vcpu: Type.Integer({ description: 'vCPUs of its microVMs.' }),
    mem_size: Type.Integer({ description: 'Memory of its microVMs, MiB.' }),
    runtime: runtime('What runs the handler.'),
    handler: Type.String({ description: 'The handler as `file.function`.' }),
    env: env('Environment of the handler.'),
    timeout_ms: Type.Integer({ description: 'Time limit of an invocation, ms.' }),
    restore_strategy: Type.String({
      description: 'How its snapshots are restored when an invocation does not say.',
    }),
    ...rulesView,
    code_sha256: Type.Optional(
      Type.String({ description: 'SHA-256 of the code drive; absent until code was uploaded.' }),
    ),
    code_bytes: Type.Optional(Type.Integer({ description: 'Size of the code drive, bytes.' })),
    created_at: instant('When the function was created.'),
    updated_at: instant('When its settings or code last changed.'),
  },
  { $id: 'Function', description: 'A function.' },
);

function functionInput({ limits, timeouts }: Config) {
  return Type.Object(
    {
      func_name: funcName(),
      image: optionalName('Alias of the root file system, from the configuration.'),
      kernel: optionalName('Alias of the guest kernel, from the configuration.'),
      vcpu: Type.Optional(
        Type.Integer({ minimum: 1, maximum: limits.maxVcpus, description: 'vCPUs.' }),
      ),
      mem_size: Type.Optional(
        Type.Integer({ minimum: 1, maximum: limits.maxMemMiB, description: 'Memory, MiB.' }),
      ),
      runtime: Type.Optional(runtime('What runs the handler. Default `python3`.')),
      handler: Type.Optional(
        matching(
          HANDLER,
          'written `file.function`, like `app.handler`',
          'The handler as `file.function`. Default `app.handler`.',
        ),
      ),
      env: Type.Optional(env('Environment of the handler: replaces the whole environment.')),
      timeout_ms: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: timeouts.maxInvocationMs,
          description: 'Time limit of an invocation, ms.',
        }),
      ),
      restore_strategy: strategyField(
        'How its snapshots are restored when an invocation does not say.',
      ),
      ...rulesInput(limits),
    },
    {
      $id: 'FunctionInput',
      additionalProperties: false,
      description: 'Settings of a function. What is left out keeps its value or gets its default.',
    },
  );
}

/** Path parameters of the routes of one function. */
export const FunctionParams = Type.Object({ func_name: funcName() });

export function functionToWire(record: FunctionRecord): Static<typeof FunctionSchema> {
  return compact({
    func_name: record.name,
    image: record.image,
    kernel: record.kernel,
    vcpu: record.vcpus,
    mem_size: record.memMiB,
    runtime: record.runtime,
    handler: record.handler,
    env: record.env,
    timeout_ms: record.timeoutMs,
    restore_strategy: record.restoreStrategy,
    ...rulesToWire(record.placement),
    code_sha256: record.codeId,
    code_bytes: record.codeBytes,
    created_at: timestamp(record.createdAt),
    updated_at: timestamp(record.updatedAt),
  });
}

function checkEnvSize(values: Readonly<Record<string, string>> | undefined, limit: number): void {
  const bytes = Object.entries(values ?? {})
    .map(([key, value]) => Buffer.byteLength(key) + Buffer.byteLength(value))
    .reduce((sum, size) => sum + size, 0);
  if (bytes <= limit) return;
  throw new SparklerError(
    'LIMIT_EXCEEDED',
    `env: names and values take ${bytes} bytes, at most ${limit} are allowed.`,
    { field: 'env' },
  );
}

const tags = ['functions'];

function settingsRoutes(app: Api, { platform, config }: ApiContext): void {
  const input = functionInput(config);
  app.addSchema(FunctionSchema).addSchema(input);
  app.get(
    '/functions',
    {
      schema: {
        operationId: 'listFunctions',
        tags,
        summary: 'All functions',
        response: {
          200: Type.Array(ref(FunctionSchema), { description: 'The functions.' }),
          ...errorAnswers(),
        },
      },
    },
    () => platform.listFunctions().map(functionToWire),
  );
  app.post(
    '/functions',
    {
      schema: {
        operationId: 'putFunction',
        tags,
        summary: 'Create a function or change its settings',
        description: 'Creating the same function twice is not an error.',
        body: ref(input),
        response: {
          200: ref(FunctionSchema),
          ...bodyErrorAnswers(
            'IMAGE_NOT_FOUND',
            'KERNEL_NOT_FOUND',
            'MEMORY_TOO_SMALL',
            'LIMIT_EXCEEDED',
            'STORAGE_FULL',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    (request) => {
      const { func_name, image, kernel, vcpu, mem_size, timeout_ms, restore_strategy, ...rest } =
        request.body;
      checkEnvSize(rest.env, config.limits.maxEnvBytes);
      return functionToWire(
        platform.putFunction(
          compact({
            name: func_name,
            image: given(image),
            kernel: given(kernel),
            vcpus: vcpu,
            memMiB: mem_size,
            timeoutMs: timeout_ms,
            restoreStrategy: restore_strategy,
            runtime: rest.runtime,
            handler: rest.handler,
            env: rest.env,
            placement: rulesFromWire(rest),
          }),
        ),
      );
    },
  );
}

function oneFunctionRoutes(app: Api, { platform }: ApiContext): void {
  app.get(
    '/functions/:func_name',
    {
      schema: {
        operationId: 'getFunction',
        tags,
        summary: 'One function',
        params: FunctionParams,
        response: { 200: ref(FunctionSchema), ...errorAnswers('FUNCTION_NOT_FOUND') },
      },
    },
    (request) => functionToWire(platform.getFunction(request.params.func_name)),
  );
  app.delete(
    '/functions/:func_name',
    {
      schema: {
        operationId: 'deleteFunction',
        tags,
        summary: 'Delete a function, its code and its snapshots',
        params: FunctionParams,
        response: {
          200: emptyAnswer('The function is gone.'),
          ...errorAnswers('FUNCTION_NOT_FOUND', 'FUNCTION_IN_USE', 'SNAPSHOT_IN_USE'),
        },
      },
    },
    async (request, reply) => {
      await platform.deleteFunction(request.params.func_name);
      return reply.send(undefined);
    },
  );
  app.get(
    '/functions/:func_name/logs',
    {
      schema: {
        operationId: 'functionLogs',
        tags,
        summary: 'What the function printed last',
        description: 'The last lines of all its instances, oldest first.',
        params: FunctionParams,
        response: { 200: textAnswer('The lines.'), ...errorAnswers('FUNCTION_NOT_FOUND') },
      },
    },
    (request, reply) =>
      reply.type('text/plain; charset=utf-8').send(platform.functionLogs(request.params.func_name)),
  );
}

export function functionRoutes(app: Api, context: ApiContext): void {
  settingsRoutes(app, context);
  oneFunctionRoutes(app, context);
}
