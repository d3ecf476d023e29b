/** `sparkler snapshot`: take, list, show, remove, cache, dig; the rest is in working-set.ts. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Snapshot, SnapshotPatch } from '../../client/index.js';
import { action, argument, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatAge, formatBytes, formatMs } from '../units.js';
import { workingSetCommands } from './working-set.js';

const HEAD = ['snapshot', 'function', 'memory', 'on disk', 'vm', 'taken'];

function row(snapshot: Snapshot): string[] {
  return [
    snapshot.ssId,
    snapshot.func_name,
    `${snapshot.mem_size} MiB`,
    formatBytes(snapshot.disk_bytes),
    snapshot.vmId,
    formatAge(snapshot.created_at, Date.now()),
  ];
}

function describe(context: Context, snapshot: Snapshot): string {
  return context.fields([
    ['snapshot', snapshot.ssId],
    ['function', snapshot.func_name],
    ['taken of', snapshot.vmId],
    ['taken', snapshot.created_at],
    ['vCPUs', String(snapshot.vcpu)],
    ['memory', `${snapshot.mem_size} MiB`],
    ['on disk', formatBytes(snapshot.disk_bytes)],
    ['memory file', snapshot.mem_file_path],
    ['state file', snapshot.snapshot_path],
    ['VMM', snapshot.version],
    ['image', snapshot.image],
    ['kernel', snapshot.kernel],
    ['code id', snapshot.code_sha256],
  ]);
}

interface TakeOptions {
  readonly id?: string;
  readonly stateFile?: string;
  readonly memoryFile?: string;
}

async function take(context: Context, vmId: string, options: TakeOptions): Promise<void> {
  const { id, stateFile, memoryFile } = options;
  const taken = await context.with((client) =>
    client.snapshots.take({
      vmId,
      ...(id === undefined ? {} : { ssId: id }),
      ...(stateFile === undefined ? {} : { snapshot_path: resolve(stateFile) }),
      ...(memoryFile === undefined ? {} : { mem_file_path: resolve(memoryFile) }),
    }),
  );
  if (!context.json) {
    const [total, paused] = [formatMs(taken.duration_ms), formatMs(taken.paused_ms)];
    const size = formatBytes(taken.disk_bytes);
    context.note(`taken in ${total} (the guest stood still for ${paused}), ${size} on disk`);
  }
  context.print(taken, () => `${taken.ssId}\n`);
}

async function list(context: Context): Promise<void> {
  const snapshots = await context.with((client) => client.snapshots.list());
  context.print(snapshots, () =>
    snapshots.length === 0
      ? 'No snapshots yet; take one with `sparkler snapshot take VM`.\n'
      : context.table(HEAD, snapshots.map(row)),
  );
}

async function show(context: Context, ssId: string): Promise<void> {
  const snapshot = await context.with((client) => client.snapshots.get(ssId));
  context.print(snapshot, () => describe(context, snapshot));
}

async function remove(context: Context, ids: readonly string[]): Promise<void> {
  await context.with(async (client) => {
    for (const id of ids) await client.snapshots.delete(id);
  });
  const removed = ids.map((id) => ({ kind: 'snapshot', id }));
  context.print({ removed }, () => ids.map((id) => `removed snapshot ${id}\n`).join(''));
}

async function patch(context: Context, ssId: string, change: SnapshotPatch): Promise<void> {
  const snapshot = await context.with(async (client) => {
    await client.snapshots.patch(ssId, change);
    return client.snapshots.get(ssId);
  });
  context.print(snapshot, () => `${ssId}: done, ${formatBytes(snapshot.disk_bytes)} on disk\n`);
}

const ss = () => argument('<id>', 'the snapshot', 'snapshots');

function takeCommand(group: Command, io: Io): void {
  const command = group
    .command('take')
    .description('Take a snapshot of a microVM, which goes on, and print its id.')
    .addArgument(argument('<vm>', 'the microVM', 'vms'))
    .addOption(option('--id <id>', 'id of the snapshot; default a new one'))
    .addOption(option('--state-file <file>', 'where the device state goes', 'files'))
    .addOption(option('--memory-file <file>', 'where guest memory goes', 'files'))
    .action(action(io, (context, [vm = ''], options: TakeOptions) => take(context, vm, options)));
  examples(command, 'sparkler snapshot take VM', 'sparkler snapshot take VM --id warm-hello');
}

function cacheCommand(group: Command, io: Io): void {
  const cache = group
    .command('cache')
    .description("Load a snapshot's memory file into the page cache, or drop it from there.");
  cache
    .command('load')
    .description('Read the memory file into the page cache.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => patch(context, id, { load_cache: true })));
  cache
    .command('drop')
    .description('Drop the memory file from the page cache.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => patch(context, id, { drop_cache: true })));
}

export function snapshotCommand(program: Command, io: Io): void {
  const group = program
    .command('snapshot')
    .description('Take, list, show, copy, verify and remove snapshots.');
  takeCommand(group, io);
  group.command('list').description('List the snapshots.').action(action(io, list));
  group
    .command('show')
    .description('Show one snapshot.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => show(context, id)));
  group
    .command('rm')
    .description('Remove snapshots and their files.')
    .addArgument(argument('<id...>', 'the snapshots', 'snapshots'))
    .action(action(io, remove));
  cacheCommand(group, io);
  group
    .command('dig')
    .description('Make zero blocks of the memory file holes, so that it takes less disk.')
    .addArgument(ss())
    .action(action(io, (context, [id = '']) => patch(context, id, { dig_hole: true })));
  workingSetCommands(group, io);
  examples(
    group,
    'sparkler snapshot take VM --id warm-hello',
    'sparkler snapshot list',
    'sparkler snapshot cache drop warm-hello',
    'sparkler snapshot working-set warm-hello',
    'sparkler snapshot verify warm-hello',
    'sparkler invoke hello --snapshot warm-hello',
  );
}
