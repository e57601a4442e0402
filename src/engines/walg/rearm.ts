import { withClient } from '../../postgres/connection/with-client.js';
import { archiveOneSegment } from '../../postgres/wal/archiving.js';
import { RepriseError } from '../../domain/errors.js';
import type { EngineContext } from '../engine.js';
import { readArchive } from './archive.js';
import { listBackups } from './backup-list.js';
import { optionsOf } from './command.js';
import { liveFacts, requireOwnPrefix } from './server.js';

/**
 * Sees that the recovered cluster, open for writes and with its archive_command back, archives into its prefix: the
 * same one, since its system identifier is the same, on a new timeline.
 * @throws RepriseError `identity-mismatch`, `wal-not-archived`
 */
export async function rearm(context: EngineContext): Promise<void> {
  const { connection } = context.cluster;
  requireOwnPrefix(await listBackups(context), (await liveFacts(context)).systemIdentifier);
  const { archiveTimeoutSeconds: timeoutSeconds } = optionsOf(context);
  const segment = await withClient(connection, connection.maintenanceDatabase, (client) =>
    archiveOneSegment(client, { timeoutSeconds, signal: context.signal }),
  );
  // The server believes what the command says: whether the segment is where it belongs, the storage says.
  if ((await readArchive(context)).segments.includes(segment)) return;
  throw new RepriseError(
    'wal-not-archived',
    `the server says that ${segment} was archived, and it is not in the storage`,
    `see that archive_command reads ${optionsOf(context).envFile}`,
  );
}
