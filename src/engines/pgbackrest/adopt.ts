import { RepriseError } from '../../domain/errors.js';
import type { EngineContext, MadeBackup } from '../engine.js';
import { ownership, unlessLost } from '../shared/backup-record.js';
import { manifestHash } from './backup.js';
import { listed, readInfo } from './info.js';
import { liveFacts } from './stanza.js';

/**
 * The record of a backup that somebody else's pgBackRest (cron) made: its rows were never counted.
 * @throws RepriseError `identity-mismatch` where it is another cluster's (F17), `not-found`
 */
export async function describeBackup(context: EngineContext, label: string): Promise<MadeBackup> {
  const made = (await readInfo(context)).backups.find((backup) => backup.label === label);
  if (made === undefined)
    throw new RepriseError('not-found', `backup ${label} is not in the repository any more`, 'run: pgbackrest info');
  const { database } = made;
  const live = await unlessLost(liveFacts(context));
  if (live !== null && live.systemIdentifier !== database.systemIdentifier) {
    throw new RepriseError(
      'identity-mismatch',
      `it is a backup of the cluster ${database.systemIdentifier}, and the server is ${live.systemIdentifier}`,
      'give that cluster a policy of its own',
    );
  }
  return {
    ...ownership(context, label),
    ...listed(made),
    sha256: await manifestHash(context, label),
    server: { versionNum: database.major * 10_000, systemIdentifier: database.systemIdentifier },
  };
}
