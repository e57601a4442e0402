import { RepriseError } from '../../domain/errors.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { LiveServerFacts } from '../../postgres/server/server-facts.js';
import { serverFacts } from '../../postgres/server/server-facts.js';
import type { EngineContext, ReadContext } from '../engine.js';
import { receivingHint } from './receive.js';
import { archiveCommand } from './wal-commands.js';

/**
 * Facts of the running primary.
 * @throws RepriseError `topology-refused` for a standby, whose WAL another server archives; `database-unreachable`
 */
export async function liveServer({ cluster: { connection } }: Pick<ReadContext, 'cluster'>): Promise<LiveServerFacts> {
  const server = await withClient(connection, connection.maintenanceDatabase, serverFacts);
  if (!server.inRecovery) return server;
  throw new RepriseError(
    'topology-refused',
    'the server is a standby or still in recovery',
    "connect the policy's cluster to the primary",
  );
}

/** What to do where WAL does not come, with the line to paste. */
export function archivingHint(context: Pick<EngineContext, 'cluster' | 'policy' | 'storage'>): string {
  const own = archiveCommand(context);
  if (own === null) return receivingHint(context);
  const command = own.replaceAll("'", "''");
  return `see what the server's log says of archive_command; that of this policy is: ALTER SYSTEM SET archive_command = '${command}'; SELECT pg_reload_conf();`;
}
