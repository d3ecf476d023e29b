/** `sparkler snapshot verify`, `working-set`, `picture`, `forget`, `copy`. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Verification, WorkingSet, WorkingSetStrategy } from '../../client/index.js';
import { SparklerError } from '../../errors.js';
import { action, argument, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatAge, formatBytes, formatMs, parseCount } from '../units.js';

const PAGE_BYTES = 4096;
const formatPages = (pages: number): string => `${pages} (${formatBytes(pages * PAGE_BYTES)})`;

/** Digits of an event's SHA-256 that are shown. */
const SHOWN_DIGITS = 12;

function describeRecordings(context: Context, { recordings }: WorkingSet): string {
  if (recordings.length === 0) {
    return 'nothing is recorded; invoke with --strategy reap, faasnap or populate\n';
  }
  const head = ['recording', 'by', 'pages', 'layers', 'event', 'bytes', 'recorded'];
  const rows = recordings.map((recording) => [
    recording.name,
    recording.kind === 'userfault' ? 'page faults' : 'page cache',
    formatPages(recording.pages),
    recording.layers === 0 ? '-' : String(recording.layers),
    recording.event_sha256.slice(0, SHOWN_DIGITS),
    String(recording.event_bytes),
    formatAge(recording.recorded_at, Date.now()),
  ]);
  return context.table(head, rows);
}

function describeFiles(context: Context, { files }: WorkingSet): string {
  if (files.length === 0) return '';
  const head = ['file for', 'regions', 'pages', 'size', 'cached'];
  const rows = files.map((file) => [
    file.strategy,
    String(file.regions),
    formatPages(file.pages),
    formatBytes(file.bytes),
    file.cached ? 'yes' : 'no',
  ]);
  return `\n${context.table(head, rows)}`;
}

function describeSimilarities(context: Context, { similarities }: WorkingSet): string {
  if (similarities.length === 0) return '';
  const rows = similarities.map(({ one, other, jaccard }) => [one, other, jaccard.toFixed(3)]);
  return `\n${context.table(['recording', 'and', 'alike'], rows)}`;
}

function describeWorkingSet(context: Context, set: WorkingSet): string {
  const { common, written_pages: written } = set;
  const facts = context.fields([
    ['memory', `${formatPages(set.pages)} pages`],
    ['not zero', `${formatPages(set.nonzero_pages)} pages`],
    ['written', written === undefined ? undefined : `${formatPages(written)} pages`],
    [
      'in common',
      common && `${formatPages(common.pages)} pages in ${common.at_least} of ${common.of} or more`,
    ],
  ]);
  return [
    facts,
    `\n${describeRecordings(context, set)}`,
    describeFiles(context, set),
    describeSimilarities(context, set),
  ].join('');
}

async function show(
  context: Context,
  id: string,
  { atLeast }: { readonly atLeast?: string },
): Promise<void> {
  const count = atLeast === undefined ? undefined : parseCount(atLeast, 'at-least');
  const set = await context.with((client) => client.workingSets.get(id, count));
  context.print(set, () => describeWorkingSet(context, set));
}

interface PictureOptions {
  readonly output?: string;
  readonly strategy?: WorkingSetStrategy;
}

async function picture(context: Context, id: string, options: PictureOptions): Promise<void> {
  const svg = await context.with((client) => client.workingSets.picture(id, options.strategy));
  if (options.output === undefined) {
    context.print({ svg }, () => svg);
    return;
  }
  const path = resolve(options.output);
  try {
    await writeFile(path, svg);
  } catch (cause) {
    const message = `output: ${path} cannot be written: ${(cause as Error).message}.`;
    throw new SparklerError('INVALID_REQUEST', message, { field: 'output' }, cause);
  }
  context.print({ path }, () => `${path}\n`);
}

function describeVerified(id: string, verified: Verification): string {
  const { files, read_bytes, duration_ms, dropped } = verified;
  const read = `${files.length} files, ${formatBytes(read_bytes)} in ${formatMs(duration_ms)}`;
  return [`${id} is whole: ${read}\n`, ...dropped.map((what) => `  ${what}\n`)].join('');
}

async function verify(context: Context, id: string): Promise<void> {
  const verified = await context.with((client) => client.snapshots.verify(id));
  context.print(verified, () => describeVerified(id, verified));
}

async function forget(context: Context, id: string): Promise<void> {
  await context.with((client) => client.workingSets.forget(id));
  context.print({ forgotten: id }, () => `forgot what was recorded of ${id}\n`);
}

interface CopyOptions {
  readonly id?: string;
  readonly memoryFile?: string;
}

async function copy(context: Context, from: string, options: CopyOptions): Promise<void> {
  const { id, memoryFile } = options;
  const made = await context.with((client) =>
    client.snapshots.copy({
      from_snapshot: from,
      ...(id === undefined ? {} : { ssId: id }),
      ...(memoryFile === undefined ? {} : { mem_file_path: resolve(memoryFile) }),
    }),
  );
  context.print(made, () => `${made.ssId}\n`);
}

const ss = () => argument('<id>', 'the snapshot', 'snapshots');

/** Adds the commands to `sparkler snapshot`. */
export function workingSetCommands(group: Command, io: Io): void {
  group
    .command('copy')
    .description('Copy a snapshot with all that was recorded of it, and print its id.')
    .addArgument(ss())
    .addOption(option('--id <id>', 'id of the copy; default a new one'))
    .addOption(option('--memory-file <file>', "where the copy's memory goes", 'files'))
    .action(action(io, (context, [id = ''], options: CopyOptions) => copy(context, id, options)));
  group
    .command('verify')
    .description('Read a snapshot in full and say whether it is whole.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => verify(context, id)));
  const shown = group
    .command('working-set')
    .description('Show what was recorded of a snapshot, and what restores make of it.')
    .addArgument(ss())
    .addOption(option('--at-least <count>', 'count the pages in at least so many recordings'))
    .action(
      action(io, (context, [id = ''], options: { atLeast?: string }) => show(context, id, options)),
    );
  examples(shown, 'sparkler snapshot working-set warm-hello --at-least 2');
  const drawn = group
    .command('picture')
    .description("Draw a snapshot's memory as SVG: zero, resident, touched, prefetched pages.")
    .addArgument(ss())
    .addOption(option('--output <file>', 'write it there; default stdout', 'files'))
    .addOption(
      option('--strategy <name>', 'whose file counts as prefetched; default the last one').choices([
        'reap',
        'faasnap',
        'populate',
      ]),
    )
    .action(
      action(io, (context, [id = ''], options: PictureOptions) => picture(context, id, options)),
    );
  examples(drawn, 'sparkler snapshot picture warm-hello --output warm-hello.svg');
  group
    .command('forget')
    .description('Forget all recordings of a snapshot and what was made of them.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => forget(context, id)));
}
