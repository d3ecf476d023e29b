/** The one schema of the configuration. docs/configuration.md is made from it. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { GiB, KiB, MiB, aliases, count, flag, text, wait, whole } from './fields.js';
import { memory } from './memory.js';

const limits = Type.Object(
  {
    invocationBodyBytes: count(
      6 * MiB,
      6 * MiB,
      'The body of `POST /invocations`, bytes. The guest channel carries no more than 6 MiB.',
    ),
    resultBytes: count(6 * MiB, 6 * MiB, 'What a handler may return, bytes of JSON.'),
    jsonBodyBytes: count(1 * MiB, 64 * MiB, 'Any other JSON body, bytes.'),
    codeArchiveBytes: count(64 * MiB, 4 * GiB, "An uploaded archive of a function's code, bytes."),
    codeUnpackedBytes: count(256 * MiB, 16 * GiB, 'What that archive may unpack to, bytes.'),
    codeFileBytes: count(128 * MiB, 16 * GiB, 'One file of that archive, unpacked, bytes.'),
    codeEntries: count(20_000, 1_000_000, 'Files and folders in that archive.'),
    maxVms: count(64, 10_000, 'MicroVMs alive at once.'),
    maxInstancesPerVm: count(64, 1_024, 'Instances in one microVM that a function may ask for.'),
    maxRecordings: count(
      8,
      64,
      'Recorded working sets that are kept of one snapshot; the oldest go first.',
    ),
    maxQueuedPerVm: whole(32, 0, 10_000, 'Invocations that may wait for one busy microVM.'),
    maxFunctions: count(10_000, 1_000_000, 'Functions in the registry.'),
    maxVcpus: count(32, 255, 'vCPUs that a function may ask for.'),
    maxMemMiB: count(32_768, 1_048_576, 'Guest memory that a function may ask for, MiB.'),
    maxEnvBytes: count(4 * KiB, 128 * KiB, "Names and values of a function's environment, bytes."),
    consoleBytes: count(64 * KiB, 16 * MiB, "What is kept of a guest's console, bytes."),
    consoleAnswerBytes: count(4 * KiB, 1 * MiB, 'What an error answer shows of it, bytes.'),
    invocationLogBytes: count(
      32 * KiB,
      1 * MiB,
      'What the answer of an invocation shows of its output, bytes.',
    ),
    functionLogBytes: count(1 * MiB, 64 * MiB, "What is kept of a function's output, bytes."),
    keptConsoles: whole(32, 0, 10_000, 'Consoles kept of microVMs that failed.'),
    minFreeDiskMiB: whole(
      256,
      0,
      1_048_576,
      'What must stay free on each disk that is written to, beside all that VMs and snapshots may still write, MiB.',
    ),
  },
  { default: {}, additionalProperties: false, description: 'Sizes and numbers of things.' },
);

const timeouts = Type.Object(
  {
    vmmStartMs: wait(10_000, 'Until a started VMM process answers, ms.'),
    bootMs: wait(60_000, "From a VMM's start until the guest agent says hello, ms."),
    instanceStartMs: wait(60_000, "From there until the function's handler is loaded, ms."),
    restoreMs: wait(10_000, "Until a snapshot's device state is loaded, ms."),
    pageServerMs: wait(
      10_000,
      'Until a page server has what it needs of its VMM, has installed a working set, and answers, ms, each.',
    ),
    restoreConfirmMs: wait(
      10_000,
      'Until a restored guest confirms that it reseeded its generators and set its clock, ms.',
    ),
    freezeMs: wait(5_000, 'Until the code of a function stands frozen for a snapshot, ms.'),
    pauseMs: wait(5_000, "Until a guest's CPUs stand still, ms."),
    snapshotMs: wait(60_000, 'Taking a snapshot, ms.'),
    resizeMs: wait(
      10_000,
      'Until a guest has given or taken memory, ms; then it keeps the size of before.',
    ),
    closeMs: wait(5_000, 'Until a VMM that was killed is gone, and its cgroup with it, ms.'),
    shutdownMs: wait(15_000, 'Ending the daemon, ms.'),
    imageStepMs: wait(600_000, 'One step of building an image, ms.'),
    accelProbeMs: wait(20_000, 'The guest that proves an accelerator, ms.'),
    defaultInvocationMs: wait(30_000, 'An invocation, where its function names no time limit, ms.'),
    maxInvocationMs: wait(900_000, 'The longest time limit that a function may name, ms.'),
    idleVmMs: whole(
      600_000,
      0,
      86_400_000,
      'A microVM that served nothing for so long is ended, ms; 0: never.',
    ),
    idleInstanceMs: whole(
      60_000,
      0,
      86_400_000,
      'An instance that served nothing for so long is ended, unless it is the last of its microVM, ms; 0: never.',
    ),
    httpRequestMs: wait(120_000, 'Receiving one whole HTTP request, ms.'),
    httpKeepAliveMs: wait(60_000, 'Until an idle HTTP connection is closed, ms.'),
  },
  { default: {}, additionalProperties: false, description: 'How long each wait may last.' },
);

const admission = Type.Object(
  {
    reserveMiB: whole(
      256,
      0,
      1_048_576,
      'Memory that must stay available on the host, beside all that microVMs may still come to use, MiB.',
    ),
    vmmMiB: whole(
      96,
      0,
      16_384,
      "Memory that a VMM process may come to use beside its guest's, MiB: its translation buffer in software emulation (`vmm.tbSizeMiB`), and itself.",
    ),
    chargePercent: count(
      100,
      100,
      'How much is charged of what a microVM may still come to use, percent. Less than 100 promises more than the host has: the kernel may then kill a VMM.',
    ),
    waitMs: whole(
      10_000,
      0,
      86_400_000,
      'How long a microVM or an instance may wait for memory before it is refused, ms.',
    ),
    maxWaiting: whole(128, 0, 10_000, 'How many may wait for memory at once.'),
    retryAfterS: count(5, 86_400, 'What a refused caller is told to wait (`Retry-After`), s.'),
  },
  {
    default: {},
    additionalProperties: false,
    description: "What microVMs may take of the host's memory.",
  },
);

const placement = Type.Object(
  {
    order: Type.Array(Type.Enum(['warm', 'vertical', 'snapshot', 'cold']), {
      default: ['warm', 'vertical', 'snapshot', 'cold'],
      minItems: 1,
      uniqueItems: true,
      description:
        'The places that are tried, in this order: an idle instance (`warm`), a new instance in a microVM that runs (`vertical`), the newest usable snapshot (`snapshot`), a boot (`cold`). What is left out is not used.',
    }),
    maxInstancesPerVm: count(
      8,
      1_024,
      'Instances of the function in one microVM. More than one needs a memory policy that grows.',
    ),
    maxVmsPerFunction: count(
      64,
      10_000,
      'MicroVMs of the function beyond which none is restored or booted for an invocation that names none.',
    ),
  },
  {
    default: {},
    additionalProperties: false,
    description:
      'Where invocations go that name no microVM and no snapshot, unless their function says otherwise.',
  },
);

const pool = Type.Object(
  {
    maxVms: whole(
      2,
      0,
      10_000,
      'MicroVMs that the daemon keeps restored ahead of invocations by itself; 0: none. `POST /vmms` may exceed it.',
    ),
    maxMemMiB: count(
      4_096,
      1_048_576,
      'Sum of their guest memory, MiB. What they really take is far less: clones share unchanged pages.',
    ),
    windowMs: wait(60_000, 'How far back invocations count as demand, ms.'),
    keepMs: wait(300_000, 'A pooled microVM that nobody took for so long is ended, ms.'),
    fork: flag(
      true,
      'The last pooled microVM of a snapshot stays in the pool, and invocations get ones that are forked from it. In software emulation only; false: it is given away.',
    ),
    startWhenIdleMs: whole(
      50,
      0,
      60_000,
      'The pool starts a microVM only after the host had a processor to spare for so long, ms.',
    ),
  },
  { default: {}, additionalProperties: false, description: 'MicroVMs started ahead.' },
);

const vmm = Type.Object(
  {
    qemuPath: text('qemu-system-x86_64', 'The QEMU to run: a path, or a name found in PATH.'),
    firstUid: whole(
      2_000_000_000,
      0,
      4_000_000_000,
      "First user id for VMMs: each microVM gets one of its own from here up. 0: the daemon's user.",
    ),
    uidCount: count(65_536, 1_000_000, 'How many user ids from `firstUid` on may be used.'),
    templates: whole(
      4,
      0,
      64,
      'QEMU processes kept ahead in software emulation, each for the restores of one function and size; 0: none.',
    ),
    tbSizeMiB: count(64, 4_096, "QEMU's translation buffer in software emulation, MiB."),
    cgroupRoot: Type.String({
      default: '',
      description:
        'Folder of the cgroup v2 tree for microVMs. Empty: found where the daemon may make cgroups; where it may not, microVMs run without.',
    }),
  },
  { default: {}, additionalProperties: false, description: 'The VMM processes.' },
);

/** Where built images are kept when nothing else is said. */
export function defaultCacheDir(env: NodeJS.ProcessEnv): string {
  if (env['SPARKLER_CACHE']) return env['SPARKLER_CACHE'];
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sparkler');
}

