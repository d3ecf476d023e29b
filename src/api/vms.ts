/** `/vms`: start, list, look at and end microVMs. */
import { type Static, Type } from 'typebox';
import type { Config } from '../config/index.js';
import type { VmView } from '../control/index.js';
import { compact, given, timestamp } from './compact.js';
import type { Api, ApiContext } from './context.js';
import { memoryFromWire, memoryInput, memoryToWire, VmMemorySchema } from './memory-fields.js';
import {
  bodyErrorAnswers,
  emptyAnswer,
  errorAnswers,
  instant,
  later,
  name,
  optionalName,
  ref,
  textAnswer,
} from './wire.js';

const VmConf = Type.Object(
  {
    func_name: Type.String({ description: 'The function that it runs.' }),
    vcpu: Type.Integer({ description: 'vCPUs.' }),
    mem_size: Type.Integer({ description: 'All memory that it may come to have, MiB.' }),
    image: Type.String({ description: 'Alias of the root file system.' }),
    kernel: Type.String({ description: 'Alias of the guest kernel.' }),
    accelerator: Type.Enum(['kvm', 'tcg', 'none'], {
      type: 'string',
      description: 'How its instructions run: hardware, software emulation, not at all.',
    }),
  },
  { description: 'What it was made of.' },
);

export const VmSchema = Type.Object(
  {
    vmId: name('Its id.'),
    state: Type.Enum(['starting', 'running', 'paused', 'failed', 'closing', 'closed'], {
      type: 'string',
      description:
        '`starting`: cannot serve yet, invocations wait. `paused`: restored ahead, resumed by its first invocation.',
    }),
    pooled: Type.Optional(
      Type.Boolean({
        description: 'It waits in the pool for an invocation of its snapshot. Absent: it does not.',
      }),
    ),
    vmConf: VmConf,
    vmPath: Type.String({ description: "The VM's folder on the host." }),
    startKind: Type.Enum(['cold', 'snapshot'], {
      type: 'string',
      description: 'How it was started.',
    }),
    ssId: Type.Optional(Type.String({ description: 'The snapshot that it was restored from.' })),
    namespace: Type.Optional(Type.String({ description: 'Its network slot.' })),
    pid: Type.Optional(Type.Integer({ description: 'Process id of the VMM.' })),
    residentBytes: Type.Optional(
      Type.Integer({ description: 'Resident memory of the VMM process, bytes.' }),
    ),
    memory: VmMemorySchema,
    invocations: Type.Integer({ description: 'How many invocations it has served.' }),
    busy: Type.Boolean({ description: 'An invocation is running.' }),
    createdAt: instant('When it was asked for.'),
  },
  { $id: 'VM', description: 'A microVM.' },
);

function vmInput(config: Config) {
  const { limits } = config;
  return Type.Object(
    {
      func_name: name('The function that it shall run.'),
      ssId: optionalName(
        'Restore this snapshot ahead of an invocation. The guest runs once until it confirms the restore; then the VM stays paused until its first invocation.',
      ),
      vcpu: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: limits.maxVcpus,
          description: "vCPUs. Default: the function's.",
        }),
      ),
      ...memoryInput(config),
      namespace: later('string', ['', null], 'The network slot'),
    },
    { $id: 'VMInput', additionalProperties: false, description: 'A microVM to start.' },
  );
}

const ResizeInput = Type.Object(
  { mem: Type.Integer({ description: 'All memory that it is to have now, MiB.' }) },
  { $id: 'VMResize', additionalProperties: false, description: 'Memory for a microVM.' },
);

const VmParams = Type.Object({ vmId: name('Id of the VM.') });

export function vmToWire(vm: VmView): Static<typeof VmSchema> {
  return compact({
    vmId: vm.vmId,
    state: vm.state,
    pooled: vm.pooled,
    vmConf: {
      func_name: vm.functionName,
      vcpu: vm.vcpus,
      mem_size: vm.memMiB,
      image: vm.image,
      kernel: vm.kernel,
      accelerator: vm.accelerator,
    },
    vmPath: vm.path,
    startKind: vm.startKind,
    ssId: vm.ssId,
    namespace: vm.namespace,
    pid: vm.pid,
    residentBytes: vm.residentBytes,
    memory: memoryToWire(vm.memory),
    invocations: vm.invocations,
    busy: vm.busy,
    createdAt: timestamp(vm.createdAt),
  });
}

