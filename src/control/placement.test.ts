import { describe, expect, it } from 'vitest';
import {
  place,
  PLACES,
  type Place,
  type PlacementFacts,
  type SnapshotOption,
  type Target,
  type VmFacts,
} from './placement.js';

const vm = (vmId: string, fields: Partial<VmFacts> = {}): VmFacts => ({
  ...{ vmId, isUp: true, idle: 1, instances: 1, waiting: 0, isFull: undefined, usedAt: 0 },
  ...fields,
});
const busy = (vmId: string, fields: Partial<VmFacts> = {}): VmFacts =>
  vm(vmId, { idle: 0, isFull: 'static', ...fields });
const snapshot = (ssId: string, createdAt = 0, isStale?: string): SnapshotOption => ({
  ...{ ssId, createdAt, isStale },
});

interface Given {
  readonly order?: readonly Place[];
  readonly maxInstances?: number;
  readonly maxVms?: number;
  readonly vms?: readonly VmFacts[];
  readonly vmCount?: number;
  readonly snapshots?: readonly SnapshotOption[];
  readonly hostIsFull?: string;
}

function facts({ vms = [], snapshots = [], ...rest }: Given): PlacementFacts {
  const { order = PLACES, maxInstances = 4, maxVms = 4 } = rest;
  const { vmCount = vms.length, hostIsFull } = rest;
  return { rules: { order, maxInstances, maxVms }, vms, vmCount, snapshots, hostIsFull };
}

describe('the place of an invocation', () => {
  it.each<[string, Given, Target]>([
    ['a boot, when there is nothing', {}, { to: 'boot' }],
    ['an idle instance', { vms: [vm('a')], snapshots: [snapshot('s')] }, { to: 'idle', vmId: 'a' }],
    [
      'the idle instance used last',
      { vms: [vm('a', { usedAt: 1 }), vm('b', { usedAt: 3 }), vm('c', { usedAt: 2 })] },
      { to: 'idle', vmId: 'b' },
    ],
    [
      'a new instance, when none is idle',
      { vms: [vm('a', { idle: 0 })], snapshots: [snapshot('s')] },
      { to: 'grow', vmId: 'a' },
    ],
    [
      'a new instance in the fullest VM that has room',
      {
        vms: [
          vm('a', { idle: 0, instances: 1, usedAt: 9 }),
          vm('b', { idle: 0, instances: 3 }),
          vm('c', { idle: 0, instances: 4 }),
        ],
      },
      { to: 'grow', vmId: 'b' },
    ],
    [
      'not a VM that is still starting',
      { vms: [vm('a', { isUp: false })], snapshots: [snapshot('s')] },
      { to: 'restore', ssId: 's' },
    ],
    [
      'the newest usable snapshot',
      {
        vms: [busy('a')],
        snapshots: [snapshot('old', 1), snapshot('good', 2), snapshot('stale', 3, 'other code')],
      },
      { to: 'restore', ssId: 'good' },
    ],
    [
      'a boot, when no snapshot is usable',
      { snapshots: [snapshot('stale', 3, 'other code')] },
      { to: 'boot' },
    ],
    [
      'a boot, when that is all that is allowed',
      { order: ['cold'], vms: [vm('a')], snapshots: [snapshot('s')] },
      { to: 'boot' },
    ],
    [
      'a snapshot first, when that is the order',
      { order: ['snapshot', 'warm'], vms: [vm('a')], snapshots: [snapshot('s')] },
      { to: 'restore', ssId: 's' },
    ],
    [
      'a new instance before an idle one, when that is the order',
      { order: ['vertical', 'warm'], vms: [vm('a')] },
      { to: 'grow', vmId: 'a' },
    ],
    [
      'the shortest line, when no place is open',
      {
        maxVms: 2,
        vms: [busy('a', { waiting: 2 }), busy('b', { waiting: 1 })],
        snapshots: [snapshot('s')],
      },
      { to: 'line', vmId: 'b' },
    ],
    [
      'a line, when only idle instances are allowed and all are busy',
      { order: ['warm'], vms: [busy('a')] },
      { to: 'line', vmId: 'a' },
    ],
    [
      'a line, when the daemon has no place for another VM',
      { vms: [busy('a')], hostIsFull: 'there are 9 VMs' },
      { to: 'line', vmId: 'a' },
    ],
    [
      'nowhere, when the VMs of the function are too many and none may be waited for',
      { order: ['cold'], maxVms: 1, vms: [busy('a')] },
      { to: 'none', code: 'TOO_MANY_VMS' },
    ],
    [
      'nowhere, when VMs that cannot serve it are too many',
      { maxVms: 1, vmCount: 1 },
      { to: 'none', code: 'TOO_MANY_VMS' },
    ],
    [
      'nowhere, when what is allowed does not exist',
      { order: ['warm', 'vertical', 'snapshot'] },
      { to: 'none', code: 'NO_PLACE' },
    ],
  ])('is %s', (_, given, target) => {
    expect(place(facts(given)).target).toEqual(target);
  });

  it('is said with the reasons', () => {
    const { why, passed } = place(
      facts({
        vms: [vm('a', { idle: 0, instances: 4 }), busy('b', { isFull: 'all blocks are taken' })],
        snapshots: [snapshot('s', 1, 'it holds other code')],
      }),
    );
    expect(why).toBe('a VM was booted for it');
    expect(passed).toEqual([
      { place: 'warm', why: 'no instance is idle in 2 VMs' },
      { place: 'vertical', why: 'all blocks are taken' },
      { place: 'snapshot', why: 'no snapshot is usable; of s: it holds other code' },
    ]);
  });

  it.each<[string, Given, string]>([
    ['instances', { order: ['vertical', 'cold'], vms: [vm('a', { instances: 4 })] }, '4 instances'],
    ['VMs', { order: ['cold', 'warm'], maxVms: 1, vms: [vm('a')] }, 'its limit is 1'],
    ['the host', { order: ['cold', 'warm'], vms: [vm('a')], hostIsFull: 'no room' }, 'no room'],
    ['nothing', { order: ['vertical', 'cold'] }, 'no VM of the function runs'],
  ])('names the limit: %s', (_, given, text) => {
    expect(place(facts(given)).passed[0]?.why).toContain(text);
  });
});
