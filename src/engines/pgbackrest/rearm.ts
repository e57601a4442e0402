import { withClient } from '../../postgres/connection/with-client.js';
import type { EngineContext } from '../engine.js';
import { checkArchiving, ensureStanza, liveFacts } from './stanza.js';

/**
 * Sees that the recovered cluster, open for writes and with its archive_command back, archives into its stanza: the
 * same one, since its system identifier is the same, on a new timeline.
 * @throws RepriseError `identity-mismatch`, `wal-not-archived`, `config-invalid`
 */
export async function rearm(context: EngineContext): Promise<void> {
  const { connection } = context.cluster;
  // pgBackRest reads the timeline from pg_control, which is the old one's until the checkpoint after the promotion ends.
  await withClient(connection, connection.maintenanceDatabase, (client) => client.query('CHECKPOINT'));
  await ensureStanza(context, await liveFacts(context));
  await checkArchiving(context);
}
