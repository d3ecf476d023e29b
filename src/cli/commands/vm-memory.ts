/** `sparkler vm show` and `vm resize`: a microVM's memory. */
import type { Command } from 'commander';
import type { Vm } from '../../client/index.js';
import { action, argument, examples } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { renderFields } from '../table.js';
import { formatBytes, parseMemory } from '../units.js';

/** `512 MiB`; `476 of 1500 MiB, blocks` for memory that follows instances. */
export function describeMemory({ memory }: Vm): string {
  const { policy, configuredMiB, pluggedMiB } = memory;
  if (policy === 'static') return `${configuredMiB} MiB`;
  return `${pluggedMiB} of ${configuredMiB} MiB, ${policy}`;
}

const shown = (bytes: number | undefined): string | undefined =>
  bytes === undefined ? undefined : formatBytes(bytes);

function population({ population }: Vm['memory']): string | undefined {
  if (population === undefined) return undefined;
  const { eagerBytes, peaks, preTdpFault, why } = population;
  const source = peaks === 0 ? 'as configured' : `learned from ${peaks} instances`;
  const tables = preTdpFault === 'off' ? '' : `; second-level page tables: ${why ?? preTdpFault}`;
  return `${formatBytes(eagerBytes)} ahead, ${source}${tables}`;
}

function describe(context: Context, vm: Vm): string {
  const { memory } = vm;
  const fields = renderFields([
    ['vm', vm.vmId],
    ['function', vm.vmConf.func_name],
    ['state', vm.busy ? 'busy' : vm.state],
    ['memory', describeMemory(vm)],
    ['granted', `${memory.grantedMiB} MiB to instances`],
    ['used', shown(memory.usedByGuestBytes)],
    ['resident', shown(memory.residentBytes)],
    ['populated', population(memory)],
  ]);
  const instances = (memory.instances ?? []).map((one) => [
    String(one.instance),
    formatBytes(one.currentBytes),
    formatBytes(one.peakBytes),
    shown(one.limitBytes) ?? '-',
    one.nodes.join(', ') || '-',
  ]);
  const blocks = (memory.blocks ?? []).map((block) => [
    String(block.node),
    `${block.memMiB} MiB`,
    block.state,
    shown(block.usedBytes) ?? '-',
    formatBytes(block.residentBytes),
  ]);
  const tables = [
    [['instance', 'uses', 'peak', 'limit', 'blocks'], instances],
    [['block', 'size', 'state', 'used', 'resident'], blocks],
  ] as const;
  return [
    fields,
    ...tables
      .filter(([, rows]) => rows.length > 0)
      .map(([head, rows]) => `\n${context.table([...head], [...rows])}`),
  ].join('');
}

async function show(context: Context, id: string): Promise<void> {
  const vm = await context.with((client) => client.vms.get(id));
  context.print(vm, () => describe(context, vm));
}

async function resize(context: Context, id: string, size: string): Promise<void> {
  const mem = parseMemory(size, 'mem');
  const vm = await context.with((client) => client.vms.resize(id, mem));
  context.print(vm, () => `${vm.vmId} has ${describeMemory(vm)}\n`);
}

/** Commands of the group `vm`. */
export function vmMemoryCommands(group: Command, io: Io): void {
  const one = (): ReturnType<typeof argument> => argument('<vm>', 'the microVM', 'vms');
  const showing = group
    .command('show')
    .description('Show a microVM and its memory, by block and by instance.')
    .addArgument(one())
    .action(action(io, (context, [id = '']) => show(context, id)));
  examples(showing, 'sparkler vm show VM', 'sparkler vm show VM --json | jq .memory');
  const resizing = group
    .command('resize')
    .summary("Set a microVM's memory by hand.")
    .description(
      "Set a microVM's memory by hand, and wait until it has it. It stays so until its instances\n" +
        'need more. Not for the memory policy static.',
    )
    .addArgument(one())
    .addArgument(argument('<size>', 'all memory that it is to have: 512, 512MiB, 2GiB'))
    .action(action(io, (context, [id = '', size = '']) => resize(context, id, size)));
  examples(resizing, 'sparkler vm resize VM 1GiB');
}
