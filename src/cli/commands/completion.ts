/** `sparkler completion`: scripts that ask `sparkler __complete` what could come next. */
import type { Command } from 'commander';
import { action, argument, examples } from '../command.js';
import { complete, namesFrom } from '../complete.js';
import type { Io } from '../io.js';

const BASH = `# Tab completion of sparkler for bash: source <(sparkler completion bash)
_sparkler() {
  local IFS=$'\\n'
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=($("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null | cut -f1))
}
complete -o default -F _sparkler sparkler
`;

const ZSH = `#compdef sparkler
# Tab completion of sparkler for zsh: source <(sparkler completion zsh)
_sparkler() {
  local -a candidates
  local line value text
  while IFS=$'\\t' read -r value text; do
    candidates+=("\${value//:/\\\\:}:\${text}")
  done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#candidates} )); then
    _describe 'sparkler' candidates
  else
    _files
  fi
}
compdef _sparkler sparkler
`;

const FISH = `# Tab completion of sparkler for fish: sparkler completion fish | source
function __sparkler_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l candidates ($words[1] __complete -- $words[2..-1] 2>/dev/null)
  if test (count $candidates) -gt 0
    printf '%s\\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c sparkler -f -a '(__sparkler_complete)'
`;

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

export function completionCommand(program: Command, io: Io): void {
  const command = program
    .command('completion')
    .description(
      'Print a script that completes commands, options and, while the daemon runs, names.',
    )
    .addArgument(argument('<shell>', 'your shell').choices(Object.keys(SCRIPTS)))
    .action(
      action(io, (context, [shell = '']) => {
        const script = SCRIPTS[shell] ?? '';
        context.print({ shell, script }, () => script);
      }),
    );
  examples(
    command,
    'source <(sparkler completion bash)',
    'sparkler completion bash > /etc/bash_completion.d/sparkler',
    'sparkler completion zsh > "${fpath[1]}/_sparkler"',
    'sparkler completion fish > ~/.config/fish/completions/sparkler.fish',
  );
  program
    .command('__complete', { hidden: true })
    .description('What could come next; for completion scripts.')
    .argument('[words...]')
    .action(
      action(io, async (context, words) => {
        const found = await context.with((client) => complete(program, words, namesFrom(client)));
        const lines = found.map(({ value, description }) => `${value}\t${description}\n`);
        io.stdout.write(lines.join(''));
      }),
    );
}