export const ConfigSchema = Type.Object(
  {
    host: text(
      '127.0.0.1',
      'Address to listen on. Another than a loopback address is taken from the flag `--host` only: there is no authentication.',
    ),
    port: whole(8080, 0, 65_535, 'Port to listen on; 0: any free one.'),
    dataDir: text('/var/lib/sparkler', 'Folder of the registry, snapshots and drives.'),
    cacheDir: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Folder of built images and kernels. Default: `$SPARKLER_CACHE`, or `sparkler` in `$XDG_CACHE_HOME` or `~/.cache`.',
      }),
    ),
    logLevel: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      default: 'info',
      description: 'What the daemon logs.',
    }),
    images: aliases(
      { debian: 'debian' },
      'Guest root file systems: alias to built-in name or absolute path.',
    ),
    kernels: aliases(
      { debian: 'debian' },
      'Guest kernels: alias to built-in name or absolute path.',
    ),
    defaultImage: text('debian', 'Alias of the image of a function that names none.'),
    defaultKernel: text('debian', 'Alias of the kernel of a function that names none.'),
    defaultVcpus: count(2, 255, 'vCPUs of a function that names none.'),
    defaultMemMiB: count(2_048, 1_048_576, 'Memory of a function that names none, MiB.'),
    accel: Type.Enum(['auto', 'kvm', 'tcg'], {
      default: 'auto',
      description:
        'How guests run: `kvm` (hardware), `tcg` (software emulation, isolates nothing), `auto` (kvm where a guest proved it).',
    }),
    snapshotDirs: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        "Folders in which a snapshot's `snapshot_path` and `mem_file_path` may lie, beside `snapshots` in the data folder.",
    }),
    defaultRestoreStrategy: Type.Enum(
      ['vanilla', 'cached', 'reap', 'faasnap', 'populate', 'auto'],
      {
        default: 'vanilla',
        description: 'How snapshots are restored of a function that names no strategy.',
      },
    ),
    bootAttempts: count(
      2,
      10,
      'How often a boot is tried whose guest hangs, panics or breaks the protocol.',
    ),
    limits,
    timeouts,
    placement,
    admission,
    pool,
    memory,
    vmm,
  },
  { additionalProperties: false, description: "The daemon's configuration." },
);

type DeepReadonly<T> = T extends readonly (infer U)[]
  ? readonly DeepReadonly<U>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The effective configuration: checked, complete, every path absolute. */
export type Config = DeepReadonly<Required<Static<typeof ConfigSchema>>>;
