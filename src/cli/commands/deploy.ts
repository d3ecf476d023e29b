/** `sparkler deploy`: create or change a function and upload its code. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { FunctionSettings } from '../../client/index.js';
import { SparklerError } from '../../errors.js';
import type { Bundle } from '../bundle.js';
import {
  action,
  argument,
  examples,
  option,
  parsePlaces,
  placementOption,
  strategyOption,
  type Strategy,
} from '../command.js';
import type { Context } from '../context.js';
import { type Entry, type Runtime, findEntry } from '../guess.js';
import type { Io } from '../io.js';
import { parseCount, parseMemory, parseTime } from '../units.js';
import { describeFunction } from './functions.js';

interface DeployOptions {
  readonly runtime?: Runtime;
  readonly handler?: string;
  readonly mem?: string;
  readonly vcpu?: string;
  readonly timeout?: string;
  readonly env?: readonly string[];
  readonly image?: string;
  readonly kernel?: string;
  readonly strategy?: Strategy;
  readonly placement?: string;
  readonly maxInstances?: string;
  readonly maxVms?: string;
}

/** `['A=1', 'B=x=y']` as an object. */
function parseEnv(pairs: readonly string[] | undefined): Record<string, string> | undefined {
  const entries = pairs?.map((pair) => {
    const at = pair.indexOf('=');
    if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)] as const;
    throw new SparklerError('INVALID_REQUEST', `env: ${pair} is not written NAME=VALUE.`, {
      field: 'env',
    });
  });
  return entries && Object.fromEntries(entries);
}

/** The settings that were given; what was not keeps its value or gets the daemon's default. */
function settingsOf(
  name: string,
  options: DeployOptions,
  entry: Entry | undefined,
): FunctionSettings {
  const { image, kernel, mem, vcpu, timeout, strategy } = options;
  const { placement, maxInstances, maxVms } = options;
  const runtime = options.runtime ?? entry?.runtime;
  const handler = options.handler ?? entry?.handler;
  const env = parseEnv(options.env);
  return {
    func_name: name,
    ...(runtime === undefined ? {} : { runtime }),
    ...(handler === undefined ? {} : { handler }),
    ...(mem === undefined ? {} : { mem_size: parseMemory(mem, 'mem') }),
    ...(vcpu === undefined ? {} : { vcpu: parseCount(vcpu, 'vcpu') }),
    ...(timeout === undefined ? {} : { timeout_ms: parseTime(timeout, 'timeout') }),
    ...(env === undefined ? {} : { env }),
    ...(image === undefined ? {} : { image }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(strategy === undefined ? {} : { restore_strategy: strategy }),
    ...(placement === undefined ? {} : { placement: parsePlaces(placement) }),
    ...(maxInstances === undefined
      ? {}
      : { max_instances: parseCount(maxInstances, 'max-instances') }),
    ...(maxVms === undefined ? {} : { max_vms: parseCount(maxVms, 'max-vms') }),
  };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw new SparklerError(
      'INVALID_REQUEST',
      `folder: ${path} cannot be read: ${(cause as Error).message}.`,
      { field: 'folder' },
      cause,
    );
  }
}

interface Code {
  readonly archive: Readable;
  readonly entry?: Entry;
  readonly bundle?: Bundle;
}

/** The code as an archive. */
async function codeOf(path: string, options: DeployOptions): Promise<Code> {
  if (!(await isFolder(path))) return { archive: createReadStream(path) };
  const { packFolder } = await import('../../image/index.js');
  const entry = await findEntry(path, options);
  if (!entry.bundled) return { archive: await packFolder(path), entry };
  const { bundleTypeScript } = await import('../bundle.js');
  const bundle = await bundleTypeScript(path, entry);
  try {
    return { archive: await packFolder(bundle.dir), entry, bundle };
  } catch (error) {
    bundle.remove();
    throw error;
  }
}

async function deploy(
  context: Context,
  [name = '', path = '']: readonly string[],
  options: DeployOptions,
): Promise<void> {
  // First what is quickly seen to be wrong.
  settingsOf(name, options, undefined);
  const { archive, entry, bundle } = await codeOf(path, options);
  try {
    const settings = settingsOf(name, options, entry);
    const fn = await context.with((client) => client.deploy(settings, archive));
    if (entry && !context.json) {
      const how = entry.bundled ? ', bundled for Node.js' : '';
      context.note(`deployed ${entry.file}${how}; invoke it with \`sparkler invoke ${name}\``);
    }
    context.print(fn, () => describeFunction(context, fn));
  } finally {
    archive.destroy();
    bundle?.remove();
  }
}

export function deployCommand(program: Command, io: Io): void {
  const command = program
    .command('deploy')
    .summary('Create or change a function and upload its code.')
    .description(
      'Create a function, or change it, and upload its code: a folder, or a zip or tar archive.\n' +
        'In a folder the runtime and the handler are found by app, index, main or handler with ' +
        '.py, .ts or .js; TypeScript is bundled with the packages that it imports. What is not ' +
        'said keeps its value.',
    )
    .addArgument(argument('<name>', 'the function', 'functions'))
    .addArgument(argument('<folder-or-archive>', 'its code', 'files'))
    .addOption(option('--runtime <runtime>', 'what runs it').choices(['python3', 'nodejs']))
    .addOption(option('--handler <file.function>', 'what to call, like app.handler'))
    .addOption(option('--mem <size>', 'memory: 512, 512MiB, 2GiB'))
    .addOption(option('--vcpu <count>', 'vCPUs'))
    .addOption(option('--timeout <time>', 'time limit of an invocation: 500ms, 30s, 2m'))
    .addOption(option('--env <name=value...>', 'its environment, all of it; may be repeated'))
    .addOption(option('--image <alias>', 'root file system, from the configuration'))
    .addOption(option('--kernel <alias>', 'guest kernel, from the configuration'))
    .addOption(strategyOption('how its snapshots are restored'))
    .addOption(placementOption('where its invocations go, the first that is open'))
    .addOption(option('--max-instances <count>', 'instances in one microVM, at most'))
    .addOption(
      option('--max-vms <count>', 'microVMs beyond which none is started for an invocation'),
    )
    .action(action(io, deploy));
  examples(
    command,
    'sparkler deploy hello ./hello',
    'sparkler deploy thumb ./thumb --handler src/thumb.make --mem 512MiB --timeout 30s',
    'sparkler deploy job job.zip --runtime python3 --handler job.main --env LEVEL=3 --env MODE=fast',
  );
}