const tags = ['vms'];

function listAndStart(app: Api, { platform, config }: ApiContext): void {
  const input = vmInput(config);
  app.addSchema(VmSchema).addSchema(input).addSchema(ResizeInput);
  app.get(
    '/vms',
    {
      schema: {
        operationId: 'listVms',
        tags,
        summary: 'All microVMs',
        response: {
          200: Type.Array(ref(VmSchema), { description: 'The VMs.' }),
          ...errorAnswers(),
        },
      },
    },
    async () => (await platform.listVms()).map(vmToWire),
  );
  app.post(
    '/vms',
    {
      schema: {
        operationId: 'startVm',
        tags,
        summary: 'Start a microVM',
        description:
          'Answers at once; the VM may still be starting. Invocations of it wait until it is ready.',
        body: ref(input),
        response: {
          200: ref(VmSchema),
          ...bodyErrorAnswers(
            'FUNCTION_NOT_FOUND',
            'FUNCTION_HAS_NO_CODE',
            'FUNCTION_MISMATCH',
            'SNAPSHOT_NOT_FOUND',
            'SNAPSHOT_UNUSABLE',
            'IMAGE_NOT_FOUND',
            'KERNEL_NOT_FOUND',
            'MEMORY_TOO_SMALL',
            'OPERATION_UNSUPPORTED',
            'LIMIT_EXCEEDED',
            'TOO_MANY_VMS',
            'HOST_MEMORY_FULL',
            'STORAGE_FULL',
            'VMM_FAILED',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request) => {
      const { func_name, ssId, vcpu } = request.body;
      const vm = await platform.createVm(
        compact({
          functionName: func_name,
          ssId: given(ssId),
          vcpus: vcpu,
          ...memoryFromWire(request.body, config),
        }),
      );
      return vmToWire(vm);
    },
  );
}

function oneVm(app: Api, { platform }: ApiContext): void {
  app.get(
    '/vms/:vmId',
    {
      schema: {
        operationId: 'getVm',
        tags,
        summary: 'One microVM',
        params: VmParams,
        response: { 200: ref(VmSchema), ...errorAnswers('VM_NOT_FOUND') },
      },
    },
    async (request) => vmToWire(await platform.getVm(request.params.vmId)),
  );
  app.patch(
    '/vms/:vmId',
    {
      schema: {
        operationId: 'resizeVm',
        tags,
        summary: "Set a microVM's memory by hand",
        description:
          'Answers when the guest has it. It stays until its instances need more, or it is set again. A size that cannot be is refused with the nearest that can; a guest that does not get there in time keeps the size of before.',
        params: VmParams,
        body: ref(ResizeInput),
        response: {
          200: ref(VmSchema),
          ...bodyErrorAnswers(
            'VM_NOT_FOUND',
            'VM_WRONG_STATE',
            'OPERATION_UNSUPPORTED',
            'RESIZE_TIMED_OUT',
            'GUEST_NOT_READY',
            'VM_DIED',
            'VMM_FAILED',
            'SHUTTING_DOWN',
          ),
        },
      },
    },
    async (request) => vmToWire(await platform.resizeVm(request.params.vmId, request.body.mem)),
  );
  app.delete(
    '/vms/:vmId',
    {
      schema: {
        operationId: 'deleteVm',
        tags,
        summary: 'End a microVM',
        description: 'Answers when it is gone.',
        params: VmParams,
        response: { 200: emptyAnswer('The VM is gone.'), ...errorAnswers('VM_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      await platform.deleteVm(request.params.vmId);
      return reply.send(undefined);
    },
  );
  app.get(
    '/vms/:vmId/console',
    {
      schema: {
        operationId: 'vmConsole',
        tags,
        summary: "The end of a VM's console",
        description: 'Consoles of VMs that failed lately are kept too.',
        params: VmParams,
        response: { 200: textAnswer('The console.'), ...errorAnswers('VM_NOT_FOUND') },
      },
    },
    (request, reply) =>
      reply.type('text/plain; charset=utf-8').send(platform.vmConsole(request.params.vmId)),
  );
}

export function vmRoutes(app: Api, context: ApiContext): void {
  listAndStart(app, context);
  oneVm(app, context);
}
