import { withMaintenance } from '../../../postgres/connection/with-client.js';
import type { LiveServerFacts } from '../../../postgres/server/server-facts.js';
import type { EngineContext, ReadContext } from '../../engine.js';
import { receivingHint, receiveAnew } from './receive.js';
import { liveFacts, requirePrimary } from '../../shared/live-server.js';
import { archiveCommand } from './wal-commands.js';
import { join } from 'node:path';
import { archiveOneSegment, closeSegment } from '../../../postgres/wal/archiving.js';
import { walPrefix } from '../repository/names.js';
import { optionsOf, receivesWal } from '../options.js';
import { PREFETCHED } from './wal-prefetch.js';
import { waitForSegment } from './wal-archive.js';
import { removeTree } from '../../../files/remove-tree.js';

/**
 * Facts of the running primary.
 * @throws RepriseError `topology-refused` for a standby, whose WAL another server archives; `database-unreachable`
 */
export async function liveServer(context: Pick<ReadContext, 'cluster'>): Promise<LiveServerFacts> {
  const server = await liveFacts(context);
  requirePrimary(server);
  return server;
}

/** What to do where WAL does not come, with the line to paste. */
export function archivingHint(context: Pick<EngineContext, 'cluster' | 'policy' | 'storage'>): string {
  const own = archiveCommand(context);
  if (own === null) return receivingHint(context);
  const command = own.replaceAll("'", "''");
  return `see what the server's log says of archive_command; that of this policy is: ALTER SYSTEM SET archive_command = '${command}'; SELECT pg_reload_conf();`;
}

/**
 * Sees that the recovered cluster, open for writes and with its archive_command or its slot back, sends its WAL into this
 * repository, on its new timeline.
 * @throws RepriseError `wal-not-archived`
 */
export async function rearm(context: EngineContext): Promise<void> {
  const { connection, dataDir } = context.cluster;
  if (dataDir !== undefined) await removeTree(join(dataDir, PREFETCHED));
  await context.storage.prepare(walPrefix(context), context.user ?? undefined);
  const timeoutSeconds = optionsOf(context).archiveTimeoutSeconds;
  const received = receivesWal(context.policy.options);
  if (received) await receiveAnew(context);
  const segment = await withMaintenance(connection, (client) =>
    received ? closeSegment(client) : archiveOneSegment(client, { timeoutSeconds, signal: context.signal }),
  );
  await waitForSegment(context, segment, timeoutSeconds, archivingHint(context));
}
