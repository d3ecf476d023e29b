/** `/info`, `/healthz`, `/metrics`: the daemon itself. */
import { Type } from 'typebox';
import type { Api, ApiContext } from './context.js';
import { errorAnswers, ref, textAnswer } from './wire.js';

const Info = Type.Object(
  {
    version: Type.String({ description: "Sparkler's version." }),
    accelerator: Type.Enum(['kvm', 'tcg', 'none'], {
      type: 'string',
      description: 'How guests run; `tcg` (software emulation) isolates nothing.',
    }),
    acceleratorReason: Type.String({ description: 'Why this one.' }),
    vmm: Type.String({ description: 'Name and version of the VMM.' }),
    dataDir: Type.String({ description: 'The data folder.' }),
    warnings: Type.Array(Type.String(), {
      description: 'What this host does not let the daemon do.',
    }),
    pool: Type.Object(
      {
        vms: Type.Integer({ description: 'MicroVMs in it.' }),
        memMiB: Type.Integer({ description: 'Sum of their guest memory, MiB.' }),
        maxVms: Type.Integer({ description: 'The daemon keeps no more by itself.' }),
        maxMemMiB: Type.Integer({ description: 'Nor more guest memory than this, MiB.' }),
        windowMs: Type.Integer({ description: 'Invocations count as demand for so long, ms.' }),
        keepMs: Type.Integer({ description: 'One that nobody takes is ended after this, ms.' }),
      },
      { description: 'MicroVMs that stand restored ahead of invocations.' },
    ),
    reclaimed: Type.Record(Type.String(), Type.Integer({ description: 'How many.' }), {
      description: 'What the last daemon left and this one ended when it started, by kind.',
    }),
  },
  { $id: 'Info', description: 'The daemon.' },
);

const Health = Type.Object(
  { status: Type.Enum(['ok'], { type: 'string', description: 'Always `ok`.' }) },
  { $id: 'Health', description: 'The daemon answers.' },
);

const tags = ['daemon'];

export function systemRoutes(app: Api, { platform }: ApiContext): void {
  app.addSchema(Info).addSchema(Health);
  app.get(
    '/info',
    {
      schema: {
        operationId: 'info',
        tags,
        summary: 'Version, accelerator, VMM, data folder',
        response: { 200: ref(Info), ...errorAnswers() },
      },
    },
    () => {
      const info = platform.info();
      return { ...info, warnings: [...info.warnings], reclaimed: { ...info.reclaimed } };
    },
  );
  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'health',
        tags,
        summary: 'Whether the daemon answers',
        response: { 200: ref(Health), ...errorAnswers() },
      },
    },
    () => ({ status: 'ok' as const }),
  );
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        tags,
        summary: 'Metrics',
        response: { 200: textAnswer("Prometheus' text format."), ...errorAnswers() },
      },
    },
    async (_request, reply) =>
      reply.type('text/plain; version=0.0.4; charset=utf-8').send(await platform.metrics()),
  );
}
