/** The trace analysis: a day of the Azure Functions 2019 data set, or of one in its form. */
import { analyze } from './analysis.js';
import { findDay } from './files.js';
import type { Policy } from './policies.js';
import { readDay } from './read.js';
import { type AzureReport, reportFiles, reportOf } from './report.js';

export { DEFAULT_POLICIES, parsePolicies, type Policy } from './policies.js';
export type { PolicyResult } from './analysis.js';
export type { AzureReport } from './report.js';

/**
 * What a VM's kernel and agent keep for themselves, MiB: what Faascale's guest kernel leaves out of
 * its blocks (256 MiB of each memory zone, of which a small VM has one).
 */
export const DEFAULT_VM_MEMORY_MIB = 256;

export interface AzureOptions {
  readonly folder: string;
  /** Undefined: the only day in the folder. */
  readonly day?: number;
  /** A file to take for the day's memory, instead of the folder's. */
  readonly memory?: string;
  readonly policies: readonly Policy[];
  readonly vmMemoryMiB: number;
  /** Mend rows that the published files are known to have, instead of refusing them. */
  readonly repair: boolean;
  readonly signal: AbortSignal;
  /** Told what is done next. */
  readonly onProgress: (step: string) => void;
}

export interface AzureEvaluation {
  readonly report: AzureReport;
  /** Makes the report's files: texts by name. */
  readonly files: () => Map<string, string>;
}

/**
 * Reads a day and runs it under every policy, with one instance a VM and with one VM for all
 * instances of an application.
 * @throws SparklerError INVALID_TRACE with file and line, INVALID_REQUEST, or the signal's reason
 */
export async function evaluateAzure(options: AzureOptions): Promise<AzureEvaluation> {
  const { folder, policies, vmMemoryMiB, repair, signal, onProgress } = options;
  const files = await findDay(folder, options.day, options.memory);
  onProgress(`reading day ${files.day}`);
  const day = await readDay(files, { repair, signal });
  onProgress('running it under each policy');
  const analysis = await analyze(day, { policies, vmMemoryMiB, signal });
  const report = reportOf(files, day, analysis, vmMemoryMiB);
  return { report, files: () => reportFiles(report, analysis) };
}
