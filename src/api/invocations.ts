/** `POST /invocations`: the hot path. */
import { type Static, Type } from 'typebox';
import type { Config } from '../config/index.js';
import type { InvocationOutput } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact, given } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { brokenJsonPosition, describePosition } from './json.js';
import { restoreChoice, restoreFields, RestoreResult, restoreToWire } from './restore-fields.js';
import { orderField, PlacementResult, placementToWire } from './placement-fields.js';
import { bodyErrorAnswers, later, name, optionalName, ref } from './wire.js';

function invocationInput({ timeouts }: Config) {
  return Type.Object(
    {
      func_name: name('The function to invoke.'),
      vmId: optionalName('Invoke it warm, in this VM. Waits while the VM is starting or busy.'),
      ssId: optionalName(
        'Without `vmId`: invoke it in a VM restored from this snapshot, which stays alive; in one of the pool where one waits.',
      ),
      params: Type.Optional(
        Type.String({ description: 'The event: a string of JSON. Default, also for "": `{}`.' }),
      ),
      timeout_ms: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: timeouts.maxInvocationMs,
          description: "Shortens the function's own time limit, never extends it; ms.",
        }),
      ),
      placement: orderField(
        'Without `vmId` and `ssId`: the places to try, instead of the function\'s. `["cold"]` boots a VM.',
      ),
      ...restoreFields,
      namespace: later('string', ['', null], 'The network slot'),
    },
    {
      $id: 'Invocation',
      additionalProperties: false,
      description:
        'An invocation. Neither `vmId` nor `ssId`: it goes where the rules of its function say; `placement` in the answer says why.',
    },
  );
}

const ms = (description: string) => Type.Number({ description });

const Phases = Type.Object(
  {
    vmmUp: Type.Optional(ms('The VMM process answers.')),
    stateLoaded: Type.Optional(ms("The snapshot's device state is loaded.")),
    memoryReady: Type.Optional(ms('The memory that is brought in before the guest runs is there.')),
    resumed: Type.Optional(ms("The guest's CPUs run.")),
    ready: ms('The instance can take the event.'),
    firstResponse: ms('The answer is there: what users feel.'),
  },
  {
    description:
      "Milliseconds from the request's arrival until each point; absent where it did not occur.",
  },
);

const InvocationResult = Type.Object(
  {
    duration: ms('The whole request, ms.'),
    result: Type.String({ description: 'What the handler returned: a string of JSON.' }),
    vmId: Type.String({ description: 'The VM that served it; it stays alive.' }),
    traceId: Type.String({
      description: 'Its trace: that of the `traceparent` header, else a new one.',
    }),
    startKind: Type.Enum(['warm', 'vertical', 'snapshot', 'cold'], {
      type: 'string',
      description:
        'How the invocation got its instance: `warm`, one that was there; `vertical`, a new one in a VM that ran; `snapshot`, in a VM restored for it; `cold`, in a VM booted for it.',
    }),
    placement: Type.Optional(PlacementResult),
    instance: Type.Optional(
      Type.Object(
        {
          init_ms: ms("By the guest's clock, until its handler was loaded."),
          from_zygote: Type.Boolean({
            description: 'It was made from a process that had loaded the handler already.',
          }),
        },
        { description: 'How the instance was started. Absent: it was there.' },
      ),
    ),
    pooled: Type.Optional(
      Type.Boolean({
        description:
          'Its VM stood restored in the pool: `vmmUp` and `stateLoaded` were reached before the request; or it is forked from one that does. Absent: neither.',
      }),
    ),
    forked: Type.Optional(
      Type.Boolean({
        description: 'Its VMM was forked, guest and all, from that of a VM that stays in the pool.',
      }),
    ),
    handlerMs: ms("Inside the handler, by the guest's clock, ms."),
    phases: Phases,
    faults: Type.Object(
      {
        minor: Type.Integer({ description: 'Minor page faults.' }),
        major: Type.Integer({ description: 'Major page faults: those that waited for the disk.' }),
      },
      {
        description:
          'Page faults of the VMM process while the invocation ran; of a new VM from its start.',
      },
    ),
    restore: Type.Optional(RestoreResult),
    logs: Type.String({ description: 'What the invocation printed, its last part.' }),
  },
  { $id: 'InvocationResult', description: 'What an invocation gave.' },
);

