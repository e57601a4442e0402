import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup, TableCount } from '../../domain/backup/backup.js';
import type { HostConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type {
  BoundBackup,
  EngineContext,
  LogicalRestore,
  PhysicalRestore,
  VerifyVerdict,
} from '../../engines/engine.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { countTables } from '../../postgres/content/inventory.js';
import { configureRecovery } from '../../postgres/recovery/recovery.js';
import { waitForPause } from '../../postgres/recovery/recovery-wait.js';
import { initScratchCluster, makeHostScratch, makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { type ScratchServer, startScratchServer } from '../../postgres/server/scratch-cluster.js';
import { sha256Hex } from '../../records/digest.js';
import { withWalPrefetch } from './wal-prefetch.js';
import { engineFor, policyOf, type ClusterContext } from '../cluster-context.js';

/** Where the copy of a verification lies. */
export function scratchOf({ scratchDir }: Pick<HostConfig, 'scratchDir'>, operationId: string): string {
  return join(scratchDir, `prove-${sha256Hex(operationId).slice(0, 12)}`);
}

/**
 * The strongest verification: the backup is restored into an isolated scratch server that is removed afterwards, and what is
 * in it is counted. An attempt continues with the copy that an earlier one left.
 */
export async function testRestore(
  clusterContext: ClusterContext,
  context: EngineContext,
  backup: Backup,
  known: readonly Backup[],
): Promise<VerifyVerdict> {
  const engine = engineFor(clusterContext, policyOf(clusterContext, backup.policy));
  const root = scratchOf(clusterContext.host, context.operationId);
  await makeHostScratch(clusterContext.host, context.user);
  await makeScratchDirectory(root, context.user);
  let server: ScratchServer | null = null;
  try {
    // What is restored is what it has now, compared with its record; it is read once more by nobody without that.
    const content = await engine.bindBackup(context, backup, known);
    if (engine.physical) {
      server = await restoredServer(engine.physical, context, { backup, content }, join(root, 'data'));
      return await compareTables(server, backup);
    }
    if (engine.logical) {
      await initScratchCluster(join(root, 'data'), context.pgBin, context.user);
      server = await startScratchServer({
        dataDir: join(root, 'data'),
        pgBin: context.pgBin,
        user: context.user,
        signal: context.signal,
      });
      return await restoredDump(engine.logical, context, { backup, content }, server);
    }
    return { ok: false, detail: `engine ${engine.kind} cannot restore` };
  } catch (error) {
    // What a restore has to say about the backup is the verdict; anything else (a full disk, a kill) says nothing of it.
    if (isRepriseError(error) && ['check-failed', 'backup-corrupt'].includes(error.code))
      return { ok: false, detail: error.message };
    throw error;
  } finally {
    // A worker that shuts down leaves the copy to the next attempt.
    if (!context.signal.aborted) {
      await server?.remove();
      await rm(root, { recursive: true, force: true });
    }
  }
}

async function restoredServer(
  physical: PhysicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  dataDir: string,
): Promise<ScratchServer> {
  const { pgBin, user, signal, cluster } = context;
  await physical.restoreFiles(context, { ...bound, dataDir, tablespaceDir: `${dataDir}.tablespaces` });
  await configureRecovery({
    dataDir,
    user,
    target: { kind: 'end-of-backup' },
    restoreCommand: physical.restoreCommand(context),
    restoreBeginningCommand: physical.restoreBeginningCommand?.(context),
    salvageDir: null,
    timeline: 'latest',
    clone: true,
    control: await readControlData(pgBin, dataDir, user),
  });
  return withWalPrefetch(physical, context, dataDir, async (prefetchSignal) => {
    const server = await startScratchServer({ dataDir, pgBin, user, signal, role: cluster.connection.user });
    await waitForPause(server.connection, { service: server.service, signal: prefetchSignal });
    return server;
  });
}

/** Tables and, where they were counted in the backup's own snapshot, rows; a physical backup's counts are only close. */
async function compareTables(server: ScratchServer, backup: Backup): Promise<VerifyVerdict> {
  const recorded = backup.contents ?? [];
  const found: TableCount[] = [];
  for (const database of new Set(recorded.map((count) => count.database))) {
    found.push(...(await withClient(server.connection, database, (client) => countTables(client, database))));
  }
  const key = ({ database, schema, table }: TableCount): string => JSON.stringify([database, schema, table]);
  const there = new Set(found.map(key));
  const missing = recorded.filter((count) => !there.has(key(count)));
  if (missing.length > 0) {
    return {
      ok: false,
      detail: `restored, but ${missing.length} of ${recorded.length} tables are missing, ${missing[0]?.schema}.${missing[0]?.table} among them`,
      contents: found,
    };
  }
  const rows = found.reduce((sum, count) => sum + count.rows, 0);
  return {
    ok: true,
    detail: `restored and started; ${found.length} tables with ${rows} rows could be read`,
    contents: found,
  };
}

/** In a server of its own, so that no name of a database has to be in it. */
const RESTORED = 'reprise_restored';

async function restoredDump(
  logical: LogicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  server: ScratchServer,
): Promise<VerifyVerdict> {
  const { connection } = server;
  const { backup } = bound;
  await logical.restoreGlobals(context, { ...bound, connection });
  const { contents } = await logical.restoreDatabase(context, {
    ...bound,
    intoDatabase: RESTORED,
    connection,
    restoreAs: context.cluster.restoreAs,
  });
  return {
    ok: true,
    detail: `restored; ${contents.length} tables ${backup.contents === undefined ? 'could be read' : 'hold the rows recorded with the backup'}`,
    contents,
  };
}
