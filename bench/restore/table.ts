/** The report of `bench restore` for people: one line for each cell, then what holds over all. */
import Table from 'cli-table3';
import { figure, header, reportTable, type Limit, type Report, type Row } from '../report.js';

/** Columns: a metric, and its name there. */
const COLUMNS: readonly (readonly [metric: string, head: string])[] = [
  ['firstResponse', 'first response'],
  ['vmmUp', 'VMM up'],
  ['stateLoaded', 'state'],
  ['memoryReady', 'memory'],
  ['resumed', 'resumed'],
  ['handler', 'handler'],
  ['major faults', 'major'],
  ['minor faults', 'minor'],
  ['faults served', 'served'],
  ['read from disk', 'read MiB'],
  ['private', 'private MiB'],
];

/** Medians; of the first response also the spread. */
export function restoreTable(report: Report, limits: readonly Limit[]): string {
  const cells = new Map<string, Map<string, Row>>();
  const others: Row[] = [];
  for (const row of report.rows) {
    if (row.case.split(', ').length !== 3) others.push(row);
    else cells.set(row.case, (cells.get(row.case) ?? new Map<string, Row>()).set(row.metric, row));
  }
  const head = ['case', 'n', ...COLUMNS.map(([, name]) => name), 'min', 'max'];
  const table = new Table({
    head,
    colAligns: ['left', ...Array<'right'>(head.length - 1).fill('right')],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, metrics] of cells) {
    const first = metrics.get('firstResponse');
    const medians = COLUMNS.map(([metric]) => shown(metrics.get(metric)?.median));
    table.push([name, String(first?.n ?? 1), ...medians, shown(first?.min), shown(first?.max)]);
  }
  const rest = reportTable({ ...report, rows: others }, limits);
  const [, afterHeader = rest] = rest.split(`${header(report)}\n`);
  return [header(report), table.toString(), afterHeader].join('\n');
}

const shown = (value: number | undefined): string => (value === undefined ? '' : figure(value));
