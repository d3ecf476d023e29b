/** `sparkler functions`: list them, show one. */
import type { Command } from 'commander';
import type { FunctionView } from '../../client/index.js';
import { action, argument, examples } from '../command.js';
import type { Context } from '../context.js';
import type { Io } from '../io.js';
import { formatAge, formatBytes, formatMs } from '../units.js';

const HEAD = ['name', 'runtime', 'handler', 'vcpu', 'memory', 'timeout', 'code', 'changed'];

function row(fn: FunctionView): string[] {
  return [
    fn.func_name,
    fn.runtime,
    fn.handler,
    String(fn.vcpu),
    `${fn.mem_size} MiB`,
    formatMs(fn.timeout_ms),
    fn.code_bytes === undefined ? 'none' : formatBytes(fn.code_bytes),
    formatAge(fn.updated_at, Date.now()),
  ];
}

function placementOf({ placement, max_instances, max_vms }: FunctionView): string {
  const parts = [
    placement?.join(', ') ?? '',
    max_instances === undefined ? '' : `at most ${max_instances} instances in a VM`,
    max_vms === undefined ? '' : `at most ${max_vms} VMs`,
  ].filter((text) => text !== '');
  return parts.join('; ') || 'as configured';
}

/** One function in full. */
export function describeFunction(context: Context, fn: FunctionView): string {
  const env = Object.entries(fn.env).map(([name, value]) => `${name}=${value}`);
  return context.fields([
    ['name', fn.func_name],
    ['runtime', fn.runtime],
    ['handler', fn.handler],
    ['vCPUs', String(fn.vcpu)],
    ['memory', `${fn.mem_size} MiB`],
    ['timeout', formatMs(fn.timeout_ms)],
    ['image', fn.image],
    ['kernel', fn.kernel],
    ['restored by', fn.restore_strategy],
    ['placement', placementOf(fn)],
    ['environment', env.length === 0 ? 'empty' : env.join(' ')],
    ['code', fn.code_bytes === undefined ? 'none yet' : formatBytes(fn.code_bytes)],
    ['code id', fn.code_sha256],
    ['created', fn.created_at],
    ['changed', fn.updated_at],
  ]);
}

async function list(context: Context): Promise<void> {
  const functions = await context.with((client) => client.functions.list());
  context.print(functions, () =>
    functions.length === 0
      ? 'No functions yet; deploy one with `sparkler deploy NAME FOLDER`.\n'
      : context.table(HEAD, functions.map(row)),
  );
}

async function show(context: Context, name: string): Promise<void> {
  const fn = await context.with((client) => client.functions.get(name));
  context.print(fn, () => describeFunction(context, fn));
}

export function functionsCommand(program: Command, io: Io): void {
  const group = program
    .command('functions')
    .description('List the functions, or show one.')
    .action(action(io, list));
  group.command('list').description('List the functions (the default).').action(action(io, list));
  group
    .command('show')
    .description('Show one function.')
    .addArgument(argument('<name>', 'the function', 'functions'))
    .action(action(io, (context, [name = '']) => show(context, name)));
  examples(group, 'sparkler functions', 'sparkler functions show hello');
}
