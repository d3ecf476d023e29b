/** Memory of a VM on the wire: what may be asked of it, and what is shown. */
import { type Static, Type } from 'typebox';
import type { Config } from '../config/index.js';
import type { VmInput, VmView } from '../control/index.js';
import { SparklerError } from '../errors.js';
import { compact, given } from './compact.js';
import { optionalName } from './wire.js';

const POLICIES = ['static', 'balloon', 'virtio-mem', 'blocks'] as const;

/** Alias of a guest kernel that manages Faascale's blocks by itself. */
const FAASCALE = 'faascale';

/** The original's clients send `false` and null for what they do not want. */
const maybe = (description: string) =>
  Type.Optional(Type.Union([Type.Boolean(), Type.Null()], { description }));

export const memoryInput = ({ limits }: Config) => ({
  kernel: optionalName("Alias of the guest kernel. Default: the function's."),
  mem: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.maxMemMiB,
      description:
        "All memory that the VM may come to have, MiB. Default: the function's where its memory is static, else enough for `memory.instances` instances of it.",
    }),
  ),
  memory_policy: Type.Optional(
    Type.Enum([...POLICIES, ''], {
      type: 'string',
      description:
        'How its memory follows its instances. `static`: it has one size. `balloon`: what no invocation needs is taken back. `virtio-mem`: plugged and unplugged. `blocks`: an instance is bound to blocks of its own. Default: `memory.policy` of the configuration.',
    }),
  ),
  blocks: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1, maximum: limits.maxMemMiB }), {
      description:
        "Policy `blocks` only: the size of each block, MiB. Default: as many as fit into `mem`, each of the function's memory.",
    }),
  ),
  enable_balloon: maybe('The same as `memory_policy: balloon`.'),
  enable_faascale: maybe(
    'The same as `memory_policy: blocks`; where a kernel `faascale` is configured, that kernel, which manages blocks by itself.',
  ),
});

/** The memory fields of a request. */
export interface MemoryBody {
  readonly kernel?: string;
  readonly mem?: number;
  readonly memory_policy?: (typeof POLICIES)[number] | '';
  readonly blocks?: number[];
  readonly enable_balloon?: boolean | null;
  readonly enable_faascale?: boolean | null;
}

type MemoryInput = Pick<VmInput, 'kernel' | 'memMiB' | 'memoryPolicy' | 'blocksMiB' | 'limited'>;

/** @throws SparklerError INVALID_REQUEST for fields that contradict each other. */
export function memoryFromWire(body: MemoryBody, { kernels }: Config): MemoryInput {
  const kernel = given(body.kernel);
  // Faascale's kernel has memory of one size, and limits instances by itself.
  const own = body.enable_faascale === true && FAASCALE in kernels;
  const wishes = [
    ['memory_policy', body.memory_policy || undefined],
    ['enable_balloon', body.enable_balloon === true ? 'balloon' : undefined],
    ['enable_faascale', body.enable_faascale !== true ? undefined : own ? 'static' : 'blocks'],
  ] as const;
  const [first, second] = wishes.filter(([, policy]) => policy !== undefined);
  if (first && second && first[1] !== second[1]) {
    const field = first[0];
    const message = `${field}: asks for memory by ${first[1]}, but ${second[0]} asks for ${second[1]}.`;
    throw new SparklerError('INVALID_REQUEST', message, { field });
  }
  if (own && kernel !== undefined && kernel !== FAASCALE) {
    const message = `kernel: is ${kernel}, but enable_faascale asks for ${FAASCALE}.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'kernel' });
  }
  return compact({
    kernel: own ? FAASCALE : kernel,
    memMiB: body.mem,
    memoryPolicy: first?.[1],
    blocksMiB: body.blocks,
    limited: own || undefined,
  });
}

const bytes = (description: string) => Type.Integer({ description: `${description}, bytes.` });
const mib = (description: string) => Type.Integer({ description: `${description}, MiB.` });

const Block = Type.Object(
  {
    node: Type.Integer({ description: "Number of the guest's NUMA node." }),
    memMiB: mib('Its size'),
    state: Type.Enum(['free', 'taken', 'returning', 'closed'], {
      type: 'string',
      description:
        '`taken`: an instance has it. `returning`: it is being given back to the host. `closed`: taken out by hand.',
    }),
    residentBytes: bytes('Host memory behind it'),
    usedBytes: Type.Optional(
      bytes('What of it the guest has allocated; absent when the guest could not be asked'),
    ),
  },
  { description: 'A block.' },
);

const Instance = Type.Object(
  {
    instance: Type.Integer({ description: 'Its number in the VM.' }),
    currentBytes: bytes('What it uses now'),
    peakBytes: bytes('The most that it has used'),
    limitBytes: Type.Optional(
      bytes("What it may use at most; absent: the VM's own memory is the limit"),
    ),
    nodes: Type.Array(Type.Integer(), { description: 'The blocks that it is bound to.' }),
  },
  { description: 'An instance.' },
);

const Population = Type.Object(
  {
    eagerBytes: bytes('What the next instance gets populated ahead'),
    peaks: Type.Integer({
      description: 'From how many earlier instances that was learned; 0: it is as configured.',
    }),
    preTdpFault: Type.Enum(['off', 'on', 'unavailable'], {
      type: 'string',
      description: 'Whether second-level page tables are filled as well.',
    }),
    why: Type.Optional(Type.String({ description: 'Why that is unavailable.' })),
  },
  { description: 'How memory is populated ahead; policy `blocks` only.' },
);

const BalloonStats = Type.Object(
  {
    ageMs: Type.Number({ description: 'How old this is, ms.' }),
    freeBytes: Type.Optional(bytes('Free')),
    availableBytes: Type.Optional(bytes('Free, or could be at once')),
    totalBytes: Type.Optional(bytes('All of it')),
    diskCacheBytes: Type.Optional(bytes('Cached files')),
    majorFaults: Type.Optional(Type.Integer({ description: 'Page faults that read from a disk.' })),
    minorFaults: Type.Optional(Type.Integer({ description: 'Page faults that did not.' })),
  },
  { description: "The guest's own statistics, through its balloon." },
);

/** How much memory a VM may have, has and uses. */
export const VmMemorySchema = Type.Object(
  {
    policy: Type.Enum([...POLICIES], { type: 'string', description: 'Its memory policy.' }),
    configuredMiB: mib('The most that it may have'),
    pluggedMiB: mib('What it has now'),
    grantedMiB: mib('What its instances have been given of that'),
    usedByGuestBytes: Type.Optional(
      bytes('What is neither free in the guest nor could be at once; one VM only'),
    ),
    residentBytes: Type.Optional(
      bytes('Host memory behind it (policy `static`: that of the whole VMM); one VM only'),
    ),
    blocks: Type.Optional(Type.Array(Block, { description: 'Its blocks; one VM only.' })),
    instances: Type.Optional(Type.Array(Instance, { description: 'Its instances; one VM only.' })),
    population: Type.Optional(Population),
    balloonStats: Type.Optional(BalloonStats),
  },
  { description: 'Its memory.' },
);

export function memoryToWire(memory: VmView['memory']): Static<typeof VmMemorySchema> {
  if (!('instances' in memory)) return memory;
  const { blocks, instances, population, balloonStats, ...rest } = memory;
  return compact({
    ...rest,
    blocks: blocks?.map((block) => ({ ...block })),
    instances: instances.map((instance) => ({ ...instance, nodes: [...instance.nodes] })),
    population,
    balloonStats,
  });
}
