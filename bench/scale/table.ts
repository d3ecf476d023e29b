/** The report of `bench scale` for people: a line for each cell, then what follows from them. */
import Table from 'cli-table3';
import { figure, header, reportTable, type Limit, type Report, type Row } from '../report.js';

/** Columns: a metric, and its name there. */
const COLUMNS: readonly (readonly [metric: string, head: string])[] = [
  ['up: usable', 'usable'],
  ['up: instance ready', 'instance'],
  ['up: populated', 'populated'],
  ['up: host processor', 'host cpu'],
  ['up: guest processor', 'guest cpu'],
  ['first touch', 'touch'],
  ['second touch', 'again'],
  ['first touch: host faults', 'faults'],
  ['down: instance ended', 'ended'],
  ['down: reusable, from the end', 'reusable'],
  ['down: host has it, from the end', 'back'],
  ['down: host processor', 'host cpu'],
  ['down: guest processor', 'guest cpu'],
  ['down: resident after', 'left MiB'],
  ['not reached', 'stuck'],
];

/** Cells have what is touched first. */
const isCell = (name: string): boolean => / MiB: /.test(name) && !name.includes('compared');

/** Medians; all figures of all rows are in the document. */
export function scaleTable(report: Report, limits: readonly Limit[]): string {
  const cells = new Map<string, Map<string, Row>>();
  for (const row of report.rows.filter((one) => isCell(one.case))) {
    const metrics = cells.get(row.case) ?? new Map<string, Row>();
    cells.set(row.case, metrics.set(row.metric, row));
  }
  const head = [
    'case',
    'n',
    ...COLUMNS.map(([, name]) => name),
    'usable: min',
    'max',
    'back: min',
    'max',
  ];
  const table = new Table({
    head,
    colAligns: ['left', ...Array<'right'>(head.length - 1).fill('right')],
    style: { head: [], border: [], compact: true },
  });
  for (const [name, metrics] of cells) {
    const usable = metrics.get('up: usable');
    const back = metrics.get('down: host has it, from the end');
    const n = Math.max(...[...metrics.values()].map((row) => row.n));
    const spread = [usable?.min, usable?.max, back?.min, back?.max];
    const medians = COLUMNS.map(([metric]) => shown(metrics.get(metric), metric));
    table.push([
      name,
      String(n),
      ...medians,
      ...spread.map((value) => (value === undefined ? '' : figure(value))),
    ]);
  }
  const others = reportTable(
    { ...report, rows: report.rows.filter((row) => !isCell(row.case)) },
    limits,
  );
  const [, afterHeader = others] = others.split(`${header(report)}\n`);
  const first = cells.size > 0 ? [table.toString()] : [];
  return [header(report), ...first, afterHeader].join('\n');
}

/** How often it was stuck is no median. */
function shown(row: Row | undefined, metric: string): string {
  if (row === undefined) return '';
  return figure(metric === 'not reached' ? row.max : row.median);
}
