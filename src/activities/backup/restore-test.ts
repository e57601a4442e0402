import { join } from 'node:path';
import type { Backup, TableCount } from '../../domain/backup/backup.js';
import type { ConnectionConfig, HostConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type {
  BoundBackup,
  EngineContext,
  LogicalRestore,
  PhysicalRestore,
  VerifyVerdict,
} from '../../engines/engine.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { countApart, countTables, type RelationsApart } from '../../postgres/content/inventory.js';
import { invalidDatabases, invalidDatabaseText } from '../../postgres/server/databases.js';
import { configureRecovery } from '../../postgres/recovery/recovery.js';
import { waitForPause } from '../../postgres/recovery/recovery-wait.js';
import { initScratchCluster, makeHostScratch, makeScratchDirectory } from '../../postgres/server/scratch-directory.js';
import { type ScratchServer, startScratchServer } from '../../postgres/server/scratch-cluster.js';
import type { Settings } from '../../postgres/recovery/auto-conf.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import { removeTree } from '../../files/remove-tree.js';
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
      return await compareRestored(server.connection, backup.contents ?? []);
    }
    if (engine.logical) {
      await initScratchCluster(join(root, 'data'), context.pgBin, context.user);
      server = await startScratchServer({
        dataDir: join(root, 'data'),
        pgBin: context.pgBin,
        user: context.user,
        signal: context.signal,
        preload: await preloadOfSource(context),
        settings: dumpSettings(backup.contents?.length ?? 0),
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
    if (!isLeaving(context)) {
      await server?.remove();
      await removeTree(root);
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
    const preload = await preloadOfSource(context);
    const server = await startScratchServer({ dataDir, pgBin, user, signal, preload, role: cluster.connection.user });
    await waitForPause(server.connection, { service: server.service, signal: prefetchSignal });
    return server;
  });
}

/**
 * Whether the tables recorded with a physical backup are in the server restored from it, and can be read. Their rows were
 * counted close to it, not in it. Unlogged, temporary and foreign relations are counted apart: it holds no rows of them.
 */
export async function compareRestored(
  connection: ConnectionConfig,
  recorded: readonly TableCount[],
): Promise<VerifyVerdict> {
  const found: TableCount[] = [];
  const apart: Apart = { unlogged: 0, temporary: 0, foreign: 0 };
  const locked: Omit<TableCount, 'rows'>[] = [];
  const databases = [...new Set(recorded.map((count) => count.database))];
  const invalid = await withMaintenance(connection, (client) => invalidDatabases(client, databases));
  if (invalid.length > 0)
    return { ok: false, detail: `restored, but ${invalid.map((name) => invalidDatabaseText(name)).join('; ')}` };
  for (const database of databases) {
    await withClient(connection, database, async (client) => {
      found.push(...(await countTables(client, database)));
      const { locked: held, ...numbers } = await countApart(client);
      for (const kind of Object.keys(apart) as (keyof Apart)[]) apart[kind] += numbers[kind];
      locked.push(...held.map(({ schema, table }) => ({ database, schema, table })));
    });
  }
  const key = ({ database, schema, table }: Omit<TableCount, 'rows'>): string =>
    JSON.stringify([database, schema, table]);
  const there = new Set([...found, ...locked].map(key));
  const missing = recorded.filter((count) => !there.has(key(count)));
  if (missing.length > 0) {
    return {
      ok: false,
      detail: `restored, but ${missing.length} of ${recorded.length} tables are missing, ${missing[0]?.schema}.${missing[0]?.table} among them`,
      contents: found,
    };
  }
  const read = found.filter(({ unlogged }) => unlogged !== true);
  const rows = read.reduce((sum, count) => sum + count.rows, 0);
  return {
    ok: true,
    detail: `restored and started; ${read.length} tables with ${rows} rows could be read${apartText(apart, locked.length)}`,
    contents: found,
  };
}

/** By number. */
type Apart = { -readonly [K in Exclude<keyof RelationsApart, 'locked'>]: number };

function apartText({ unlogged, temporary, foreign }: Apart, locked: number): string {
  const parts = [
    unlogged > 0 && `${unlogged} unlogged, which a physical backup holds without rows`,
    temporary > 0 && `${temporary} temporary`,
    foreign > 0 && `${foreign} foreign`,
    locked > 0 && `${locked} that a transaction under way at the end of the backup, or a prepared one, has locked`,
  ].filter((part) => part !== false);
  return parts.length === 0 ? '' : `; counted apart: ${parts.join(', ')}`;
}

/** In a server of its own, so that no name of a database has to be in it. */
const RESTORED = 'reprise_restored';

/** With its libraries the copy is read as the source is; a source that does not answer keeps no backup from its test. */
async function preloadOfSource({ cluster: { connection } }: EngineContext): Promise<string> {
  try {
    return await withMaintenance(connection, async (client) => {
      const { rows } = await client.query<{ preload: string }>(
        "SELECT pg_catalog.current_setting('shared_preload_libraries') AS preload",
      );
      return rows[0]?.preload ?? '';
    });
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return '';
  }
}

/** Of a server for one dump: its preloaded libraries do no work of their own, and its table of locks has room for all it holds. */
function dumpSettings(tables: number): Settings {
  return {
    max_connections: String(SCRATCH_CONNECTIONS),
    max_locks_per_transaction: String(Math.max(64, Math.ceil((LOCKS_PER_TABLE * tables) / SCRATCH_CONNECTIONS))),
    max_worker_processes: '0',
    'cron.database_name': RESTORED,
  };
}
/** Jobs of pg_restore are 64 at most. */
const SCRATCH_CONNECTIONS = 80;
/** With its indexes, its sequence and the TOAST table and index of each. */
const LOCKS_PER_TABLE = 12;

async function restoredDump(
  logical: LogicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  server: ScratchServer,
): Promise<VerifyVerdict> {
  const { connection } = server;
  const { backup } = bound;
  await logical.restoreGlobals(context, { ...bound, connection });
  const { contents, accepted } = await logical.restoreDatabase(context, {
    ...bound,
    intoDatabase: RESTORED,
    connection,
    restoreAs: context.cluster.restoreAs,
  });
  return {
    ok: true,
    detail: `restored; ${contents.length} tables ${backup.contents === undefined ? 'could be read' : 'hold the rows recorded with the backup'}${acceptedText(accepted)}`,
    contents,
  };
}

/** Of what a restore went on after, as much as a person reads at once. */
export function acceptedText(accepted: readonly string[]): string {
  if (accepted.length === 0) return '';
  const more = accepted.length > 3 ? `; and ${accepted.length - 3} more` : '';
  return `; noted: ${accepted.slice(0, 3).join('; ')}${more}`;
}
