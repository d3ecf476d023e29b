/** `sparkler rm`: functions, microVMs and snapshots, by kind or by id alone. */
import type { Command } from 'commander';
import type { SparklerClient } from '../../client/index.js';
import { SparklerError } from '../../errors.js';
import { action, argument, examples } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';

type Kind = 'function' | 'vm' | 'snapshot';

interface Target {
  readonly kind: Kind;
  readonly id: string;
}

const KINDS: readonly Kind[] = ['function', 'vm', 'snapshot'];
const isKind = (word: string | undefined): word is Kind => KINDS.includes(word as Kind);

function unclear(message: string): SparklerError {
  return new SparklerError('INVALID_REQUEST', message, { field: 'id' });
}

/** Finds what each id names. Nothing is removed before all are known. */
async function find(client: SparklerClient, ids: readonly string[]): Promise<Target[]> {
  const [functions, vms, snapshots] = await Promise.all([
    client.functions.list(),
    client.vms.list(),
    client.snapshots.list(),
  ]);
  const all: Target[] = [
    ...functions.map(({ func_name: id }): Target => ({ kind: 'function', id })),
    ...vms.map(({ vmId: id }): Target => ({ kind: 'vm', id })),
    ...snapshots.map(({ ssId: id }): Target => ({ kind: 'snapshot', id })),
  ];
  return ids.map((id) => {
    const matches = all.filter((target) => target.id === id);
    const [match, ...others] = matches;
    if (!match) throw unclear(`${id} is neither a function nor a microVM nor a snapshot.`);
    if (others.length === 0) return match;
    const kinds = matches.map(({ kind }) => kind).join(' and a ');
    throw unclear(`${id} is a ${kinds}: say which, as in \`sparkler rm ${match.kind} ${id}\`.`);
  });
}

async function removeOne(client: SparklerClient, { kind, id }: Target): Promise<void> {
  if (kind === 'function') await client.functions.delete(id);
  else if (kind === 'vm') await client.vms.delete(id);
  else await client.snapshots.delete(id);
}

async function remove(context: Context, words: readonly string[]): Promise<void> {
  const [kind, ...ids] = words;
  await context.with(async (client) => {
    const targets =
      isKind(kind) && ids.length > 0
        ? ids.map((id): Target => ({ kind, id }))
        : await find(client, words);
    for (const target of targets) {
      await removeOne(client, target);
      if (!context.json) context.print(undefined, () => `removed ${target.kind} ${target.id}\n`);
    }
    if (context.json) context.print({ removed: targets }, () => '');
  });
}

export function rmCommand(program: Command, io: Io): void {
  const command = program
    .command('rm')
    .summary('Remove functions, microVMs and snapshots.')
    .description(
      'Remove functions, microVMs and snapshots: `rm function|vm|snapshot ID…`, or `rm ID…`, ' +
        'which finds out what each is. A function takes its code and snapshots with it; it must ' +
        'not have running microVMs.',
    )
    .usage('[function|vm|snapshot] <id...>')
    .addArgument(argument('<id...>', 'what to remove', 'ids'))
    .action(action(io, remove));
  examples(command, 'sparkler rm vm VM', 'sparkler rm snapshot old older', 'sparkler rm hello');
}
