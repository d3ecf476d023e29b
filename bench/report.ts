/** What a benchmark gives: rows of figures, as a table for people and as JSON for everything else. */
import Table from 'cli-table3';
import type { Machine, Versions } from './machine.js';
import { summarize, type Summary } from './statistics.js';

/** `x`: so many times as much. */
export type Unit = 'ms' | 'MiB' | 'count' | 'x';

/** One measurement. */
export interface Sample {
  readonly case: string;
  readonly metric: string;
  readonly unit: Unit;
  readonly value: number;
}

export interface Row extends Summary {
  readonly case: string;
  readonly metric: string;
  readonly unit: Unit;
}

/** The document that `--json` prints; every benchmark has the same form. */
export interface Report {
  readonly machine: Machine;
  readonly versions: Versions;
  readonly rows: readonly Row[];
}

/** What a row is to stay within. */
export type Limit = {
  readonly case: string;
  readonly metric: string;
  /** Which figure of the row counts. */
  readonly of: 'median' | 'max';
} & ({ readonly atMost: number } | { readonly atLeast: number });

/** One row for each case and metric. `order` lists the cases; others come last, as they came. */
export function rowsOf(samples: readonly Sample[], order: readonly string[] = []): Row[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = JSON.stringify([sample.case, sample.metric]);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  const rows = [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { case: name, metric, unit } = first;
    return [{ case: name, metric, unit, ...summarize(group.map(({ value }) => value)) }];
  });
  const place = (row: Row): number => {
    const index = order.indexOf(row.case);
    return index < 0 ? order.length : index;
  };
  return rows.sort((a, b) => place(a) - place(b));
}

/** Whether a row stayed within its limit; undefined where it has none. */
export function verdict(row: Row, limits: readonly Limit[]): 'ok' | 'missed' | undefined {
  const limit = limitOf(row, limits);
  if (limit === undefined) return undefined;
  const value = row[limit.of];
  const isWithin = 'atMost' in limit ? value <= limit.atMost : value >= limit.atLeast;
  return isWithin ? 'ok' : 'missed';
}

/** Machine and versions in words, then the rows. */
export function reportTable(report: Report, limits: readonly Limit[]): string {
  const head = ['case', 'metric', 'unit', 'n', 'median', 'p95', 'min', 'max', 'limit', ''];
  const right = (count: number): 'right'[] => Array<'right'>(count).fill('right');
  const table = new Table({
    head,
    colAligns: ['left', 'left', 'left', ...right(6), 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const row of report.rows) {
    const limit = limitOf(row, limits);
    const figures = [row.median, row.p95, row.min, row.max].map(figure);
    const bound = limit ? boundOf(limit) : '';
    const said = verdict(row, limits) ?? '';
    table.push([row.case, row.metric, row.unit, String(row.n), ...figures, bound, said]);
  }
  return `${header(report)}\n${table.toString()}\n`;
}

function boundOf(limit: Limit): string {
  return 'atMost' in limit ? `${limit.of} ${limit.atMost}` : `${limit.of} from ${limit.atLeast}`;
}

function limitOf(row: Row, limits: readonly Limit[]): Limit | undefined {
  return limits.find((limit) => limit.case === row.case && limit.metric === row.metric);
}

/** The machine and the versions of what took part, in three lines. */
export function header({ machine, versions }: Report): string {
  const { cpu, cores, memoryMiB, kernel, accelerator, load } = machine;
  return [
    `${cpu}, ${cores} cores, ${memoryMiB} MiB, Linux ${kernel}, accelerator ${accelerator}`,
    `load at start: ${load.join(' ')}`,
    Object.entries({ ...versions, guest: versions.guestKernel })
      .filter(([name, version]) => name !== 'guestKernel' && version !== undefined)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ].join('\n');
}

/** Three digits or so: nothing here is known better. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
}
