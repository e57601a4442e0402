import type { Cli } from './cli-context.js';
import type { Told } from './terminal/completion/names.js';

/** Keeps names that a command was just told, so that completion knows them too. */
export async function remember(cli: Cli, told: Told): Promise<void> {
  const { rememberNames } = await import('./terminal/completion/names.js');
  await rememberNames(cli, told);
}
