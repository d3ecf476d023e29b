/** `sparkler evaluate`: experiments; so far the analysis of a trace, which needs no daemon. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { AzureReport, PolicyResult } from '../../evaluation/index.js';
import { action, argument, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatMs, parseCount, parseMemory } from '../units.js';

interface AzureFlags {
  readonly day?: string;
  readonly keepAlive?: string;
  readonly vmMemory?: string;
  readonly memory?: string;
  readonly repair?: boolean;
  readonly out?: string;
}

const HEAD = [
  ...['keep-alive', 'scaling', 'cold starts', 'of all', 'vertical starts', 'ahead'],
  ...['peak VMs', 'mean VMs', 'VM-minutes', 'GiB-minutes'],
];

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const count = (value: number): string => NUMBER.format(value);
const FEW = 100;
/** With one digit behind the point while there are few. */
const average = (value: number): string => (value < FEW ? value.toFixed(1) : count(value));
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

function row(result: PolicyResult): string[] {
  return [
    ...[result.policy, result.scaling, count(result.coldStarts), percent(result.coldShare)],
    ...[count(result.verticalStarts), count(result.startsAhead)],
    ...[average(result.peakVms), average(result.meanVms)],
    ...[count(result.vmMinutes), count(result.memoryGiBMinutes)],
  ];
}

function describe({ day, trace, vmMemoryMiB }: AzureReport): string[] {
  const { functionsWithoutDuration: noDuration, applicationsWithoutMemory: noMemory } = trace;
  const { repairs } = trace;
  const mended = Object.values(repairs).reduce((sum, value) => sum + value, 0);
  return [
    `day ${day}: ${count(trace.invocations)} invocations of ${count(trace.functions)} functions in ${count(trace.applications)} applications`,
    ...(noDuration === 0
      ? []
      : [
          `${count(noDuration)} functions have no duration: taken for the median, ${formatMs(trace.medianDurationMs)}`,
        ]),
    ...(noMemory === 0
      ? []
      : [
          `${count(noMemory)} applications have no memory: taken for the median, ${trace.medianMemoryMiB} MiB`,
        ]),
    ...(mended === 0 ? [] : [`${count(mended)} rows mended; report.json and --json say which`]),
    `memory: the application's average for each instance, and ${vmMemoryMiB} MiB for each VM`,
  ];
}

async function azure(context: Context, folder: string, flags: AzureFlags): Promise<void> {
  const evaluation = await import('../../evaluation/index.js');
  const { checkOutput, DEFAULT_POLICIES, DEFAULT_VM_MEMORY_MIB, writeOutput } = evaluation;
  const { day, vmMemory, memory, repair = false, out } = flags;
  const options = {
    folder,
    policies: evaluation.parsePolicies(flags.keepAlive ?? DEFAULT_POLICIES),
    vmMemoryMiB:
      vmMemory === undefined ? DEFAULT_VM_MEMORY_MIB : parseMemory(vmMemory, '--vm-memory'),
    ...(day === undefined ? {} : { day: parseCount(day, '--day') }),
    ...(memory === undefined ? {} : { memory }),
    repair,
    signal: context.io.interrupted,
    onProgress: (step: string) => context.note(`${step} …`),
  };
  if (out !== undefined) checkOutput(out);
  const { report, files } = await evaluation.evaluateAzure(options);
  if (out !== undefined) writeOutput(out, files());
  if (!context.json) for (const line of describe(report)) context.note(line);
  context.print(report, () => context.table(HEAD, report.results.map(row)));
  if (out !== undefined) context.note(`tables and plots: ${resolve(out)}`);
}

export function evaluateCommand(program: Command, io: Io): void {
  const group = program.command('evaluate').description('Experiments and traces.');
  const command = group
    .command('azure')
    .summary('Analyse a day of the Azure Functions 2019 data set.')
    .description(
      'Cold starts, VMs and memory that a day of the Azure Functions 2019 data set would have\n' +
        'needed: with one instance a VM (horizontal) and with one VM for all instances of an\n' +
        'application (vertical), under several keep-alive policies. Needs no daemon.',
    )
    .addArgument(argument('<folder>', "where the day's three CSV files are", 'files'))
    .addOption(option('--day <n>', 'the day, 1 to 14; default: the only one in the folder'))
    .addOption(
      option(
        '--keep-alive <policies>',
        'none, minutes like 10m, histogram; default none,1m,5m,10m,20m,60m,histogram',
      ),
    )
    .addOption(
      option('--vm-memory <size>', 'memory of a VM before it holds an instance; default 256MiB'),
    )
    .addOption(option('--memory <file>', "another file for the applications' memory", 'files'))
    .addOption(
      option('--repair', 'mend what the published files are known to have: repeated rows and such'),
    )
    .addOption(
      option('--out <folder>', 'write report, series and plots into a new folder', 'files'),
    )
    .action(action(io, (context, [folder = ''], flags) => azure(context, folder, flags)));
  examples(
    command,
    'sparkler evaluate azure examples/azure --out day1',
    'sparkler evaluate azure ~/azurefunctions-dataset2019 --day 1 --repair',
    'sparkler evaluate azure examples/azure --keep-alive none,30m --json',
  );
}
