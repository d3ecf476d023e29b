/** How a snapshot is restored: the fields of an invocation, ours and the original's. */
import { type Static, Type } from 'typebox';
import {
  STRATEGY_CHOICES,
  type RestoreChoice,
  type RestoreInfo,
  type StrategyChoice,
} from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact } from './compact.js';

const flag = (description: string) =>
  Type.Optional(Type.Union([Type.Boolean(), Type.Null()], { description }));

export const strategyField = (description: string) =>
  Type.Optional(Type.Enum([...STRATEGY_CHOICES], { type: 'string', description }));

/** The longest interval between two scans, ms. */
const MAX_INTERVAL_MS = 60_000;
const MAX_PAGES = 2 ** 30;

export const restoreFields = {
  strategy: strategyField(
    "With `ssId`: how guest memory comes back. Default: the function's `restore_strategy`.",
  ),
  mincore: Type.Optional(
    Type.Union([Type.Integer({ minimum: -1, maximum: MAX_INTERVAL_MS }), Type.Null()], {
      description:
        'With `ssId`: record which pages come into the page cache, scanning every so many ms (0: as often as possible). -1: do not.',
    }),
  ),
  mincore_size: Type.Optional(
    Type.Union([Type.Integer({ minimum: 0, maximum: MAX_PAGES }), Type.Null()], {
      description:
        "With `ssId`: the same, scanning each time the VMM's resident memory has grown by so many pages. 0: do not.",
    }),
  ),
  loadMincore: Type.Optional(
    Type.Union([Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 })), Type.Null()], {
      description:
        '`faasnap`: the mincore layers that the loader reads beside the restore, 1 being the first. Empty: all of them.',
    }),
  ),
  use_mem_file: flag('`faasnap`: map the memory file under everything else.'),
  overlay_regions: flag('`faasnap`: map the regions that are not zero from the memory file.'),
  use_ws_file: flag('`faasnap`: map the loading set from its compact file.'),
  vmm_load_ws: flag('`faasnap`: the VMM enters the loading set in its own page tables.'),
  resident: flag(
    '`vanilla`: make all of guest memory resident before the guest runs. For measurements: the time without any paging.',
  ),
  enableReap: flag('Restore as REAP does: the same as `strategy: reap`.'),
  wsFileDirectIo: flag('`reap`: read the working-set file past the page cache.'),
  wsSingleRead: flag('`reap`: read the working-set file in a single read.'),
};

type FieldValues = Static<Type.TObject<typeof restoreFields>>;

/**
 * What the fields ask for; undefined when they ask for nothing. Clients of the original send all of
 * them, with `false`, 0, -1 or an empty list for what they do not want.
 * @throws SparklerError INVALID_REQUEST for fields that contradict each other.
 */
export function restoreChoice(
  body: FieldValues & { readonly ssId?: string; readonly vmId?: string },
): RestoreChoice | undefined {
  const options = optionsOf(body);
  const strategy = strategyOf(body);
  if (strategy === undefined && Object.keys(options).length === 0) return undefined;
  const isRestore = (body.ssId ?? '') !== '' && (body.vmId ?? '') === '';
  if (!isRestore) throw contradiction('strategy', 'how to restore needs a snapshot: give ssId');
  return compact({ strategy, options });
}

function optionsOf(body: FieldValues): NonNullable<RestoreChoice['options']> {
  const { mincore, mincore_size, loadMincore } = body;
  const growth = mincore_size ? { growthPages: mincore_size } : undefined;
  const interval =
    typeof mincore === 'number' && mincore >= 0 ? { intervalMs: Math.max(1, mincore) } : undefined;
  if (growth && interval) {
    throw contradiction('mincore_size', 'cannot be asked for together with mincore');
  }
  const isMapped = body.use_mem_file || body.overlay_regions || body.use_ws_file;
  return compact({
    directIo: body.wsFileDirectIo ? true : undefined,
    singleRead: body.wsSingleRead ? true : undefined,
    record: growth ?? interval,
    mappings: isMapped
      ? {
          memoryFile: body.use_mem_file === true,
          overlay: body.overlay_regions === true,
          workingSet: body.use_ws_file === true,
        }
      : undefined,
    loadLayers: loadMincore?.length ? loadMincore : undefined,
    resident: body.resident ? true : undefined,
    vmmLoads: body.vmm_load_ws ? true : undefined,
  });
}

/** What the original's fields mean together, unless `strategy` says it. */
function strategyOf(body: FieldValues): StrategyChoice | undefined {
  const reap = body.enableReap === true;
  const faasnap =
    body.use_mem_file === true ||
    body.overlay_regions === true ||
    body.use_ws_file === true ||
    body.vmm_load_ws === true ||
    (body.loadMincore?.length ?? 0) > 0;
  if (reap && faasnap) {
    throw contradiction('enableReap', "cannot be asked for together with FaaSnap's mappings");
  }
  const meant = reap ? 'reap' : faasnap ? 'faasnap' : undefined;
  const { strategy } = body;
  if (strategy !== undefined && meant !== undefined && strategy !== meant) {
    throw contradiction('strategy', `is ${strategy}, but other fields ask for ${meant}`);
  }
  return strategy ?? meant;
}

function contradiction(field: string, what: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', `${field}: ${what}.`, { field });
}

const count = (description: string) => Type.Integer({ description });

export const RestoreResult = Type.Object(
  {
    strategy: Type.String({ description: 'The strategy that was used.' }),
    why: Type.String({ description: 'Why this one, and what it did.' }),
    recorded: Type.Boolean({
      description: 'This invocation was recorded: the next restores can use it.',
    }),
    served_faults: count('Page faults that the page server answered.'),
    prefetched_pages: count('Pages that were installed before the guest ran.'),
    populated_pages: count('Pages that the VMM entered in its page tables by itself.'),
    populate_ms: Type.Number({ description: 'How long it took for that, ms.' }),
    read_bytes: count('Bytes read from a disk for the VM, its page server included.'),
  },
  { description: 'How the VM was restored; of its first invocation only.' },
);

export function restoreToWire(info: RestoreInfo): Static<typeof RestoreResult> {
  return {
    strategy: info.strategy,
    why: info.why,
    recorded: info.recorded,
    served_faults: info.served,
    prefetched_pages: info.prefetched,
    populated_pages: info.populated,
    populate_ms: info.populateMs,
    read_bytes: info.readBytes,
  };
}
