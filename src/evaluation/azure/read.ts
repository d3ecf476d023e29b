/** Reads a day's three files. */
import { badTrace, type CsvRow, csvRows } from './csv.js';
import type { DayFiles } from './files.js';
import { parseCountField, parseNumberField } from './numbers.js';
import {
  addCounts,
  type Application,
  type Day,
  type FunctionTrace,
  MINUTES,
  packCounts,
  type Repairs,
} from './trace.js';

export interface ReadOptions {
  /**
   * Mend what the published files are known to have: several rows of one function, negative
   * averages. Otherwise that is an error.
   */
  readonly repair: boolean;
  readonly signal: AbortSignal;
}

const FUNCTION_KEY = ['HashOwner', 'HashApp', 'HashFunction'];
const MINUTE_NAMES = Array.from({ length: MINUTES }, (_, i) => String(i + 1));

const INVOCATIONS = [...FUNCTION_KEY, 'Trigger', ...MINUTE_NAMES];
const DURATIONS = [
  ...[...FUNCTION_KEY, 'Average', 'Count', 'Minimum', 'Maximum'],
  ...[0, 1, 25, 50, 75, 99, 100].map((percent) => `percentile_Average_${percent}`),
];
const MEMORY = [
  ...['HashOwner', 'HashApp', 'SampleCount', 'AverageAllocatedMb'],
  ...[1, 5, 25, 50, 75, 95, 99, 100].map((percent) => `AverageAllocatedMb_pct${percent}`),
];

/** Where the fields stand that are read. */
const AT = {
  average: DURATIONS.indexOf('Average'),
  count: DURATIONS.indexOf('Count'),
  median: DURATIONS.indexOf('percentile_Average_50'),
  samples: MEMORY.indexOf('SampleCount'),
  memory: MEMORY.indexOf('AverageAllocatedMb'),
  firstMinute: INVOCATIONS.indexOf('1'),
};

const REPAIR_HINT =
  'The published files have such rows: --repair mends them, and the report counts them.';

/** An average and what it was made of. */
interface Average {
  value: number;
  weight: number;
}

function keyOf({ fields, line }: CsvRow, length: number, file: string): string {
  const parts = fields.slice(0, length);
  const empty = parts.indexOf('');
  if (empty >= 0) throw badTrace(file, line, `column ${empty + 1}, a hash, is empty.`);
  return parts.join(',');
}

function twice(file: string, line: number, what: string): Error {
  return badTrace(file, line, `this ${what} has had a row before. ${REPAIR_HINT}`);
}

/** Adds another row of the same thing, by its weight. */
function merge(into: Average, { value, weight }: Average): void {
  const sum = into.weight + weight;
  if (sum > 0) into.value = (into.value * into.weight + value * weight) / sum;
  into.weight = sum;
}

class DayReader {
  readonly repairs: Repairs = {
    ...{ invocations: 0, durations: 0, memory: 0, negativeDurations: 0, negativeMemory: 0 },
  };

  constructor(
    private readonly files: DayFiles,
    private readonly options: ReadOptions,
  ) {}

  /** Average durations by function, ms. */
  async durations(): Promise<Map<string, Average>> {
    const file = this.files.durations;
    const averages = new Map<string, Average>();
    for await (const row of csvRows(file, DURATIONS, this.options.signal)) {
      const { fields, line } = row;
      const key = keyOf(row, FUNCTION_KEY.length, file);
      const weight = parseCountField(fields[AT.count] ?? '', file, line, 'Count');
      let value = parseNumberField(fields[AT.average] ?? '', file, line, 'Average');
      if (value < 0) {
        this.mend('negativeDurations', () =>
          badTrace(file, line, negative('Average', fields[AT.average])),
        );
        value = parseNumberField(fields[AT.median] ?? '', file, line, 'percentile_Average_50');
        if (value < 0) continue;
      }
      this.put(averages, key, { value, weight }, 'durations', () => twice(file, line, 'function'));
    }
    return averages;
  }

