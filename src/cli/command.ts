/** Helpers to declare commands. */
import { Argument, type Command, Option } from 'commander';
import type { Invocation } from '../client/index.js';
import { SparklerError } from '../errors.js';
import { Context } from './context.js';
import type { Io } from './io.js';

/** What Tab offers: names from the daemon, or the shell's own files. */
export type Candidates = 'functions' | 'vms' | 'snapshots' | 'files' | 'ids';

const CANDIDATES = new WeakMap<Argument | Option, Candidates>();

export const candidatesOf = (what: Argument | Option): Candidates | undefined =>
  CANDIDATES.get(what);

/** An argument, `<name>` required or `[name]` optional, and what Tab offers for it. */
export function argument(flags: string, description: string, candidates?: Candidates): Argument {
  const made = new Argument(flags, description);
  if (candidates) CANDIDATES.set(made, candidates);
  return made;
}

/** An option and what Tab offers for its value. */
export function option(flags: string, description: string, candidates?: Candidates): Option {
  const made = new Option(flags, description);
  if (candidates) CANDIDATES.set(made, candidates);
  return made;
}

/** The examples at the end of a command's help. */
export function examples(command: Command, ...lines: string[]): Command {
  return command.addHelpText(
    'after',
    `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`,
  );
}

/**
 * Adapts an action: it gets a context, the arguments, and the command's own options, whose type
 * it declares itself.
 */
export function action(
  io: Io,
  run: (context: Context, args: readonly string[], options: never) => Promise<void> | void,
): (this: Command) => Promise<void> {
  return async function (this: Command) {
    await run(new Context(io, this), this.processedArgs.flat() as string[], this.opts<never>());
  };
}

/** A restore strategy. */
export type Strategy = NonNullable<Invocation['strategy']>;

/** All of them; the compiler knows when the API gets another one. */
const STRATEGIES = Object.keys({
  vanilla: true,
  cached: true,
  reap: true,
  faasnap: true,
  populate: true,
  auto: true,
} satisfies Record<Strategy, true>);

/** An option that takes one of them. */
export function strategyOption(description: string): Option {
  return option('--strategy <name>', description).choices(STRATEGIES);
}

/** Where an instance may come from. */
type Place = NonNullable<Invocation['placement']>[number];

const PLACES = Object.keys({
  warm: true,
  vertical: true,
  snapshot: true,
  cold: true,
} satisfies Record<Place, true>) as Place[];

/** An option that takes some of them, in order. */
export function placementOption(description: string): Option {
  return option('--placement <places>', `${description}: some of ${PLACES.join(',')}`);
}

/** @throws SparklerError INVALID_REQUEST */
export function parsePlaces(text: string): Place[] {
  const names = text.split(',').map((name) => name.trim());
  const places = names.flatMap((name) => PLACES.filter((place) => place === name));
  if (places.length === names.length && new Set(places).size === places.length) return places;
  throw new SparklerError(
    'INVALID_REQUEST',
    `placement: ${text} is not understood; name some of ${PLACES.join(',')}, each once.`,
    { field: 'placement' },
  );
}
