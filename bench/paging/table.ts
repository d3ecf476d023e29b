/** The report of `bench paging` for people: one line for each cell. */
import Table from 'cli-table3';
import { figure, header, verdict, type Limit, type Report, type Row } from '../report.js';

/** Columns after the time: a metric, and its name there. */
const COLUMNS: readonly (readonly [metric: string, head: string])[] = [
  ['times faster than lazy mapping', 'x lazy'],
  ['mapped', 'mapped'],
  ['ready', 'ready'],
  ['major faults', 'major'],
  ['minor faults', 'minor'],
  ['faults served', 'served'],
  ['populated', 'populated'],
  ['read from disk', 'read MiB'],
  ['private', 'private MiB'],
  ['compact file', 'file MiB'],
];

/** Medians; of the time also the spread. Limits follow. */
export function pagingTable(report: Report, limits: readonly Limit[]): string {
  const cells = new Map<string, Map<string, Row>>();
  for (const row of report.rows) {
    const metrics = cells.get(row.case) ?? new Map<string, Row>();
    cells.set(row.case, metrics.set(row.metric, row));
  }
  const head = ['case', 'n', 'ms', 'p95', 'min', 'max', ...COLUMNS.map(([, name]) => name)];
  const table = new Table({
    head,
    colAligns: ['left', ...Array<'right'>(head.length - 1).fill('right')],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, metrics] of cells) {
    const total = metrics.get('total');
    const n = total?.n ?? [...metrics.values()][0]?.n ?? 0;
    const times = [total?.median, total?.p95, total?.min, total?.max];
    const others = COLUMNS.map(([metric]) => metrics.get(metric)?.median);
    table.push([name, String(n), ...[...times, ...others].map(shown)]);
  }
  const lines = limits.flatMap((limit) => {
    const row = cells.get(limit.case)?.get(limit.metric);
    return row ? [limitLine(row, limit)] : [];
  });
  return [header(report), table.toString(), ...lines, ''].join('\n');
}

const shown = (value: number | undefined): string => (value === undefined ? '' : figure(value));

function limitLine(row: Row, limit: Limit): string {
  const bound = 'atLeast' in limit ? `at least ${limit.atLeast}` : `at most ${limit.atMost}`;
  const said = verdict(row, [limit]) ?? '';
  return `${row.case}: ${row.metric}: ${limit.of} ${figure(row[limit.of])}, ${bound}: ${said}`;
}
