import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RepriseError } from '../domain/errors.js';
import { createFileAtomic } from './atomic-file.js';
import { giveTo, makePrivateDirectory } from './directories.js';
import { errnoOf } from './paths.js';

/** A plan that somebody has confirmed on the host of its worker. */
export interface Confirmation {
  readonly digest: string;
  readonly by: string;
  /** UTC ISO-8601. */
  readonly at: string;
}

/** Where the command line writes it, and the worker finds it. */
export const confirmationPath = (stateDir: string, digest: string): string =>
  join(stateDir, 'confirmations', `${digest}.json`);

/**
 * Writes that a person has confirmed a plan: only who may write the state directory of a worker can, so this is what tells
 * a terminal of the host from any other client of the Temporal server.
 * @throws RepriseError `confirmation-needed` on another machine, or as another user
 */
export async function writeConfirmation(stateDir: string, confirmation: Confirmation): Promise<void> {
  const file = confirmationPath(stateDir, confirmation.digest);
  try {
    const owner = await stat(stateDir);
    await makePrivateDirectory(dirname(file));
    await giveTo(dirname(file), owner);
    await createFileAtomic(file, `${JSON.stringify(confirmation, null, 1)}\n`, owner);
  } catch (error) {
    throw new RepriseError(
      'confirmation-needed',
      `the confirmation cannot be written into ${stateDir} (${errnoOf(error) ?? String(error)}): it counts only at a terminal of the host, as the user of its worker`,
      'run the command there; or add an approval policy for the action under approvals of the cluster',
    );
  }
}
