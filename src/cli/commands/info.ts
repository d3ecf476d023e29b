/** `sparkler info`. */
import type { Command } from 'commander';
import type { Info } from '../../client/index.js';
import { action, examples } from '../command.js';
import type { Io } from '../io.js';

/** `2 vms, 3 files`, or `nothing`. */
export function describeReclaimed(reclaimed: Readonly<Record<string, number>>): string {
  const parts = Object.entries(reclaimed).filter(([, count]) => count > 0);
  return parts.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'nothing';
}

/** What is in the pool, and its limits. */
function describePool({ vms, memMiB, maxVms, maxMemMiB }: Info['pool']): string {
  return `${vms} of ${maxVms} VMs, ${memMiB} of ${maxMemMiB} MiB`;
}

export function infoCommand(program: Command, io: Io): void {
  const command = program
    .command('info')
    .description('Show the daemon: its version, accelerator, VMM and data folder.')
    .action(
      action(io, async (context) => {
        const info = await context.with((client) => client.info());
        context.print(info, () =>
          context.fields([
            ['version', info.version],
            ['accelerator', `${info.accelerator} (${info.acceleratorReason})`],
            ['VMM', info.vmm],
            ['data folder', info.dataDir],
            ['pool', describePool(info.pool)],
            ['ended at start', describeReclaimed(info.reclaimed)],
            ...info.warnings.map((warning): [string, string] => ['warning', warning]),
          ]),
        );
      }),
    );
  examples(command, 'sparkler info', 'sparkler info --json --url http://127.0.0.1:9090');
}
