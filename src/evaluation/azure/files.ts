/** Which files of a folder are a day of the data set. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno, SparklerError } from '../../errors.js';

export interface DayFiles {
  /** 1 to 14. */
  readonly day: number;
  readonly invocations: string;
  readonly durations: string;
  readonly memory: string;
}

const PREFIXES = {
  invocations: 'invocations_per_function_md.anon.d',
  durations: 'function_durations_percentiles.anon.d',
  memory: 'app_memory_percentiles.anon.d',
} as const;

const nameOf = (what: keyof typeof PREFIXES, day: number): string =>
  `${PREFIXES[what]}${String(day).padStart(2, '0')}.csv`;

const dayOf = (name: string): number =>
  Number(/^invocations_per_function_md\.anon\.d(\d\d)\.csv$/.exec(name)?.[1] ?? 0);

function refuse(message: string, field: string, cause?: unknown): SparklerError {
  return new SparklerError('INVALID_REQUEST', message, { field }, cause);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR') || isErrno(error, 'EACCES')) {
      throw refuse(`${folder} is no folder that can be read.`, 'folder', error);
    }
    throw error;
  }
}

function chooseDay(folder: string, names: readonly string[], asked: number | undefined): number {
  if (asked !== undefined) return asked;
  const days = names
    .map(dayOf)
    .filter((day) => day > 0)
    .sort((a, b) => a - b);
  const [only] = days;
  if (only === undefined) {
    throw refuse(`${folder} holds no ${nameOf('invocations', 1)} or another day's.`, 'folder');
  }
  if (days.length > 1) {
    throw refuse(`${folder} holds the days ${days.join(', ')}: choose one with --day.`, '--day');
  }
  return only;
}

/**
 * Finds a day's three files.
 * @param asked the day; undefined: the only one that is there
 * @param memory a file to take for the day's memory, instead of the folder's
 * @throws SparklerError INVALID_REQUEST
 */
export async function findDay(folder: string, asked?: number, memory?: string): Promise<DayFiles> {
  const names = await namesIn(folder);
  const day = chooseDay(folder, names, asked);
  const pathOf = (what: keyof typeof PREFIXES): string => {
    const name = nameOf(what, day);
    if (names.includes(name)) return join(folder, name);
    const hint =
      what === 'memory'
        ? ' The public data set has none for days 13 and 14: --memory names the file of another day.'
        : '';
    throw refuse(`${join(folder, name)} does not exist.${hint}`, 'folder');
  };
  return {
    day,
    invocations: pathOf('invocations'),
    durations: pathOf('durations'),
    memory: memory ?? pathOf('memory'),
  };
}
