/**
 * Where an invocation goes that names neither a VM nor a snapshot: plain data in, plain data out.
 * The places are tried in the order that the function, or the invocation itself, gives.
 */
import type { ErrorCode } from '../errors.js';

/**
 * Where an instance comes from; also how the invocation started, then. `warm`: an idle instance;
 * `vertical`: a new instance in a VM that runs; `snapshot`: a VM restored from the function's newest
 * usable snapshot, of the pool where one waits; `cold`: a VM booted for it.
 */
export const PLACES = ['warm', 'vertical', 'snapshot', 'cold'] as const;
export type Place = (typeof PLACES)[number];

/** A function's rules. */
export interface PlacementRules {
  /** The places that may be used, the first that is open is taken. */
  readonly order: readonly Place[];
  /** Instances in one VM, at most. */
  readonly maxInstances: number;
  /** VMs of the function beyond which none is restored or booted for an invocation. */
  readonly maxVms: number;
}

/** A VM that could serve: of the function as it is now. */
export interface VmFacts {
  readonly vmId: string;
  /** It serves; else it is still starting. */
  readonly isUp: boolean;
  /** Instances that could begin at once. */
  readonly idle: number;
  readonly instances: number;
  /** How many wait for it. */
  readonly waiting: number;
  /** Why it cannot hold another instance now; undefined: it can. */
  readonly isFull: string | undefined;
  /** When it last began or ended work; a larger number is later. */
  readonly usedAt: number;
}

export interface SnapshotOption {
  readonly ssId: string;
  readonly createdAt: number;
  /** Why it is not for the function as it is now; undefined: it is. */
  readonly isStale: string | undefined;
}

export interface PlacementFacts {
  readonly rules: PlacementRules;
  readonly vms: readonly VmFacts[];
  /** All VMs of the function, usable or not, without those of the pool. */
  readonly vmCount: number;
  /** Why the daemon makes no VM now; undefined: it does. */
  readonly hostIsFull?: string | undefined;
  readonly snapshots: readonly SnapshotOption[];
}

/** A place that was not open. */
export interface Passed {
  readonly place: Place;
  readonly why: string;
}

export type Target =
  | { readonly to: 'idle' | 'grow' | 'line'; readonly vmId: string }
  | { readonly to: 'restore'; readonly ssId: string }
  | { readonly to: 'boot' }
  /** Nowhere. */
  | { readonly to: 'none'; readonly code: ErrorCode };

export interface Decision {
  readonly target: Target;
  readonly why: string;
  readonly passed: readonly Passed[];
}

type Found = { readonly target: Target; readonly why: string };

/** The first place that is open, or why none is. */
export function place(facts: PlacementFacts): Decision {
  const passed: Passed[] = [];
  for (const one of facts.rules.order) {
    const found = LOOK[one](facts);
    if (typeof found !== 'string') return { ...found, passed };
    passed.push({ place: one, why: found });
  }
  return { ...last(facts), passed };
}

const LOOK: Readonly<Record<Place, (facts: PlacementFacts) => Found | string>> = {
  warm: ({ vms }) => {
    if (vms.length === 0) return 'no VM of the function as it is now';
    // The one used last has the warmest caches; the others may end when they were idle for long.
    const [best] = vms.filter(({ isUp, idle }) => isUp && idle > 0).sort(byUse);
    if (best) return { target: { to: 'idle', vmId: best.vmId }, why: 'an instance was idle' };
    return `no instance is idle in ${count(vms.length, 'VM')}`;
  },
  vertical: ({ vms, rules }) => {
    const up = vms.filter(({ isUp }) => isUp);
    if (up.length === 0) return 'no VM of the function runs';
    const below = up.filter(({ instances }) => instances < rules.maxInstances);
    const open = below.filter(({ isFull }) => isFull === undefined);
    // The fullest one: then others may end when they were idle for long.
    const [best] = open.sort((a, b) => b.instances - a.instances || byUse(a, b));
    if (best) {
      const why = `the VM had room beside ${count(best.instances, 'instance')}`;
      return { target: { to: 'grow', vmId: best.vmId }, why };
    }
    const [reason] = below.flatMap(({ isFull }) => (isFull === undefined ? [] : [isFull]));
    if (reason !== undefined) return reason;
    return `${count(rules.maxInstances, 'instance')} in a VM is the limit of the function`;
  },
  snapshot: (facts) => {
    const full = tooMany(facts);
    if (full !== undefined) return full;
    const newestFirst = [...facts.snapshots].sort((a, b) => b.createdAt - a.createdAt);
    const [best] = newestFirst.filter(({ isStale }) => isStale === undefined);
    if (best) {
      const { ssId } = best;
      return { target: { to: 'restore', ssId }, why: `${ssId} is its newest usable snapshot` };
    }
    const [newest] = newestFirst;
    if (newest === undefined) return 'the function has no snapshot';
    return `no snapshot is usable; of ${newest.ssId}: ${newest.isStale}`;
  },
  cold: (facts) => tooMany(facts) ?? { target: { to: 'boot' }, why: 'a VM was booted for it' },
};

/** No place is open: what is busy may be waited for, where idle instances may be used at all. */
function last(facts: PlacementFacts): Found {
  const { vms, rules } = facts;
  const [shortest] = [...vms].sort((a, b) => a.waiting - b.waiting || byUse(a, b));
  if (shortest && rules.order.includes('warm')) {
    return { target: { to: 'line', vmId: shortest.vmId }, why: 'it waited for a busy instance' };
  }
  const isFull = tooMany(facts) !== undefined && MAKE_VMS.some((one) => rules.order.includes(one));
  const code = isFull ? 'TOO_MANY_VMS' : 'NO_PLACE';
  return { target: { to: 'none', code }, why: 'no place is open' };
}

const MAKE_VMS: readonly Place[] = ['snapshot', 'cold'];

function tooMany({ vmCount, rules, hostIsFull }: PlacementFacts): string | undefined {
  if (vmCount < rules.maxVms) return hostIsFull;
  return `the function has ${count(vmCount, 'VM')}, and its limit is ${rules.maxVms}`;
}

function byUse(a: VmFacts, b: VmFacts): number {
  return b.usedAt - a.usedAt;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
