/** All commands. A new one is a file in commands/ and a line here. */
import { Command } from 'commander';
import { DEFAULT_URL } from '../client/index.js';
import { completionCommand } from './commands/completion.js';
import { daemonCommand } from './commands/daemon.js';
import { deployCommand } from './commands/deploy.js';
import { evaluateCommand } from './commands/evaluate.js';
import { functionsCommand } from './commands/functions.js';
import { imagesCommand } from './commands/images.js';
import { infoCommand } from './commands/info.js';
import { invokeCommand } from './commands/invoke.js';
import { rmCommand } from './commands/rm.js';
import { snapshotCommand } from './commands/snapshot.js';
import { vmCommands } from './commands/vms.js';
import { EXIT_HELP } from './failure.js';
import type { Io } from './io.js';
import { ownVersion } from './repository.js';

const COMMANDS = [
  daemonCommand,
  imagesCommand,
  deployCommand,
  functionsCommand,
  invokeCommand,
  vmCommands,
  snapshotCommand,
  rmCommand,
  infoCommand,
  evaluateCommand,
  completionCommand,
];

const FIRST_STEPS = `
First steps:
  $ sparkler images build            once: kernel and root file system
  $ sparkler daemon                  in another terminal, or as a service
  $ sparkler deploy hello ./hello
  $ sparkler invoke hello

${EXIT_HELP}`;

/** Commander's own rules, for the program and everything below it. */
function prepare(command: Command, io: Io): void {
  command.exitOverride().configureHelp({ showGlobalOptions: true, sortOptions: false });
  command.configureOutput({
    writeOut: (text) => io.stdout.write(text),
    writeErr: (text) => io.stderr.write(text),
  });
  for (const child of command.commands) prepare(child, io);
}

export function buildProgram(io: Io): Command {
  const program = new Command('sparkler')
    .description('Runs functions in microVMs and starts them from snapshots in milliseconds.')
    .version(ownVersion(), '--version', 'print the version')
    .option('--url <url>', `the daemon's address; default $SPARKLER_URL or ${DEFAULT_URL}`)
    .option('--json', 'print one JSON document on stdout')
    .showHelpAfterError('(see --help)')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', FIRST_STEPS);
  for (const register of COMMANDS) register(program, io);
  prepare(program, io);
  return program;
}
