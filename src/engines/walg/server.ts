import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import { serverFacts } from '../../postgres/server/server-facts.js';
import type { ReadContext } from '../engine.js';
import type { WalgBackup } from './backup-list.js';

/** Facts of the running cluster of this context. */
export function liveFacts(context: Pick<ReadContext, 'cluster'>): Promise<LiveServerFacts> {
  const { connection } = context.cluster;
  return withClient(connection, connection.maintenanceDatabase, serverFacts);
}

/**
 * Refuses a prefix that another cluster's backups are in: their WAL would overwrite each other (F17).
 * @throws RepriseError `identity-mismatch`
 */
export function requireOwnPrefix(
  backups: readonly Pick<WalgBackup, 'label' | 'systemIdentifier'>[],
  systemIdentifier: string,
): void {
  const other = backups.findLast((backup) => backup.systemIdentifier !== null);
  if (other === undefined || other.systemIdentifier === systemIdentifier) return;
  throw new RepriseError(
    'identity-mismatch',
    `backup ${other.label} in this storage is of the cluster ${other.systemIdentifier}, and the server is ${systemIdentifier}`,
    'give this cluster a prefix of its own in its environment file; after pg_upgrade a new one too',
  );
}
