/** `sparkler ps`, `vm start`, `logs`, `console`. */
import type { Command } from 'commander';
import type { Vm } from '../../client/index.js';
import { action, argument, examples, option } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { describeMemory, vmMemoryCommands } from './vm-memory.js';
import { formatAge, formatBytes, parseCount, parseMemory } from '../units.js';

const HEAD = [
  'vm',
  'function',
  'state',
  'start',
  'vcpu',
  'memory',
  'resident',
  'served',
  'pid',
  'started',
];

function row(vm: Vm): string[] {
  return [
    vm.vmId,
    vm.vmConf.func_name,
    vm.busy ? 'busy' : vm.state,
    vm.ssId === undefined ? vm.startKind : `${vm.pooled ? 'pooled' : 'snapshot'} ${vm.ssId}`,
    String(vm.vmConf.vcpu),
    describeMemory(vm),
    vm.residentBytes === undefined ? '-' : formatBytes(vm.residentBytes),
    String(vm.invocations),
    vm.pid === undefined ? '-' : String(vm.pid),
    formatAge(vm.createdAt, Date.now()),
  ];
}

async function list(context: Context): Promise<void> {
  const vms = await context.with((client) => client.vms.list());
  context.print(vms, () =>
    vms.length === 0 ? 'No microVMs run.\n' : context.table(HEAD, vms.map(row)),
  );
}

type Policy = Vm['memory']['policy'];

/** All of them; the compiler knows when the API gets another one. */
const POLICIES = Object.keys({
  static: true,
  balloon: true,
  'virtio-mem': true,
  blocks: true,
} satisfies Record<Policy, true>);

interface StartOptions {
  readonly snapshot?: string;
  readonly mem?: string;
  readonly vcpu?: string;
  readonly memoryPolicy?: Policy;
  readonly block: readonly string[];
}

async function start(context: Context, name: string, options: StartOptions): Promise<void> {
  const { snapshot, mem, vcpu, memoryPolicy, block } = options;
  const vm = await context.with((client) =>
    client.vms.start({
      func_name: name,
      ...(snapshot === undefined ? {} : { ssId: snapshot }),
      ...(mem === undefined ? {} : { mem: parseMemory(mem, 'mem') }),
      ...(vcpu === undefined ? {} : { vcpu: parseCount(vcpu, 'vcpu') }),
      ...(memoryPolicy === undefined ? {} : { memory_policy: memoryPolicy }),
      ...(block.length === 0 ? {} : { blocks: block.map((size) => parseMemory(size, 'block')) }),
    }),
  );
  context.print(vm, () => `${vm.vmId}\n`);
}

function startCommand(program: Command, io: Io): void {
  const group = program
    .command('vm')
    .description('Start a microVM ahead of its invocations, show and resize one.');
  const command = group
    .command('start')
    .summary('Start a microVM and print its id.')
    .description(
      'Start a microVM and print its id, without waiting for it: invocations wait by themselves.\n' +
        'With --snapshot it is restored and stays paused until its first invocation.',
    )
    .addArgument(argument('<name>', 'the function that it shall run', 'functions'))
    .addOption(option('--snapshot <id>', 'restore this snapshot', 'snapshots'))
    .addOption(
      option('--mem <size>', "all memory it may come to have: 512, 2GiB; default the function's"),
    )
    .addOption(option('--vcpu <count>', "vCPUs; default the function's"))
    .addOption(
      option('--memory-policy <name>', 'how its memory follows its instances').choices(POLICIES),
    )
    .addOption(
      option('--block <size>', 'a block of this size; give it once for each block')
        .default([], 'of one size')
        .argParser((size: string, before: readonly string[]) => [...before, size]),
    )
    .action(
      action(io, (context, [name = ''], options: StartOptions) => start(context, name, options)),
    );
  examples(
    command,
    'sparkler vm start hello',
    'sparkler vm start hello --memory-policy blocks --mem 4GiB',
    'VM=$(sparkler vm start hello --snapshot warm-hello) && sparkler invoke hello --vm $VM',
  );
  vmMemoryCommands(group, io);
}

/** Text as it is, or as a JSON string. */
function printText(context: Context, name: string, text: string): void {
  context.print({ [name]: text }, () => (text === '' || text.endsWith('\n') ? text : `${text}\n`));
}

export function vmCommands(program: Command, io: Io): void {
  const ps = program.command('ps').description('List the microVMs.').action(action(io, list));
  examples(ps, 'sparkler ps', 'sparkler ps --json | jq -r .[].vmId');
  startCommand(program, io);
  const logs = program
    .command('logs')
    .description('Print what a function printed last, over all its microVMs.')
    .addArgument(argument('<name>', 'the function', 'functions'))
    .action(
      action(io, async (context, [name = '']) =>
        printText(context, 'logs', await context.with((client) => client.functions.logs(name))),
      ),
    );
  examples(logs, 'sparkler logs hello');
  const show = program
    .command('console')
    .description("Print the end of a microVM's console; that of one that failed lately, too.")
    .addArgument(argument('<vm>', 'the microVM', 'vms'))
    .action(
      action(io, async (context, [vm = '']) =>
        printText(context, 'console', await context.with((client) => client.vms.console(vm))),
      ),
    );
  examples(show, 'sparkler console VM');
}
