/** `sparkler invoke`: the result on stdout, everything else on stderr. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { InvocationResult } from '../../client/index.js';
import { SparklerError } from '../../errors.js';
import {
  action,
  argument,
  examples,
  option,
  parsePlaces,
  placementOption,
  strategyOption,
  type Strategy,
} from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatBytes, formatMs, parseTime } from '../units.js';

interface InvokeOptions {
  readonly vm?: string;
  readonly snapshot?: string;
  readonly strategy?: Strategy;
  readonly placement?: string;
  readonly event?: string;
  readonly eventFile?: string;
  readonly timeout?: string;
  readonly quiet?: boolean;
}

function usage(message: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', message, { field: 'event' });
}

/** The event as text; undefined where none was given. */
async function readEvent(
  io: Io,
  { event, eventFile }: InvokeOptions,
  dash: string | undefined,
): Promise<string | undefined> {
  if ([event, eventFile, dash].filter((source) => source !== undefined).length > 1) {
    throw usage('event: give only one of --event, --event-file and -.');
  }
  if (dash !== undefined && dash !== '-') {
    throw usage(`event: ${dash} is not understood; give JSON with --event, or - to read stdin.`);
  }
  if (dash === '-' || eventFile === '-') return text(io.stdin);
  if (eventFile === undefined) return event;
  try {
    return await readFile(eventFile, 'utf8');
  } catch (cause) {
    throw new SparklerError(
      'INVALID_REQUEST',
      `event-file: ${eventFile} cannot be read: ${(cause as Error).message}.`,
      { field: 'event-file' },
      cause,
    );
  }
}

const PHASES = [
  ['vmmUp', 'VMM up'],
  ['stateLoaded', 'state loaded'],
  ['memoryReady', 'memory ready'],
  ['resumed', 'resumed'],
  ['ready', 'ready'],
  ['firstResponse', 'answered'],
] as const;

/** What people want to know beside the result. */
function describe(result: InvocationResult): string {
  const phases = PHASES.flatMap(([name, words]) => {
    const ms = result.phases[name];
    return ms === undefined ? [] : [`${words} ${formatMs(ms)}`];
  });
  const { minor, major } = result.faults;
  const { restore } = result;
  return [
    `${result.startKind} start in ${result.vmId}${result.forked ? ' forked from the pool' : result.pooled ? ' of the pool' : ''}: ${formatMs(result.duration)}, ` +
      `of it ${formatMs(result.handlerMs)} in the handler`,
    ...(result.placement ? [describePlacement(result.placement)] : []),
    `from the request: ${phases.join(', ')}`,
    ...(restore ? [describeRestore(restore)] : []),
    `page faults: ${minor} minor, ${major} major; trace ${result.traceId}`,
  ].join('\n');
}

function describePlacement({ why, passed }: NonNullable<InvocationResult['placement']>): string {
  const before = passed.map(({ place, why: reason }) => `${place}: ${reason}`);
  return [`placed: ${why}`, ...before.map((text) => `not ${text}`)].join('; ');
}

/** Numbers that are zero say nothing: the strategy does not do that. */
function describeRestore(restore: NonNullable<InvocationResult['restore']>): string {
  const { populated_pages: populated, populate_ms: populateMs } = restore;
  const costs = [
    restore.recorded ? 'recorded' : '',
    restore.served_faults > 0 ? `${restore.served_faults} faults served` : '',
    restore.prefetched_pages > 0 ? `${restore.prefetched_pages} pages prefetched` : '',
    populated > 0 ? `${populated} pages populated in ${formatMs(populateMs)}` : '',
    `${formatBytes(restore.read_bytes)} read`,
  ].filter((text) => text !== '');
  return `restored by ${restore.strategy}: ${costs.join(', ')}; ${restore.why}`;
}

function indentedResult(result: string): string {
  try {
    return `${JSON.stringify(JSON.parse(result) as unknown, null, 2)}\n`;
  } catch {
    return `${result}\n`;
  }
}

async function invoke(
  context: Context,
  [name = '', dash]: readonly (string | undefined)[],
  options: InvokeOptions,
): Promise<void> {
  const { vm, snapshot, strategy, placement, timeout, quiet } = options;
  if (vm !== undefined && snapshot !== undefined) {
    throw usage('vm: give only one of --vm and --snapshot.');
  }
  if (placement !== undefined && (vm !== undefined || snapshot !== undefined)) {
    throw usage('placement: --vm and --snapshot say where it goes; leave --placement out.');
  }
  const params = await readEvent(context.io, options, dash);
  const result = await context.with((client) =>
    client.invoke({
      func_name: name,
      ...(vm === undefined ? {} : { vmId: vm }),
      ...(snapshot === undefined ? {} : { ssId: snapshot }),
      ...(strategy === undefined ? {} : { strategy }),
      ...(placement === undefined ? {} : { placement: parsePlaces(placement) }),
      ...(params === undefined ? {} : { params }),
      ...(timeout === undefined ? {} : { timeout_ms: parseTime(timeout, 'timeout') }),
    }),
  );
  if (!context.json && quiet !== true) {
    if (result.logs !== '') context.io.stderr.write(`${result.logs.trimEnd()}\n`);
    context.note(describe(result));
  }
  const tty = context.io.stdout.isTTY === true;
  context.print(result, () => (tty ? indentedResult(result.result) : `${result.result}\n`));
}

export function invokeCommand(program: Command, io: Io): void {
  const command = program
    .command('invoke')
    .summary('Invoke a function.')
    .description(
      'Invoke a function and print its result on stdout; its output and timing go to stderr.\n' +
        'Without --vm and --snapshot it goes to an idle instance, a new instance in a microVM that ' +
        'runs, the newest snapshot, or a microVM booted for it, as the function says. What was ' +
        'started for it stays.\n' +
        'The exit code is 3 when the function fails.',
    )
    .addArgument(argument('<name>', 'the function', 'functions'))
    .addArgument(argument('[-]', 'read the event from stdin'))
    .addOption(option('--vm <id>', 'invoke it warm, in this microVM', 'vms'))
    .addOption(
      option('--snapshot <id>', 'invoke it in a microVM restored from this snapshot', 'snapshots'),
    )
    .addOption(
      strategyOption("with --snapshot: how memory comes back; default the function's strategy"),
    )
    .addOption(placementOption("where it may go, instead of where the function's may"))
    .addOption(option('--event <json>', 'the event; default {}'))
    .addOption(option('--event-file <file>', 'a file with the event; - is stdin', 'files'))
    .addOption(option('--timeout <time>', "shorten the function's time limit: 500ms, 10s"))
    .addOption(option('-q, --quiet', 'print nothing but the result'))
    .action(action(io, invoke));
  examples(
    command,
    'sparkler invoke hello',
    `sparkler invoke hello --event '{"name":"Ada"}'`,
    'sparkler invoke json --event-file input.json --vm VM',
    'sparkler invoke hello --snapshot warm-hello --strategy reap',
    'sparkler invoke hello --placement cold',
    'echo 42 | sparkler invoke square - | jq .',
  );
}
