/** The pure parts of the gVisor yardstick: command lines, the bundle, what the kernel and runsc say. */

/** What runs an application's system calls in gVisor. */
export type GvisorPlatform = 'ptrace' | 'systrap';

/** Built into the checkpoint's image, where our guests mount the code drive. */
export const TASK_ROOT = '/var/task';
const BOOTSTRAP = '/opt/sparkler/runtimes/python3/bootstrap.pyc';
/** The user that our agent runs functions as. */
const FUNCTION_UID = 1000;
/** The first release (a date) whose options we know: pages in a file of their own, `--direct`. */
const OLDEST_RELEASE = 20240729;
const KIB_PER_MIB = 1024;

/**
 * The container's `config.json`: `hello` in our own Python bootstrap, with the flags, environment
 * and user that our agent gives it. Its root is an erofs image, so that the sandbox reads files by
 * itself: there is no gofer process to start. `emptyDir` stands in for the root folder that the
 * format demands.
 */
export function bundleConfig(imagePath: string, emptyDir: string): object {
  // The agent's socket is descriptor 3; a container gets but 0 to 2. Python then runs as is.
  const python = `exec /usr/bin/python3 -S -s -P ${BOOTSTRAP} 3<&0 4>&2 </dev/null >&2`;
  return {
    ociVersion: '1.0.2',
    annotations: {
      'dev.gvisor.spec.rootfs.source': imagePath,
      'dev.gvisor.spec.rootfs.type': 'erofs',
    },
    process: {
      terminal: false,
      user: { uid: FUNCTION_UID, gid: FUNCTION_UID },
      args: ['/bin/sh', '-c', python],
      env: [
        ...['_HANDLER=app.handler', `LAMBDA_TASK_ROOT=${TASK_ROOT}`, 'AWS_EXECUTION_ENV=Sparkler'],
        ...['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp', 'TMPDIR=/tmp'],
        ...['LANG=C.UTF-8', 'TZ=:UTC'],
      ],
      cwd: TASK_ROOT,
      capabilities: {},
      noNewPrivileges: true,
    },
    root: { path: emptyDir, readonly: true },
    hostname: 'sparkler',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
  };
}

/** Where a yardstick's files are. */
export interface GvisorPaths {
  readonly state: string;
  readonly log: string;
  readonly bundle: string;
  readonly checkpoint: string;
}

/** The command lines for one container; docs/benchmarks.md says what each option was worth. */
export function runscCommands(paths: GvisorPaths, platform: GvisorPlatform, id: string) {
  const runsc = [
    ...['runsc', '--root', paths.state, '--log', paths.log, `--platform=${platform}`],
    ...['--network=none', '--ignore-cgroups', '--overlay2=none'],
  ];
  const bundle = ['--bundle', paths.bundle];
  const image = ['--image-path', paths.checkpoint];
  return {
    run: [...runsc, 'run', '--detach', ...bundle, id],
    checkpoint: [...runsc, 'checkpoint', ...image, '--compression=none', id],
    create: [...runsc, 'create', ...bundle, id],
    restore: [...runsc, 'restore', '--detach', ...image, ...bundle, id],
    delete: [...runsc, 'delete', '--force', id],
  };
}

/** The version in what `runsc --version` prints; undefined when it is something else. */
export function parseRunscVersion(text: string): string | undefined {
  return /^runsc version (\S+)$/m.exec(text)?.[1];
}

/** Whether a version (`0.0~20240729.0`, `release-20240729.0`) knows the options that we use. */
export function isKnownRelease(version: string): boolean {
  const date = /(?:^|\D)(\d{8})(?:\D|$)/.exec(version)?.[1];
  return date !== undefined && Number(date) >= OLDEST_RELEASE;
}

export interface MemoryUse {
  /** Pages that are mapped now, shared ones included, MiB. */
  readonly residentMiB: number;
  /**
   * Of those, what is no page of a file, each page once, MiB: what a further sandbox costs. Pages
   * of the program are left out, because all sandboxes share them.
   */
  readonly ownMiB: number;
}

/** Adds up the text of several processes' `smaps_rollup`. */
export function addUpMemory(rollups: readonly string[]): MemoryUse {
  const kib = (text: string, name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0);
  const sum = (...names: string[]): number =>
    rollups.flatMap((text) => names.map((name) => kib(text, name))).reduce((a, b) => a + b, 0) /
    KIB_PER_MIB;
  return { residentMiB: sum('Rss'), ownMiB: sum('Pss_Anon', 'Pss_Shmem') };
}

/** The processes below `ancestor`, from the text of each process' `/proc/PID/stat`. */
export function descendants(stats: readonly string[], ancestor: number): number[] {
  const parents = stats.map((text) => {
    // The name between them may hold anything, also spaces and brackets.
    const [parent] = text.slice(text.lastIndexOf(')') + 4).split(' ');
    return { pid: Number.parseInt(text, 10), parent: Number(parent) };
  });
  const below = (pid: number): number[] =>
    parents
      .filter(({ parent }) => parent === pid)
      .flatMap((child) => [child.pid, ...below(child.pid)]);
  return below(ancestor);
}
