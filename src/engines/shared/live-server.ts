import { RepriseError } from '../../domain/errors.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import { serverFacts } from '../../postgres/server/server-facts.js';
import type { ReadContext } from '../engine.js';

/** Facts of the running cluster of this context. */
export function liveFacts({ cluster: { connection } }: Pick<ReadContext, 'cluster'>): Promise<LiveServerFacts> {
  return withMaintenance(connection, serverFacts);
}

/** @throws RepriseError `topology-refused` for a standby, whose WAL another server archives */
export function requirePrimary({ inRecovery }: LiveServerFacts): void {
  if (!inRecovery) return;
  throw new RepriseError(
    'topology-refused',
    'the server is a standby or still in recovery',
    "connect the policy's cluster to the primary",
  );
}

/**
 * Refuses a server that archives nothing.
 * @param hint how to have it archive
 * @throws RepriseError `topology-refused`, `config-invalid`
 */
export function requireArchiving(server: LiveServerFacts, hint: string): void {
  requirePrimary(server);
  const { archiveMode, archiveCommand } = server;
  if (archiveMode !== 'off' && archiveCommand !== '') return;
  const empty = archiveMode === 'off' ? '' : ' and archive_command is empty';
  throw new RepriseError(
    'config-invalid',
    `the server archives no WAL: archive_mode is ${archiveMode}${empty}`,
    `${hint}, then restart the server`,
  );
}
