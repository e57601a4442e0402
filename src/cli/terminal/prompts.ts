import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';

/**
 * Before something destructive: the person types the name of what it hits. `--yes` answers; without a terminal and
 * without `--yes` it is refused (exit 9).
 */
export async function typeTheName(cli: Cli, what: string, name: string, yes: boolean | undefined): Promise<void> {
  if (yes === true) return;
  requireTerminal(cli, what, yes);
  const { input } = await import('@inquirer/prompts');
  const typed = await input({ message: `${what}. Type ${name} to continue:` }, { output: process.stderr });
  if (typed.trim() !== name) {
    throw new RepriseError(
      'confirmation-needed',
      `"${typed.trim()}" is not ${name}: nothing was changed`,
      `run it again and type ${name}`,
    );
  }
}

/**
 * For what will ask after a look at the thing: where nobody can be asked, and nothing answers, it is refused before the look.
 * @throws RepriseError `confirmation-needed`
 */
export function requireTerminal(cli: Cli, what: string, yes: boolean | undefined): void {
  if (yes === true || cli.terminal.interactive) return;
  throw new RepriseError(
    'confirmation-needed',
    `${what} needs a confirmation, and there is no terminal to ask on`,
    'add --yes when you are sure; --dry-run shows what would happen',
  );
}

/** A plain question that needs a yes; `unattended`: the command that asks nothing. */
export async function agree(cli: Cli, question: string, refusal: string, unattended: string): Promise<void> {
  if (!cli.terminal.interactive)
    throw new RepriseError(
      'confirmation-needed',
      `${refusal}, and there is no terminal to ask on`,
      `if you agree to the plan above: ${unattended}`,
    );
  const { confirm } = await import('@inquirer/prompts');
  if (!(await confirm({ message: question, default: false }, { output: process.stderr }))) {
    throw new RepriseError('confirmation-needed', refusal, 'nothing was changed; run it again to approve');
  }
}
