import { backupId } from '../../domain/backup.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { EngineContext, MadeBackup } from '../engine.js';
import { listBackups, listed } from './backup-list.js';
import { fingerprintOf } from './fingerprint.js';
import { liveFacts } from './server.js';

/**
 * The record of a backup that somebody else's WAL-G (cron) made: its rows were never counted.
 * @throws RepriseError `identity-mismatch` where it is another cluster's (F17), `not-found`
 */
export async function describeBackup(context: EngineContext, label: string): Promise<MadeBackup> {
  const made = (await listBackups(context)).find((backup) => backup.label === label);
  if (made === undefined) throw new RepriseError('not-found', `backup ${label} is not in the storage any more`, 'run: wal-g backup-list');
  const live = await liveFacts(context).catch((error: unknown) => {
    // With the server lost nothing can be compared, and that is when backups are needed.
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  });
  const { systemIdentifier } = made;
  if (systemIdentifier === null || (live !== null && live.systemIdentifier !== systemIdentifier)) {
    throw new RepriseError('identity-mismatch', `it is a backup of the cluster ${systemIdentifier ?? '(not named)'}, and the server is ${live?.systemIdentifier ?? 'not reachable'}`, 'give that cluster a policy and a prefix of its own');
  }
  const sha256 = await fingerprintOf(context, label);
  return {
    id: backupId(context.cluster.name, 'walg', label),
    cluster: context.cluster.name,
    policy: context.policy.name,
    engine: 'walg',
    repository: context.policy.repository,
    ...listed(made),
    ...(sha256 === undefined ? {} : { sha256 }),
    server: { versionNum: made.versionNum, systemIdentifier },
  };
}
