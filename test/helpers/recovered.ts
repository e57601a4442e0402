import { join } from 'node:path';
import { withWalPrefetch } from '../../src/activities/backup/wal-prefetch.js';
import type { Engine, EngineContext, RecoveryOutline } from '../../src/engines/engine.js';
import { readControlData } from '../../src/postgres/server/control-data.js';
import { configureRecovery, promoteServer } from '../../src/postgres/recovery/recovery.js';
import { waitForEndOfWal, waitForPause } from '../../src/postgres/recovery/recovery-wait.js';
import { serviceOf } from '../../src/postgres/server/service.js';
import { onCleanup } from './cleanup.js';
import { freePort } from './ports.js';
import type { ServerAddress } from './postgres.js';
import { tempDir } from './temp.js';
import { bound } from './bound.js';

/** A server recovered from a backup, in a directory of its own. */
export interface Recovered extends ServerAddress {
  readonly dataDir: string;
  promote(): Promise<void>;
  remove(): Promise<void>;
}

/** Restores the files of an outline's backup beside the source and recovers to the target, as a recovery would. */
export async function recoverBeside(
  context: EngineContext,
  outline: Pick<RecoveryOutline, 'backups' | 'target' | 'timeline' | 'walEnd'>,
  {
    engine,
    salvageDir = null,
    clone = true,
  }: { readonly engine: Engine; readonly salvageDir?: string | null; readonly clone?: boolean },
): Promise<Recovered> {
  const root = await tempDir('recovered');
  const dataDir = join(root, 'data');
  const { physical } = engine;
  const [backup] = outline.backups;
  if (physical === undefined || backup === undefined) throw new Error('there is nothing to restore');
  await physical.restoreFiles(context, {
    ...(await bound(engine, context, backup)),
    dataDir,
    tablespaceDir: join(root, 'tablespaces'),
  });
  const port = await freePort();
  const { user, pgBin } = context;
  await configureRecovery({
    ...{ dataDir, user, target: outline.target, salvageDir, port, clone },
    restoreCommand: physical.restoreCommand(context),
    restoreBeginningCommand: physical.restoreBeginningCommand?.(context),
    // With the test's own programs, which may not be those found on this host.
    control: await readControlData(pgBin, dataDir, user),
    timeline: outline.timeline ?? 'latest',
    extra: { unix_socket_directories: root },
  });
  const service = serviceOf({ dataDir, logFile: join(root, 'server.log') }, pgBin, user);
  onCleanup(() => service.stop('immediate'));
  const connection = { ...context.cluster.connection, host: '127.0.0.1', port };
  await withWalPrefetch(physical, context, dataDir, async (signal) => {
    await service.start();
    const options = { service, signal, pollMs: 50 };
    return outline.target.kind === 'latest'
      ? waitForEndOfWal(connection, outline.walEnd, options)
      : waitForPause(connection, options);
  });
  return {
    ...{ host: '127.0.0.1', port, user: connection.user, socketDir: root, dataDir },
    promote: async () => void (await promoteServer(connection)),
    remove: () => service.stop('immediate'),
  };
}
