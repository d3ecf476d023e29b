/** What is told of a day: one document, and files beside it. */
import type { Analysis, PolicyResult, Result } from './analysis.js';
import type { DayFiles } from './files.js';
import { plots } from './plots.js';
import { type Day, MINUTES, type Repairs } from './trace.js';

export interface AzureReport {
  /** Of the data set, 1 to 14. */
  readonly day: number;
  readonly files: Readonly<Omit<DayFiles, 'day'>>;
  /** Memory of a VM before it holds an instance, MiB. */
  readonly vmMemoryMiB: number;
  readonly trace: {
    readonly applications: number;
    readonly functions: number;
    readonly invocations: number;
    /** Functions without a row in the file of durations: taken for `medianDurationMs`. */
    readonly functionsWithoutDuration: number;
    /** Applications without a row in the file of memory: taken for `medianMemoryMiB`. */
    readonly applicationsWithoutMemory: number;
    readonly medianDurationMs: number;
    readonly medianMemoryMiB: number;
    /** Rows that were mended: all 0 without `--repair`. */
    readonly repairs: Readonly<Repairs>;
  };
  /** Two for each policy. */
  readonly results: readonly PolicyResult[];
}

export function reportOf(
  files: DayFiles,
  day: Day,
  analysis: Analysis,
  vmMemoryMiB: number,
): AzureReport {
  const { day: number, ...paths } = files;
  const { applications, functions, invocations, results } = analysis;
  const { functionsWithoutDuration, applicationsWithoutMemory } = analysis;
  return {
    day: number,
    files: paths,
    vmMemoryMiB,
    trace: {
      ...{ applications, functions, invocations },
      ...{ functionsWithoutDuration, applicationsWithoutMemory },
      medianDurationMs: day.medianMs,
      medianMemoryMiB: day.medianMiB,
      repairs: day.repairs,
    },
    results: results.map(({ figures }) => figures),
  };
}

const DECIMALS = 1000;
const rounded = (value: number): number => Math.round(value * DECIMALS) / DECIMALS;

/** VMs and memory of each minute, as CSV. */
function seriesOf(results: readonly Result[]): string {
  const columns = results.flatMap(({ figures: { policy, scaling }, outcome }) => {
    const name = `${policy.replaceAll(' ', '')} ${scaling}`;
    return [
      { name: `${name} VMs`, values: outcome.vms },
      { name: `${name} MiB`, values: outcome.memoryMiB },
    ];
  });
  const lines = [['minute', ...columns.map(({ name }) => name)].join(',')];
  for (let minute = 0; minute < MINUTES; minute++) {
    lines.push([minute, ...columns.map(({ values }) => rounded(values[minute] ?? 0))].join(','));
  }
  return `${lines.join('\n')}\n`;
}

/** All files of a report, by name. */
export function reportFiles(report: AzureReport, analysis: Analysis): Map<string, string> {
  return new Map([
    ['report.json', `${JSON.stringify(report, null, 2)}\n`],
    ['series.csv', seriesOf(analysis.results)],
    ...plots(analysis),
  ]);
}
