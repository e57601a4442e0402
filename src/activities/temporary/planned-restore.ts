import { join } from 'node:path';
import pg from 'pg';
import type { Backup } from '../../domain/backup/backup.js';
import type { ConnectionConfig } from '../../domain/config.js';
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ReachedTarget } from '../../domain/operation/step-events.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { formatTarget } from '../../domain/target/target.js';
import type { BoundBackup, EngineContext } from '../../engines/engine.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { scratchConnection, type ScratchServer } from '../../postgres/server/scratch-cluster.js';
import { runProgram } from '../../process/exec/run-program.js';
import { endJobsOf, operationsInUse } from '../../process/jobs/supervisor.js';
import { sha256Hex } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { openTemporaryInstances, type TemporaryInstance } from '../../records/temporary-instances.js';
import type { ActivityRun } from '../activity-wrapper.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  forBackup,
  policyOf,
} from '../cluster-context.js';
import { withQuarantine } from '../recovery/damaged-backup.js';
import { PEOPLE_ROLE } from './people-login.js';
import { copyFromPristine, keepPristine } from './pristine-copy.js';
import { preloadOfSource, recoverCopy, restoreDump, type RunningCopy, startDumpServer } from './restored-copy.js';

/** A restore that was planned, into a temporary instance that its operation has claimed. */
export interface InstanceWork {
  readonly clusterContext: ClusterContext;
  readonly planned: PlannedRestore;
  readonly instance: TemporaryInstance;
  /** Names its socket; absent: nobody minds. */
  readonly port?: number;
  /** Its jobs and what was done once are named by it: another one each time that the directory was emptied. */
  readonly restoreId: string;
  readonly planDigest?: string;
  /** How often a person had the step tried again. */
  readonly retry?: number | undefined;
}

/** Tablespaces of what is restored there, each below it by its number. */
const instanceTablespaces = (dataDir: string): string => `${dataDir}.tablespaces`;

/** One digest for all that is bound of a backup. */
export function contentDigest(content: BoundBackup['content']): string {
  return sha256Hex(canonicalJson(content));
}

/**
 * What the engine of a restore works with.
 * @param major of a data directory that is restored already: then no backup is looked for
 */
export async function instanceContext(
  work: InstanceWork,
  run: ActivityRun,
  major: number | null = null,
): Promise<EngineContext> {
  const { clusterContext, planned, restoreId, planDigest, retry } = work;
  const policy = policyOf(clusterContext, planned.policy);
  const [first] = major === null ? await plannedBackups(work, run) : [];
  const restored = major === null ? clusterContext : { ...clusterContext, major };
  const own = first === undefined ? restored : forBackup(clusterContext, first);
  return engineContext(own, policy, run, restoreId, [], {
    ...(planDigest === undefined ? {} : { planDigest }),
    retry,
  });
}

/**
 * The backups of a restore as they are listed now.
 * @throws RepriseError `no-usable-backup` for one that is gone or was quarantined since
 */
export async function plannedBackups(
  work: Pick<InstanceWork, 'clusterContext' | 'planned'>,
  run: ActivityRun,
): Promise<readonly Backup[]> {
  const { clusterContext, planned } = work;
  return usableAmong(work, await currentBackups(clusterContext, run, [policyOf(clusterContext, planned.policy)]));
}

function usableAmong(
  { clusterContext, planned: { backups } }: Pick<InstanceWork, 'clusterContext' | 'planned'>,
  known: readonly Backup[],
): readonly Backup[] {
  return backups.map(({ id }) => {
    const backup = known.find((one) => one.id === id);
    if (backup !== undefined && ['complete', 'quarantined'].includes(backup.status)) return backup;
    throw new RepriseError(
      'no-usable-backup',
      `backup ${id}, which was to be restored, is ${backup?.status ?? 'gone'}`,
      `list the backups: reprise backup list ${clusterContext.cluster.name}`,
    );
  });
}

/**
 * The same with what is bound of each: what has changed since the plan is not restored.
 * @throws RepriseError `backup-corrupt`
 */
async function boundBackups(
  work: InstanceWork,
  context: EngineContext,
  run: ActivityRun,
): Promise<readonly BoundBackup[]> {
  const { clusterContext, planned } = work;
  const policy = policyOf(clusterContext, planned.policy);
  const engine = engineFor(clusterContext, policy);
  const known = await currentBackups(clusterContext, run, [policy]);
  const bound: BoundBackup[] = [];
  for (const backup of usableAmong(work, known)) {
    const content = await engine.bindBackup(context, backup, known);
    if (contentDigest(content) !== planned.backups.find(({ id }) => id === backup.id)?.content)
      throw new RepriseError(
        'backup-corrupt',
        `backup ${backup.id} is not what it was when its restore was planned`,
        `see who changed it; verify it: reprise backup verify ${backup.id}`,
        { damagedBackup: backup.id },
      );
    bound.push({ backup, content });
  }
  return bound;
}