  /** Average memory by application, MiB. */
  async memory(): Promise<Map<string, Average>> {
    const file = this.files.memory;
    const averages = new Map<string, Average>();
    for await (const row of csvRows(file, MEMORY, this.options.signal)) {
      const { fields, line } = row;
      const key = keyOf(row, FUNCTION_KEY.length - 1, file);
      const weight = parseCountField(fields[AT.samples] ?? '', file, line, 'SampleCount');
      const value = parseNumberField(fields[AT.memory] ?? '', file, line, 'AverageAllocatedMb');
      if (value < 0) {
        this.mend('negativeMemory', () =>
          badTrace(file, line, negative('AverageAllocatedMb', fields[AT.memory])),
        );
        continue;
      }
      this.put(averages, key, { value, weight }, 'memory', () => twice(file, line, 'application'));
    }
    return averages;
  }

  async applications(
    durations: ReadonlyMap<string, Average>,
    memory: ReadonlyMap<string, Average>,
  ): Promise<Application[]> {
    const file = this.files.invocations;
    const applications = new Map<string, Application>();
    const functions = new Map<string, FunctionTrace>();
    const counts = new Float64Array(MINUTES);
    for await (const row of csvRows(file, INVOCATIONS, this.options.signal)) {
      const { fields, line } = row;
      const key = keyOf(row, FUNCTION_KEY.length, file);
      for (let minute = 0; minute < MINUTES; minute++) {
        const text = fields[AT.firstMinute + minute] ?? '';
        counts[minute] =
          text === '0' ? 0 : parseCountField(text, file, line, `minute ${minute + 1}`);
      }
      const packed = packCounts(counts);
      const known = functions.get(key);
      if (known) {
        this.mend('invocations', () => twice(file, line, 'function'));
        known.counts = addCounts(known.counts, packed);
        continue;
      }
      const made = { counts: packed, averageMs: durations.get(key)?.value };
      functions.set(key, made);
      const owner = key.slice(0, key.lastIndexOf(','));
      const application = applications.get(owner);
      if (application) application.functions.push(made);
      else {
        applications.set(owner, { memoryMiB: memory.get(owner)?.value, functions: [made] });
      }
    }
    return [...applications.values()];
  }

  private put(
    averages: Map<string, Average>,
    key: string,
    average: Average,
    what: 'durations' | 'memory',
    error: () => Error,
  ): void {
    const known = averages.get(key);
    if (!known) averages.set(key, average);
    else {
      this.mend(what, error);
      merge(known, average);
    }
  }

  /** Counts a repair, if it is asked for. @throws what `error` makes, if it is not */
  private mend(what: keyof Repairs, error: () => Error): void {
    if (!this.options.repair) throw error();
    this.repairs[what]++;
  }
}

const negative = (column: string, value = ''): string =>
  `${column} is ${value}: it cannot be negative. ${REPAIR_HINT}`;

/** The middle value, the lower of two. @throws SparklerError INVALID_TRACE when there is none */
function medianOf(averages: ReadonlyMap<string, Average>, file: string): number {
  const values = Float64Array.from(averages.values(), ({ value }) => value).sort();
  const median = values[Math.floor((values.length - 1) / 2)];
  if (median === undefined) throw badTrace(file, 1, 'there is no row below the header.');
  return median;
}

/**
 * Reads a day. Of the text no more than a piece is in memory; what stays is each function's counts,
 * packed.
 * @throws SparklerError INVALID_TRACE with file and line, INVALID_REQUEST, or the signal's reason
 */
export async function readDay(files: DayFiles, options: ReadOptions): Promise<Day> {
  const reader = new DayReader(files, options);
  const durations = await reader.durations();
  const memory = await reader.memory();
  const applications = await reader.applications(durations, memory);
  if (applications.length === 0) {
    throw badTrace(files.invocations, 1, 'there is no row below the header.');
  }
  return {
    applications,
    medianMs: medianOf(durations, files.durations),
    medianMiB: medianOf(memory, files.memory),
    repairs: reader.repairs,
  };
}
