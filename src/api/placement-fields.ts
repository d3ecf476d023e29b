/** Where invocations go, as the wire says it. */
import { type Static, Type } from 'typebox';
import type { PlacementInfo, PlacementRules } from '../control/index.js';

const PLACE = ['warm', 'vertical', 'snapshot', 'cold'] as const;

/** Places in the order in which they are tried. */
export const orderField = (description: string) =>
  Type.Optional(
    Type.Array(Type.Enum(PLACE, { type: 'string' }), {
      minItems: 1,
      uniqueItems: true,
      description,
    }),
  );

const ORDER =
  'Where invocations go that name no VM and no snapshot, the first that is open: an idle instance (`warm`), a new instance in a VM that runs (`vertical`), the newest usable snapshot (`snapshot`), a boot (`cold`). What is left out is not used.';
const DEFAULT = "Default: the configuration's `placement`.";

/** A function's rules as they are shown: what is absent is as the configuration says. */
export const rulesView = {
  placement: orderField(`${ORDER} Absent: as the configuration says.`),
  max_instances: Type.Optional(
    Type.Integer({ description: 'Instances in one VM. Absent: as the configuration says.' }),
  ),
  max_vms: Type.Optional(
    Type.Integer({
      description:
        'VMs beyond which none is restored or booted for an invocation that names none. Absent: as the configuration says.',
    }),
  ),
};

/** A function's rules as they are given. */
export const rulesInput = (limits: { maxInstancesPerVm: number; maxVms: number }) => ({
  placement: orderField(`${ORDER} ${DEFAULT}`),
  max_instances: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.maxInstancesPerVm,
      description: `Instances in one VM; more than one needs a memory policy that grows. ${DEFAULT}`,
    }),
  ),
  max_vms: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.maxVms,
      description: `VMs beyond which none is restored or booted for an invocation that names none. ${DEFAULT}`,
    }),
  ),
});

type WireRules = Pick<
  Static<ReturnType<typeof Type.Object<typeof rulesView>>>,
  'placement' | 'max_instances' | 'max_vms'
>;

export function rulesToWire(rules: Partial<PlacementRules>): WireRules {
  const { order, maxInstances, maxVms } = rules;
  return {
    ...(order && { placement: [...order] }),
    ...(maxInstances !== undefined && { max_instances: maxInstances }),
    ...(maxVms !== undefined && { max_vms: maxVms }),
  };
}

/** Undefined: nothing was given. */
export function rulesFromWire(wire: WireRules): Partial<PlacementRules> | undefined {
  const { placement, max_instances, max_vms } = wire;
  const rules = {
    ...(placement && { order: placement }),
    ...(max_instances !== undefined && { maxInstances: max_instances }),
    ...(max_vms !== undefined && { maxVms: max_vms }),
  };
  return Object.keys(rules).length > 0 ? rules : undefined;
}

/** Why an invocation went where it went. */
export const PlacementResult = Type.Object(
  {
    why: Type.String({ description: 'Why its instance came from there.' }),
    passed: Type.Array(
      Type.Object({
        place: Type.Enum(PLACE, { type: 'string', description: 'A place that was tried before.' }),
        why: Type.String({ description: 'Why it was not open.' }),
      }),
      { description: 'The places that were tried before, in order.' },
    ),
  },
  {
    description:
      'Why the invocation went where it went: `startKind` says where. Absent when it named a VM or a snapshot.',
  },
);

export function placementToWire({ why, passed }: PlacementInfo): Static<typeof PlacementResult> {
  return { why, passed: passed.map((one) => ({ ...one })) };
}
