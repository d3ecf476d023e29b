/** What Tab offers at the end of a half-written command line. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argument, Command, Option } from 'commander';
import type { SparklerClient } from '../client/index.js';
import { type Candidates, candidatesOf } from './command.js';

/** The daemon gets so long to list names, ms; then Tab offers none. */
const NAMES_MS = 1_000;

/** One candidate and what it is. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

type Names = (kind: Candidates) => Promise<readonly string[]>;

/** Names from the daemon; none when it does not answer soon. */
export function namesFrom(client: SparklerClient): Names {
  const lists: Readonly<Record<string, () => Promise<string[]>>> = {
    functions: async () => (await client.functions.list()).map((fn) => fn.func_name),
    vms: async () => (await client.vms.list()).map((vm) => vm.vmId),
    snapshots: async () => (await client.snapshots.list()).map((snapshot) => snapshot.ssId),
  };
  const kindsOf = (kind: Candidates): string[] =>
    kind === 'ids' ? ['functions', 'vms', 'snapshots'] : [kind];
  return async (kind) => {
    const timer = new AbortController();
    const none = sleep(NAMES_MS, [] as string[], { signal: timer.signal }).catch(() => []);
    const all = Promise.all(kindsOf(kind).map(async (one) => (await lists[one]?.()) ?? []));
    const names = await Promise.race([all.then((found) => found.flat()).catch(() => []), none]);
    timer.abort();
    return names;
  };
}

/** Where the words before the cursor lead: a command, the value of an option, an argument. */
interface Place {
  readonly command: Command;
  readonly expecting?: Option;
  /** How many arguments the command has been given. */
  readonly given: number;
}

function optionsOf(command: Command): Option[] {
  const own = [...command.createHelp().visibleOptions(command)];
  for (let parent = command.parent; parent; parent = parent.parent) own.push(...parent.options);
  return own;
}

function takesValue(found: Option | undefined): found is Option {
  return found !== undefined && (found.required || found.optional);
}

function walk(program: Command, words: readonly string[]): Place {
  let place: Place = { command: program, given: 0 };
  for (const word of words) {
    const { command, given, expecting } = place;
    const child = command.commands.find(
      (candidate) => candidate.name() === word || candidate.aliases().includes(word),
    );
    if (expecting) place = { command, given };
    else if (word.startsWith('-') && word !== '-') {
      const named = optionsOf(command).find(({ long, short }) => [long, short].includes(word));
      place = { command, given, ...(takesValue(named) ? { expecting: named } : {}) };
    } else if (child && given === 0) place = { command: child, given: 0 };
    else place = { command, given: given + 1 };
  }
  return place;
}

async function valuesOf(what: Argument | Option, names: Names): Promise<Candidate[]> {
  const kind = candidatesOf(what);
  if (what.argChoices) return what.argChoices.map((value) => ({ value, description: '' }));
  if (kind === undefined || kind === 'files') return [];
  return (await names(kind)).map((value) => ({ value, description: '' }));
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const { registeredArguments: all } = command;
  const last = all.at(-1);
  return all[index] ?? (last?.variadic ? last : undefined);
}

/**
 * What could stand for the last of `words` (which may be empty), `words` being all after
 * `sparkler`. Nothing: the shell offers files.
 */
export async function complete(
  program: Command,
  words: readonly string[],
  names: Names,
): Promise<Candidate[]> {
  const partial = words.at(-1) ?? '';
  const { command, expecting, given } = walk(program, words.slice(0, -1));
  let all: Candidate[];
  if (expecting) {
    all = await valuesOf(expecting, names);
  } else if (partial.startsWith('-')) {
    all = optionsOf(command).map(({ long, short, description }) => ({
      value: long ?? short ?? '',
      description,
    }));
  } else {
    const children = given === 0 ? command.createHelp().visibleCommands(command) : [];
    const own = argumentAt(command, given);
    all = [
      ...children.map((child) => ({
        value: child.name(),
        description: child.summary() || child.description(),
      })),
      ...(own ? await valuesOf(own, names) : []),
    ];
  }
  return all.filter(({ value }) => value.startsWith(partial));
}
