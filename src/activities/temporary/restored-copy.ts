import type { PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError } from '../../domain/errors.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { BoundBackup, EngineContext, LogicalRestore, PhysicalRestore, ReadContext } from '../../engines/engine.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import type { Settings } from '../../postgres/recovery/auto-conf.js';
import { configureRecovery, stopsAtTarget } from '../../postgres/recovery/recovery.js';
import type { ReplayProgress } from '../../postgres/recovery/recovery-progress.js';
import { waitForPause } from '../../postgres/recovery/recovery-wait.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { processesIn } from '../../postgres/server/postmaster.js';
import { type ScratchServer, startScratchServer } from '../../postgres/server/scratch-cluster.js';
import { serviceOf } from '../../postgres/server/service.js';
import { initScratchCluster } from '../../postgres/server/scratch-directory.js';
import { withWalPrefetch } from '../backup/wal-prefetch.js';

/** Where a copy is restored: a directory of its own, in which nothing else is. */
export interface CopyPlace {
  readonly dataDir: string;
  /** Names its socket; absent: nobody minds. */
  readonly port?: number;
}

/**
 * What a transaction under way has locked stays locked where the replay stands: nobody waits for it for ever. Nothing is to be vacuumed where
 * its recovery was ended. While it lasts, no transaction can be serializable.
 */
const PATIENCE: Settings = {
  lock_timeout: '1min',
  autovacuum: 'off',
  default_transaction_isolation: 'read committed',
};

/** A running copy, and how far it has replayed; null of dumps, which are not replayed. */
export interface RunningCopy {
  readonly server: ScratchServer;
  readonly progress: ReplayProgress | null;
}

export interface CopyTarget {
  /** A place in the WAL at which it pauses: `latest` would follow what is archived meanwhile. */
  readonly stopsAt: Exclude<RecoveryTarget, { kind: 'latest' }>;
  readonly timeline: number | 'latest';
}

/**
 * Starts the restored files of a physical backup, with archiving, jobs and network off, and waits until it pauses at its target, read-only.
 * One that an attempt before this one started is waited for; one that has stopped, or pauses at an earlier target, goes on from where it
 * was.
 * @throws RepriseError what {@link startScratchServer} and {@link waitForPause} throw
 */
export async function recoverCopy(
  physical: PhysicalRestore,
  context: ReadContext,
  place: CopyPlace,
  { stopsAt, timeline }: CopyTarget,
  preload: string,
): Promise<RunningCopy> {
  const { pgBin, user, cluster } = context;
  const { dataDir, port } = place;
  const report = ({ replayLsn }: ReplayProgress): void =>
    context.report({ phase: `replaying WAL, at ${replayLsn ?? 'the start'}`, done: 0, unit: 'segments' });
  const start = async (settings: Settings): Promise<RunningCopy> => {
    const recovery = {
      ...{ dataDir, user, target: stopsAt, timeline },
      restoreCommand: physical.restoreCommand(context),
      restoreBeginningCommand: physical.restoreBeginningCommand?.(context),
      salvageDir: null,
      clone: true,
      control: await readControlData(pgBin, dataDir, user),
    };
    // Never resumed in place: `pg_wal_replay_resume` promotes at a target.
    if ((await processesIn(dataDir)).length > 0 && !(await stopsAtTarget(recovery)))
      await serviceOf({ dataDir, service: { kind: 'pg_ctl' } }, pgBin, user).stop('fast');
    if ((await processesIn(dataDir)).length === 0) await configureRecovery(recovery);
    return withWalPrefetch(physical, context, dataDir, async (signal) => {
      const role = cluster.connection.user;
      const server = await startScratchServer({
        ...{ dataDir, pgBin, user, port, preload, role, signal },
        settings: { ...PATIENCE, ...settings },
        fetchesWal: true,
      });
      const { service } = server;
      try {
        return { server, progress: await waitForPause(server.connection, { service, signal, report }) };
      } catch (error) {
        // What is raised below takes a start of its own.
        if (raised(error) !== null) await service.stop('fast');
        throw error;
      }
    });
  };
  try {
    return await start({});
  } catch (error) {
    const raise = raised(error);
    if (raise === null) throw error;
    return start(raise);
  }
}

/** A setting that was raised on the source after the backup keeps a hot standby from going on: what it has to be. */
function raised(error: unknown): Settings | null {
  return isRepriseError(error) ? ((error.details['raise'] as Settings | undefined) ?? null) : null;
}

/** Room for restored tables in the server's table of locks. */
export interface DumpServer extends CopyPlace {
  /** Of all dumps. */
  readonly tables: number;
  /** Name of the database that pg_cron may be made in. */
  readonly database: string;
  /** A role that needs its password. */
  readonly passwordRole?: string;
}

/** Jobs of pg_restore are 64 at most. */
const CONNECTIONS = 80;
/** With its indexes, its sequence and the TOAST table and index of each. */
const LOCKS_PER_TABLE = 12;

/** A fresh, empty server for dumps, made where there is none yet; only its owner reaches it. */
export async function startDumpServer(
  { pgBin, user, signal }: Pick<ReadContext, 'pgBin' | 'user' | 'signal'>,
  { tables, database, ...place }: DumpServer,
  preload: string,
): Promise<ScratchServer> {
  await initScratchCluster(place.dataDir, pgBin, user);
  return startScratchServer({
    ...{ ...place, pgBin, user, signal, preload },
    settings: {
      max_connections: String(CONNECTIONS),
      max_locks_per_transaction: String(Math.max(64, Math.ceil((LOCKS_PER_TABLE * tables) / CONNECTIONS))),
      // Preloaded libraries do no work of their own.
      max_worker_processes: '0',
      'cron.database_name': database,
    },
  });
}

/** Restores a dump, with the roles that it needs, into a database of a server of its own. */
export async function restoreDump(
  logical: LogicalRestore,
  context: EngineContext,
  bound: BoundBackup,
  { connection }: Pick<ScratchServer, 'connection'>,
  intoDatabase: string,
  only?: PlannedRestore['only'],
) {
  await logical.restoreGlobals(context, { ...bound, connection });
  return logical.restoreDatabase(context, {
    ...bound,
    intoDatabase,
    connection,
    only,
    restoreAs: context.cluster.restoreAs,
  });
}

/** With its libraries the copy is read as the source is; a source that does not answer keeps no backup from its restore. */
export async function preloadOfSource({ cluster: { connection } }: Pick<ReadContext, 'cluster'>): Promise<string> {
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
