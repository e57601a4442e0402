import { join } from 'node:path';
import { archiveOneSegment, closeSegment } from '../../postgres/wal/archiving.js';
import { withClient } from '../../postgres/connection/with-client.js';
import type { EngineContext } from '../engine.js';
import { walPrefix } from './names.js';
import { optionsOf, receivesWal } from './options.js';
import { PREFETCHED } from './wal-prefetch.js';
import { receiveAnew } from './receive.js';
import { archivingHint } from './server.js';
import { removeTree } from './unpack.js';
import { waitForSegment } from './wal-archive.js';

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
  const segment = await withClient(connection, connection.maintenanceDatabase, (client) =>
    received ? closeSegment(client) : archiveOneSegment(client, { timeoutSeconds, signal: context.signal }),
  );
  await waitForSegment(context, segment, timeoutSeconds, archivingHint(context));
}
