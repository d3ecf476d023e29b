/** `/vmms`: the pool of VMs that are started ahead of invocations. */
import { type Static, Type } from 'typebox';
import type { StrategyChoice } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact, given } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { strategyField } from './restore-fields.js';
import { VmSchema, vmToWire } from './vms.js';
import { bodyErrorAnswers, later, optionalName, ref } from './wire.js';

const VmmInput = Type.Object(
  {
    ssId: optionalName(
      'The snapshot that it is restored from. Default: the one that was invoked or taken last.',
    ),
    strategy: strategyField(
      "How guest memory comes back. Default: the function's `restore_strategy`.",
    ),
    enableReap: Type.Optional(
      Type.Union([Type.Boolean(), Type.Null()], {
        description: 'Restore as REAP does: the same as `strategy: reap`.',
      }),
    ),
    namespace: later('string', ['', null], 'The network slot'),
  },
  { $id: 'VMMInput', additionalProperties: false, description: 'A microVM for the pool.' },
);

/** @throws SparklerError INVALID_REQUEST for fields that contradict each other. */
function strategyOf(body: Static<typeof VmmInput>): StrategyChoice | undefined {
  if (body.enableReap !== true) return body.strategy;
  if (body.strategy === undefined || body.strategy === 'reap') return 'reap';
  const message = `strategy: is ${body.strategy}, but enableReap asks for reap.`;
  throw new SparklerError('INVALID_REQUEST', message, { field: 'strategy' });
}

export function vmmRoutes(app: Api, { platform }: ApiContext): void {
  app.addSchema(VmmInput);
  app.post(
    '/vmms',
    {
      schema: {
        operationId: 'poolVm',
        tags: ['vms'],
        summary: 'Start a microVM for the pool',
        description:
          'Restores a snapshot ahead of an invocation. The next invocation with its `ssId`, and with this strategy or none, takes the VM and only resumes it. Answers at once; the VM may still be starting.',
        body: ref(VmmInput),
        response: {
          200: ref(VmSchema),
          ...bodyErrorAnswers(
            'SNAPSHOT_NOT_FOUND',
            'SNAPSHOT_UNUSABLE',
            'FUNCTION_HAS_NO_CODE',
            'IMAGE_NOT_FOUND',
            'KERNEL_NOT_FOUND',
            'MEMORY_TOO_SMALL',
            'TOO_MANY_VMS',
            'HOST_MEMORY_FULL',
            'STORAGE_FULL',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request) => {
      const ssId = given(request.body.ssId);
      return vmToWire(await platform.poolVm(compact({ ssId, strategy: strategyOf(request.body) })));
    },
  );
}