/** How steps of our own reach the server: by a socket that only its owner can use. */
export function instanceConnection({
  clusterContext,
  planned,
  instance: { dataDir },
  port,
}: Pick<InstanceWork, 'clusterContext' | 'planned' | 'port'> & {
  readonly instance: Pick<TemporaryInstance, 'dataDir'>;
}): ConnectionConfig {
  const isPhysical = planned.method === 'data-directory';
  // Of a fresh cluster it is the role that initdb makes.
  const { user, maintenanceDatabase } = clusterContext.cluster.connection;
  const own = scratchConnection({
    dataDir,
    role: isPhysical ? user : 'postgres',
    ...(port === undefined ? {} : { port }),
  });
  return isPhysical ? { ...own, maintenanceDatabase } : own;
}

/** Tools that still fill the directories of an operation: those whose jobs have names that begin so. */
export async function endRestores(stateDir: string, prefix: string): Promise<void> {
  for (const one of await operationsInUse(stateDir, 0)) if (one.startsWith(prefix)) await endJobsOf(stateDir, one);
}

/** What a restore does once in an emptied directory: its result. */
export async function onceInRestore<T>(work: InstanceWork, what: string, fn: () => Promise<T>): Promise<T> {
  const state = openHostState(work.clusterContext.host.stateDir);
  const done = await state.onceDone<T>(work.restoreId, what);
  if (done !== null) return done.result;
  const result = await fn();
  await state.recordDone(work.restoreId, what, result);
  return result;
}

const now = async (): Promise<string> => new Date().toISOString();
const BEGUN = 'begun';
const RESTORED = 'restored';

/** When the restore began, and when its files or databases were there (UTC ISO-8601); those of the first time. */
export async function restoreTimes(
  work: InstanceWork,
): Promise<{ readonly startedAt: string; readonly restoredAt: string }> {
  return {
    startedAt: await onceInRestore(work, BEGUN, now),
    restoredAt: await onceInRestore(work, RESTORED, now),
  };
}

