/** `sparkler daemon`: runs until it is told to stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import type { Config } from '../../config/index.js';
import { SparklerError } from '../../errors.js';
import type { Daemon } from '../../main.js';
import { action, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatMs, parseCount } from '../units.js';
import { describeReclaimed } from './info.js';

interface DaemonOptions {
  readonly host?: string;
  readonly port?: string;
  readonly config?: string;
  readonly data?: string;
  readonly accel?: string;
  readonly logLevel?: string;
  readonly printConfig?: boolean;
}

async function configOf(io: Io, options: DaemonOptions): Promise<Config> {
  const { loadConfig } = await import('../../config/index.js');
  const { host, port, data: dataDir, accel, logLevel } = options;
  return loadConfig({
    file: options.config,
    env: io.env,
    flags: {
      host,
      port: port === undefined ? undefined : parseCount(port, 'port'),
      dataDir,
      accel,
      logLevel,
    },
  });
}

/**
 * Keeps the heap's young part at its first size. It would grow while the daemon starts and never
 * shrink: 30 MiB that a daemon at rest would hold for nothing.
 */
const SMALL_HEAP = '--semi-space-growth-factor=1';

async function start(config: Config): Promise<Daemon> {
  const { startDaemon } = await import('../../main.js');
  return startDaemon(config, { isOwnProcess: true });
}

function greet(context: Context, daemon: Daemon): void {
  const info = daemon.platform.info();
  context.announce({ url: daemon.url, ...info }, () =>
    [
      `Sparkler ${info.version} listens on ${daemon.url} (API to try: ${daemon.url}/docs)`,
      `accelerator: ${info.accelerator} (${info.acceleratorReason})`,
      `VMM: ${info.vmm}; data folder: ${info.dataDir}`,
      `ended what an earlier daemon left: ${describeReclaimed(info.reclaimed)}`,
      ...info.warnings.map((warning) => `warning: ${warning}`),
      '',
    ].join('\n'),
  );
}

async function untilInterrupted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}

async function stop(context: Context, daemon: Daemon, limitMs: number): Promise<void> {
  context.note('stopping');
  const timer = new AbortController();
  const late = sleep(limitMs, 'late' as const, { signal: timer.signal });
  late.catch(() => undefined);
  const outcome = await Promise.race([daemon.close().then(() => 'closed' as const), late]);
  timer.abort();
  if (outcome === 'closed') return;
  throw new SparklerError(
    'INTERNAL',
    `The daemon did not stop within ${formatMs(limitMs)}; the next one ends what it leaves.`,
  );
}

async function run(context: Context, options: DaemonOptions): Promise<void> {
  const { io } = context;
  setFlagsFromString(SMALL_HEAP);
  const config = await configOf(io, options);
  if (options.printConfig === true) {
    io.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
    return;
  }
  const { isLoopback } = await import('../../config/index.js');
  if (!isLoopback(config.host)) {
    context.note(
      `Warning: listening on ${config.host}. There is no authentication: whoever reaches this ` +
        'address may run code in its microVMs and delete what it keeps.',
    );
  }
  const daemon = await start(config);
  greet(context, daemon);
  await untilInterrupted(io.interrupted);
  await stop(context, daemon, config.timeouts.shutdownMs);
}

export function daemonCommand(program: Command, io: Io): void {
  const command = program
    .command('daemon')
    .summary('Run the daemon.')
    .description(
      'Run the daemon until Ctrl-C or SIGTERM, then end its microVMs and exit.\n' +
        'It ends what an earlier daemon on the same data folder left behind. Its log goes to ' +
        'stderr as JSON lines. docs/configuration.md lists all that can be configured.',
    )
    .addOption(option('--host <address>', 'address to listen on; default 127.0.0.1'))
    .addOption(option('--port <port>', 'port to listen on; 0: any free one; default 8080'))
    .addOption(option('--config <file>', 'configuration file, JSON', 'files'))
    .addOption(option('--data <dir>', 'data folder; default /var/lib/sparkler', 'files'))
    .addOption(
      option('--accel <accelerator>', 'how guests run; default auto').choices([
        'auto',
        'kvm',
        'tcg',
      ]),
    )
    .addOption(option('--log-level <level>', 'what to log: error, warn, info, debug'))
    .addOption(option('--print-config', 'print the effective configuration as JSON and exit'))
    .action(action(io, (context, _args, options: DaemonOptions) => run(context, options)));
  examples(
    command,
    'sparkler daemon',
    'sparkler daemon --port 9090 --data ./data --accel tcg',
    'sparkler daemon --config sparkler.json --print-config',
  );
}
