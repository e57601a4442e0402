import type { Command } from 'commander';
import type { Cli } from '../cli-context.js';
import { define } from '../define-command.js';
import { completionScript, shells } from '../terminal/completion/scripts.js';

/** `reprise completion` */
export function registerCompletion(program: Command, cli: Cli): void {
  define(program, cli, {
    usage: 'completion <shell>',
    summary: 'print the shell completion script for commands, clusters and backups',
    description:
      'In bash: eval "$(reprise completion bash)". In zsh the same, after compinit. In fish: reprise completion fish | source.\nNames that come from the server are those it told within ten minutes: a key starts a look in the background, and the next one offers what it found. $REPRISE_COMPLETION_TIMEOUT (such as 2s) has the first key wait for it.',
    argumentHelp: { shell: 'the shell for which the script is printed' },
    argumentChoices: { shell: shells },
    examples: [
      'completion bash > /etc/bash_completion.d/reprise',
      'completion fish > ~/.config/fish/completions/reprise.fish',
    ],
    run: async (self, [given]) => {
      const shell = shells.find((one) => one === given) ?? 'bash';
      await self.print({ shell, script: await completionScript(shell) }, ({ script }) => script);
    },
  });
}
