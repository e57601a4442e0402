import { RepriseError } from '../../domain/errors.js';
import type { Cli } from '../cli-context.js';

/**
 * Before something destructive: the person types the name of what it hits. `--yes` answers; without a terminal and
 * without `--yes` it is refused (exit 9).
 */
export async function typeTheName(cli: Cli, what: string, name: string, yes: boolean | undefined): Promise<void> {
  if (yes === true) return;
  if (!cli.terminal.interactive) {
    throw new RepriseError(
      'confirmation-needed',
      `${what} needs a confirmation, and there is no terminal to ask on`,
      'add --yes when you are sure; --dry-run shows what would happen',
    );
  }
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

/** A plain question that needs a yes. */
export async function agree(cli: Cli, question: string, refusal: string): Promise<void> {
  if (!cli.terminal.interactive) {
    throw new RepriseError(
      'confirmation-needed',
      `${refusal}, and there is no terminal to ask on`,
      'name the plan with --plan, or add --yes',
    );
  }
  const { confirm } = await import('@inquirer/prompts');
  if (!(await confirm({ message: question, default: false }, { output: process.stderr }))) {
    throw new RepriseError('confirmation-needed', refusal, 'nothing was changed; run it again to approve');
  }
}
