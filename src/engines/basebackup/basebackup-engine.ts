import { bindBackup } from './repository/chain.js';
import { RepriseError } from '../../domain/errors.js';
import type { Engine, EngineContext, MadeBackup } from '../engine.js';
import { unlessLost } from '../shared/backup-record.js';
import { abandonedIfCancelled } from '../shared/abandon.js';
import { abandonBackup, backup } from './backup/backup.js';
import { listBackups, ownFiles, storedFiles } from './repository/list.js';
import { removeLeftovers } from './restore/leftovers.js';
import { BASEBACKUP, madeBackup, manifestOf } from './repository/manifest.js';
import { outlineRecovery } from './restore/outline.js';
import { prefetchWal } from './wal/wal-prefetch.js';
import { preflightBackup } from './backup/preflight.js';
import { basebackupCapabilities, receivesWal } from './options.js';
import { rearm, liveServer } from './wal/archiving.js';
import { receiveWal } from './wal/receive.js';
import { planRemoval, remove } from './repository/remove.js';
import { restoreFiles } from './restore/restore.js';
import { spoolOf } from './repository/names.js';
import { removeTree } from '../../files/remove-tree.js';
import { slotName } from './wal/slot.js';
import { verify } from './repository/verify.js';
import { walArchive } from './wal/wal-archive.js';
import { archiveCommand, restoreBeginningCommand, restoreCommand } from './wal/wal-commands.js';

/** PostgreSQL's own pg_basebackup and WAL archive: nothing to install beside the server, on any version since 13. */
export const basebackupEngine: Engine = {
  kind: BASEBACKUP,
  capabilities: basebackupCapabilities,
  preflightBackup,
  backup: (context, request) =>
    abandonedIfCancelled(
      context,
      () => backup(context, request),
      () => abandonBackup(context, request.startedAt),
    ),
  abandonBackup,
  list: listBackups,
  storedFiles,
  ownFiles,
  removeLeftovers,
  verify,
  planRemoval,
  remove,
  outlineRecovery,
  readArchive: walArchive,
  bindBackup,
  adoption: { describe },
  receiver: { wanted: receivesWal, slot: slotName, receive: receiveWal },
  physical: {
    restoreFiles: (context, request) =>
      abandonedIfCancelled(
        context,
        () => restoreFiles(context, request),
        () => removeTree(spoolOf(context)),
      ),
    restoreCommand,
    restoreBeginningCommand,
    prefetchWal: async (context, dataDir) =>
      context.storage.capabilities.localPath ? null : prefetchWal(context, dataDir),
    archiveCommand,
    rearm,
  },
};

/** The record of a backup that is in the repository and that no record names. */
async function describe(context: EngineContext, label: string): Promise<MadeBackup> {
  const manifest = await manifestOf(context, label);
  const live = await unlessLost(liveServer(context));
  if (live !== null && live.systemIdentifier !== manifest.server.systemIdentifier) {
    throw new RepriseError(
      'identity-mismatch',
      `it is a backup of the cluster ${manifest.server.systemIdentifier}, and the server is ${live.systemIdentifier}`,
      'give that cluster a separate policy',
    );
  }
  return madeBackup(manifest, context.policy.repository);
}