/** Files of a physical backup, or a fresh cluster with the databases of dumps; found done where an earlier attempt did it. */
export async function restoreInstance(work: InstanceWork, run: ActivityRun): Promise<void> {
  const { clusterContext, planned, instance } = work;
  const { stateDir } = clusterContext.host;
  await onceInRestore(work, BEGUN, now);
  if ((await openHostState(stateDir).onceDone(work.restoreId, RESTORED)) !== null) return;
  const context = await instanceContext(work, run);
  const major = await majorOf(context);
  const instances = openTemporaryInstances(stateDir);
  // By its programs a sweep stops it.
  await instances.update({ ...((await instances.at(instance.dataDir)) ?? instance), major });
  if (planned.method === 'databases') await restoreDumps(work, context, run);
  else
    await withQuarantine(clusterContext, instance, planned.backups[0]?.id, async () => {
      const [bound] = await boundBackups(work, context, run);
      const { physical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
      if (bound === undefined || physical === undefined) throw cannotRestore(planned);
      const { dataDir } = instance;
      const files = { ...bound, dataDir, tablespaceDir: instanceTablespaces(dataDir) };
      // Of an instance that its operation keeps itself, others are not made.
      if (instance.content === undefined) return physical.restoreFiles(context, files);
      if (await copyFromPristine(context, planned, dataDir)) return;
      await physical.restoreFiles(context, files);
      await keepPristine(context, planned, dataDir);
    });
  await onceInRestore(work, RESTORED, now);
}

async function majorOf({ pgBin, user }: EngineContext): Promise<number | null> {
  const { stdout } = await runProgram([join(pgBin, 'postgres'), '--version'], { user });
  return Number(/ (\d+)/.exec(stdout)?.[1] ?? NaN) || null;
}

/** Every dump under the name that its database had. */
async function restoreDumps(work: InstanceWork, context: EngineContext, run: ActivityRun): Promise<void> {
  const { clusterContext, planned, instance } = work;
  const { logical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
  if (logical === undefined) throw cannotRestore(planned);
  const server = await startDumps(work, context, run);
  for (const bound of await boundBackups(work, context, run)) {
    const database = bound.backup.database ?? '';
    await withQuarantine(clusterContext, instance, bound.backup.id, () =>
      onceInRestore(work, `database ${database}`, async () => {
        const connection = { ...server.connection, maintenanceDatabase: besides(database) };
        await onceInRestore(work, `room for ${database}`, () => dropDefault(connection, database));
        const restored = (own: EngineContext, only?: PlannedRestore['only']) =>
          restoreDump(logical, own, bound, { connection }, database, only);
        const { accepted } = await (planned.only === undefined
          ? restored(context)
          : restoreTables(work, planned.only, { database, context, restored }, run));
        return { accepted };
      }),
    );
  }
}

interface TablesOfDump<T> {
  readonly database: string;
  readonly context: EngineContext;
  readonly restored: (context: EngineContext, only?: PlannedRestore['only']) => Promise<T>;
}

/** Rows of some tables alone; all rows where code of the dump needs those of others, as a check that looks into another table does. */
async function restoreTables<T>(
  work: InstanceWork,
  only: PlannedRestore['only'],
  { database, context, restored }: TablesOfDump<T>,
  run: ActivityRun,
): Promise<T> {
  const state = openHostState(work.clusterContext.host.stateDir);
  const needsAll = `all rows of ${database} are needed`;
  if ((await state.onceDone(work.restoreId, needsAll)) === null)
    try {
      return await restored(context, only);
    } catch (error) {
      if (!isRepriseError(error) || error.code !== 'check-failed') throw error;
      await state.recordDone(work.restoreId, needsAll, error.message);
    }
  // Its jobs are others: those of before have failed.
  return restored(await instanceContext({ ...work, restoreId: `${work.restoreId}-whole` }, run));
}

/** From where a database can be dropped and made. */
const besides = (database: string): string => (database === 'template1' ? 'postgres' : 'template1');

/** Databases that a fresh cluster has, and that are dumped like others. */
async function dropDefault(connection: ConnectionConfig, database: string): Promise<null> {
  if (!['postgres', 'template1'].includes(database)) return null;
  await withMaintenance(connection, async (client) => {
    const name = pg.escapeIdentifier(database);
    await client.query(`ALTER DATABASE ${name} IS_TEMPLATE false`);
    await client.query(`DROP DATABASE ${name}`);
  });
  return null;
}

async function startDumps(work: InstanceWork, context: EngineContext, run: ActivityRun): Promise<ScratchServer> {
  const { instance, port } = work;
  const backups = await plannedBackups(work, run);
  const tables = backups.reduce((sum, { contents = [] }) => sum + contents.length, 0);
  const database = backups[0]?.database ?? 'postgres';
  const place = {
    dataDir: instance.dataDir,
    ...(port === undefined ? {} : { port }),
    ...(instance.content?.purpose === 'explore' ? { passwordRole: PEOPLE_ROLE } : {}),
  };
  return startDumpServer(context, { ...place, tables, database }, await preloadOf(work));
}

/** On another host the source's address may be another server's. */
export async function preloadOf({
  clusterContext: { cluster, deps },
}: Pick<InstanceWork, 'clusterContext'>): Promise<string> {
  return cluster.host === deps.host ? preloadOfSource({ cluster }) : '';
}

function cannotRestore({ engine }: PlannedRestore): RepriseError {
  return new RepriseError('capability-missing', `engine ${engine} cannot restore`);
}

/**
 * What was restored as a whole runs, at the target of its plan; half of it never does. One that stands at an earlier target goes on
 * from there.
 * @throws RepriseError `conflict` where the restore is not whole
 */
export async function startInstance(work: InstanceWork, run: ActivityRun): Promise<RunningCopy> {
  const { clusterContext, planned, instance, port } = work;
  const { dataDir } = instance;
  const state = openHostState(clusterContext.host.stateDir);
  if ((await state.onceDone(work.restoreId, RESTORED)) === null)
    throw new RepriseError(
      'conflict',
      `${dataDir} holds no whole restore of ${planned.policy}: it is not started`,
      'the operation restores it first; start another one where this one cannot go on',
    );
  const context = await instanceContext(work, run, planned.method === 'databases' ? null : instance.major);
  if (planned.method === 'databases') return { server: await startDumps(work, context, run), progress: null };
  const { physical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
  const { stopsAt, timeline } = planned.recovery ?? {};
  if (physical === undefined || stopsAt === undefined || stopsAt.kind === 'latest') throw cannotRestore(planned);
  const place = { dataDir, ...(port === undefined ? {} : { port }) };
  return recoverCopy(physical, context, place, { stopsAt, timeline: timeline ?? 'latest' }, await preloadOf(work));
}

/** Where a copy is, in words and figures. */
export function reachedBy(planned: PlannedRestore, progress: RunningCopy['progress']): ReachedTarget {
  const { target, recovery, lastCommitAt = null } = planned;
  if (progress === null)
    return {
      reached: `dumps of ${planned.backups.map(({ label }) => label).join(', ')}`,
      ...{ lastLsn: null, lastCommitAt, complete: false, target },
    };
  const { replayLsn, lastReplayedCommitAt } = progress;
  const stopsAt = recovery?.stopsAt ?? target;
  return {
    reached: `${formatTarget(target)}: ${formatTarget(stopsAt)}, replayed to ${replayLsn ?? 'unknown'}`,
    lastLsn: replayLsn,
    lastCommitAt: lastReplayedCommitAt ?? lastCommitAt,
    ...{ complete: false, target },
  };
}