/** Invocation fields of the platform have the wire's names but for one. */
function outputToWire(output: InvocationOutput): Static<typeof InvocationResult> {
  return {
    duration: output.durationMs,
    result: output.result,
    vmId: output.vmId,
    traceId: output.traceId,
    startKind: output.startKind,
    ...(output.placement && { placement: placementToWire(output.placement) }),
    ...(output.instance && {
      instance: { init_ms: output.instance.initMs, from_zygote: output.instance.fromZygote },
    }),
    ...(output.pooled && { pooled: true }),
    ...(output.forked && { forked: true }),
    handlerMs: output.handlerMs,
    phases: output.phases,
    faults: output.faults,
    ...(output.restore && { restore: restoreToWire(output.restore) }),
    logs: output.logs,
  };
}

/** The text goes to the guest as it is; it is read here only to refuse what is not JSON. */
function checkParams(params: string | undefined): void {
  if (params === undefined) return;
  try {
    JSON.parse(params);
  } catch (cause) {
    const where = describePosition(params, brokenJsonPosition(params));
    throw new SparklerError(
      'INVALID_PARAMS',
      `params: must be a string of JSON; it is broken at ${where}.`,
      { field: 'params' },
      cause,
    );
  }
}

const ERRORS = [
  'INVALID_PARAMS',
  'FUNCTION_NOT_FOUND',
  'FUNCTION_HAS_NO_CODE',
  'FUNCTION_MISMATCH',
  'VM_NOT_FOUND',
  'VM_WRONG_STATE',
  'NO_PLACE',
  'SNAPSHOT_NOT_FOUND',
  'SNAPSHOT_UNUSABLE',
  'OPERATION_UNSUPPORTED',
  'IMAGE_NOT_FOUND',
  'KERNEL_NOT_FOUND',
  'MEMORY_TOO_SMALL',
  'HANDLER_NOT_FOUND',
  'HANDLER_FAILED',
  'HANDLER_EXITED',
  'HANDLER_OUT_OF_MEMORY',
  'HANDLER_TIMEOUT',
  'RESULT_NOT_JSON',
  'RESULT_TOO_LARGE',
  'GUEST_NOT_READY',
  'GUEST_PANICKED',
  'GUEST_PROTOCOL',
  'VM_DIED',
  'STORAGE_FULL',
  'TOO_MANY_VMS',
  'TOO_MANY_REQUESTS',
  'HOST_MEMORY_FULL',
  'DEPENDENCY_MISSING',
  'VMM_FAILED',
  'PAGE_SERVER_FAILED',
  'SHUTTING_DOWN',
] as const;

export function invocationRoutes(app: Api, { platform, config }: ApiContext): void {
  const input = invocationInput(config);
  app.addSchema(input).addSchema(InvocationResult);
  app.post(
    '/invocations',
    {
      bodyLimit: config.limits.invocationBodyBytes,
      schema: {
        operationId: 'invoke',
        tags: ['invocations'],
        summary: 'Invoke a function',
        description:
          "With `vmId` warm in that VM; else with `ssId` in a VM restored from that snapshot; else where the function's placement says.",
        body: ref(input),
        response: { 200: ref(InvocationResult), ...bodyErrorAnswers(...ERRORS) },
      },
    },
    async (request) => {
      const { func_name, vmId, ssId, params, timeout_ms, placement } = request.body;
      const event = given(params);
      checkParams(event);
      const output = await platform.invoke(
        compact({
          functionName: func_name,
          vmId: given(vmId),
          ssId: given(ssId),
          params: event,
          placement,
          restore: restoreChoice(request.body),
          timeoutMs: timeout_ms,
          traceId: request.id,
        }),
      );
      return outputToWire(output);
    },
  );
}
