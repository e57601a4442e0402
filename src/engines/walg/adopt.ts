import { RepriseError } from '../../domain/errors.js';
import type { EngineContext, MadeBackup } from '../engine.js';
import { ownership, unlessLost } from '../shared/backup-record.js';
import { listBackups, listed } from './backup-list.js';
import { fingerprintOf } from './fingerprint.js';
import { liveFacts } from './server.js';

/**
 * The record of a backup that somebody else's WAL-G (cron) made: its rows were never counted.
 * @throws RepriseError `identity-mismatch` where it is another cluster's (F17), `not-found`
 */
export async function describeBackup(context: EngineContext, label: string): Promise<MadeBackup> {
  const made = (await listBackups(context)).find((backup) => backup.label === label);
  if (made === undefined)
    throw new RepriseError('not-found', `backup ${label} is not in the storage any more`, 'run: wal-g backup-list');
  const live = await unlessLost(liveFacts(context));
  const { systemIdentifier } = made;
  if (systemIdentifier === null || (live !== null && live.systemIdentifier !== systemIdentifier)) {
    throw new RepriseError(
      'identity-mismatch',
      `it is a backup of the cluster ${systemIdentifier ?? '(not named)'}, and the server is ${live?.systemIdentifier ?? 'not reachable'}`,
      'give that cluster a policy and a prefix of its own',
    );
  }
  const sha256 = await fingerprintOf(context, label);
  return {
    ...ownership(context, label),
    ...listed(made),
    ...(sha256 === undefined ? {} : { sha256 }),
    server: { versionNum: made.versionNum, systemIdentifier },
  };
}
