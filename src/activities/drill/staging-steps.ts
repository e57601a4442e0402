import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { DrillRestored, PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { ReachedTarget } from '../../domain/operation/step-events.js';
import { formatTarget } from '../../domain/target/target.js';
import type { EngineContext } from '../../engines/engine.js';
import { runProgram } from '../../process/exec/run-program.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { promoteServer } from '../../postgres/recovery/recovery.js';
import { usedBytes } from '../../postgres/server/disk.js';
import { endScratchServer, startScratchServer, type ScratchServer } from '../../postgres/server/scratch-cluster.js';
import { requireMark, requireStagingApart, stagingTablespaces } from '../../postgres/server/staging-place.js';
import { openHostState } from '../../records/host-state.js';
import { openTemporaryInstances } from '../../records/temporary-instances.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities, DrillRestoreStep, DrillStep } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { engineFor, policyOf } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { withQuarantine } from '../recovery/damaged-backup.js';
import { emptyInstance, endJobsBelow, removeInstance } from '../temporary/instances.js';
import { protectedPaths } from '../../postgres/server/protected-paths.js';
import {
  preloadOfSource,
  recoverCopy,
  restoreDump,
  type RunningCopy,
  startDumpServer,
} from '../temporary/restored-copy.js';
import { releaseDrill } from './plan-drill.js';
import {
  boundBackups,
  type DrillWork,
  openDrillContext,
  openDrillWork,
  plannedBackups,
  restoreContext,
  restoreOf,
  restoreOperation,
  stagingConnection,
} from './staging.js';

type Steps = Pick<DrillActivities, 'wipeStaging' | 'restoreStaging' | 'startStaging' | 'openStaging' | 'closeStaging'>;

/** From an empty directory to a restored server, and back; each step is found done where an earlier attempt did it. */
export function stagingSteps(deps: HostDependencies): Steps {
  return {
    wipeStaging: wrapActivity('wipeStaging', async (step) => wipe(await openDrillWork(deps, step))),
    restoreStaging: wrapActivity('restoreStaging', async (step, run) => {
      const work = await openDrillWork(deps, step);
      await requireStaging(work);
      await restore(work, step, run);
    }),
    startStaging: wrapActivity('startStaging', async (step, run) => start(await openDrillWork(deps, step), step, run)),
    openStaging: wrapActivity('openStaging', async (step, run) => open(await openDrillWork(deps, step), step, run)),
    closeStaging: wrapActivity('closeStaging', async (step) => {
      const { clusterContext } = await openDrillContext(deps, step);
      await requireOwnOperation(clusterContext, step);
      const { all } = openTemporaryInstances(clusterContext.host.stateDir);
      try {
        // Staging, and what a check that was cut off has in the scratch directory.
        for (const instance of await all())
          if (instance.operationId === step.operationId && instance.cluster === step.cluster)
            await removeInstance(clusterContext, instance);
      } finally {
        // Also where something else is in the place now: rotation must not wait for it.
        await releaseDrill(clusterContext, step);
      }
    }),
  };
}

/** Before anything is changed there: since the plan somebody may have moved, mounted or linked something. */
async function requireStaging({ clusterContext: { deps }, place }: DrillWork): Promise<void> {
  await requireStagingApart(place, await protectedPaths(deps, place.dataDir));
  await requireMark(place);
}

async function wipe(work: DrillWork): Promise<void> {
  const { clusterContext, instance } = work;
  const { stateDir } = clusterContext.host;
  await requireStaging(work);
  // Of an attempt before a Reset: it would fill the directory again.
  await endJobsBelow(stateDir, instance.operationId);
  await emptyInstance(clusterContext, instance);
  await openTemporaryInstances(stateDir).update({ ...instance, generation: instance.generation + 1 });
}

/** What a restore does once in an emptied directory: its result and when it came. */
async function once<T>(work: DrillWork, index: number, what: string, fn: () => Promise<T>): Promise<T> {
  const state = openHostState(work.clusterContext.host.stateDir);
  const operationId = restoreOperation(work, index);
  const done = await state.onceDone<T>(operationId, what);
  if (done !== null) return done.result;
  const result = await fn();
  await state.recordDone(operationId, what, result);
  return result;
}

const now = async (): Promise<string> => new Date().toISOString();
const BEGUN = 'begun';
const RESTORED = 'restored';

async function restore(work: DrillWork, step: DrillRestoreStep, run: ActivityRun): Promise<void> {
  const { clusterContext, place, instance } = work;
  const { stateDir } = clusterContext.host;
  const { restore: index } = step;
  const planned = restoreOf(work, index);
  await once(work, index, BEGUN, now);
  if ((await openHostState(stateDir).onceDone(restoreOperation(work, index), RESTORED)) !== null) return;
  const context = await restoreContext(work, step, index, run);
  const major = await majorOf(context);
  // By its programs a sweep stops it.
  await openTemporaryInstances(stateDir).update({ ...instance, major });
  if (planned.method === 'databases') await restoreDumps(work, step, context, run);
  else
    await withQuarantine(clusterContext, step, planned.backups[0]?.id, async () => {
      const [bound] = await boundBackups(work, index, context, run);
      const { physical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
      if (bound === undefined || physical === undefined) throw cannotRestore(planned);
      const tablespaceDir = stagingTablespaces(place.dataDir);
      await physical.restoreFiles(context, { ...bound, dataDir: place.dataDir, tablespaceDir });
    });
  await once(work, index, RESTORED, now);
}

async function majorOf({ pgBin, user }: EngineContext): Promise<number | null> {
  const { stdout } = await runProgram([join(pgBin, 'postgres'), '--version'], { user });
  return Number(/ (\d+)/.exec(stdout)?.[1] ?? NaN) || null;
}

/** Every dump under the name that its database had. */
async function restoreDumps(
  work: DrillWork,
  step: DrillRestoreStep,
  context: EngineContext,
  run: ActivityRun,
): Promise<void> {
  const { clusterContext } = work;
  const { restore: index } = step;
  const planned = restoreOf(work, index);
  const { logical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
  if (logical === undefined) throw cannotRestore(planned);
  const server = await startDumps(work, context, index, run);
  for (const bound of await boundBackups(work, index, context, run)) {
    const database = bound.backup.database ?? '';
    await withQuarantine(clusterContext, step, bound.backup.id, () =>
      once(work, index, `database ${database}`, async () => {
        const connection = { ...server.connection, maintenanceDatabase: besides(database) };
        await once(work, index, `room for ${database}`, () => dropDefault(connection, database));
        const { accepted } = await restoreDump(logical, context, bound, { connection }, database);
        return { accepted };
      }),
    );
  }
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

async function startDumps(
  work: DrillWork,
  context: EngineContext,
  index: number,
  run: ActivityRun,
): Promise<ScratchServer> {
  const backups = await plannedBackups(work, index, run);
  const tables = backups.reduce((sum, { contents = [] }) => sum + contents.length, 0);
  const { dataDir, port } = work.place;
  const database = backups[0]?.database ?? 'postgres';
  return startDumpServer(context, { dataDir, port, tables, database }, await preloadOf(work));
}

/** On another host the source's address may be another server's. */
async function preloadOf({ clusterContext: { cluster, deps } }: DrillWork): Promise<string> {
  return cluster.host === deps.host ? preloadOfSource({ cluster }) : '';
}

function cannotRestore({ engine }: PlannedRestore): RepriseError {
  return new RepriseError('capability-missing', `engine ${engine} cannot restore`);
}

/** What was restored as a whole runs, also where its server has ended since; half of it never does. */
export async function restoredServer(work: DrillWork, step: DrillRestoreStep, run: ActivityRun): Promise<RunningCopy> {
  const { clusterContext, place } = work;
  const { restore: index } = step;
  const planned = restoreOf(work, index);
  const state = openHostState(clusterContext.host.stateDir);
  if ((await state.onceDone(restoreOperation(work, index), RESTORED)) === null)
    throw new RepriseError(
      'conflict',
      `${place.dataDir} holds no whole restore of ${planned.policy}: it is not started`,
      'the drill restores it first; start another drill where this one cannot go on',
    );
  const context = await restoreContext(work, step, index, run);
  if (planned.method === 'databases') return { server: await startDumps(work, context, index, run), progress: null };
  const { physical } = engineFor(clusterContext, policyOf(clusterContext, planned.policy));
  const { stopsAt, timeline } = planned.recovery ?? {};
  if (physical === undefined || stopsAt === undefined || stopsAt.kind === 'latest') throw cannotRestore(planned);
  return recoverCopy(physical, context, place, { stopsAt, timeline: timeline ?? 'latest' }, await preloadOf(work));
}

async function start(work: DrillWork, step: DrillRestoreStep, run: ActivityRun): Promise<DrillRestored> {
  const { clusterContext, place, folder } = work;
  const { restore: index } = step;
  const planned = restoreOf(work, index);
  const { progress } = await restoredServer(work, step, run);
  const readyAt = await once(work, index, 'ready', now);
  const startedAt = await once(work, index, BEGUN, now);
  const restoredAt = await once(work, index, RESTORED, now);
  const bytes = await once(
    work,
    index,
    'bytes',
    async () =>
      (await usedBytes(place.dataDir, clusterContext.user)) +
      (await usedBytes(stagingTablespaces(place.dataDir), clusterContext.user)),
  );
  const seconds = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / 1000;
  const restored: DrillRestored = {
    policy: planned.policy,
    engine: planned.engine,
    ...reachedBy(planned, progress),
    rtoSeconds: seconds(startedAt, readyAt),
    phases: [
      { name: 'restore', seconds: seconds(startedAt, restoredAt) },
      { name: progress === null ? 'start' : 'replay', seconds: seconds(restoredAt, readyAt) },
    ],
    bytes,
  };
  await folder.saveRestored(index, { ...restored, startedAt, readyAt });
  return restored;
}

function reachedBy(planned: PlannedRestore, progress: RunningCopy['progress']): ReachedTarget {
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
    complete: false,
    target: stopsAt,
  };
}

/** The last restore, open for writes, masked where there is a program for it, and then for people of this host. */
async function open(work: DrillWork, step: DrillStep, run: ActivityRun): Promise<{ connection: string }> {
  const { place, plan, clusterContext } = work;
  const index = plan.restores.length - 1;
  const planned = restoreOf(work, index);
  const restoreStep = { ...step, restore: index };
  const context = await restoreContext(work, step, index, run);
  const connection = stagingConnection(work, index);
  const state = openHostState(clusterContext.host.stateDir);
  // Kept before it is done: afterwards nobody waits for the target again.
  if ((await state.onceDone(restoreOperation(work, index), PROMOTION)) === null) {
    await restoredServer(work, restoreStep, run);
    await once(work, index, PROMOTION, now);
  }
  const { dataDir, port } = place;
  const { pgBin, user, signal } = context;
  const request = {
    ...{ dataDir, port, pgBin, user, signal, role: connection.user },
    preload: await preloadOf(work),
  };
  const people = await isForPeople(connection);
  const server = await startScratchServer({ ...request, forPeople: people });
  if (planned.method === 'data-directory') await promoteServer(connection, server.service);
  await once(work, index, 'masked', () => mask(work, context, connection));
  if (!people) {
    await endScratchServer(server.service, 'fast');
    await startScratchServer({ ...request, forPeople: true });
  }
  return { connection: `host=localhost port=${port} dbname=${quoteConninfo(databaseForPeople(work))}` };
}

function databaseForPeople({ plan, clusterContext: { cluster } }: DrillWork): string {
  return plan.restores.at(-1)?.backups[0]?.database ?? cluster.databases[0] ?? 'postgres';
}
const PROMOTION = 'promotion';

/** By an attempt before this one, which was cut off since. */
async function isForPeople(connection: ConnectionConfig): Promise<boolean> {
  try {
    return await withMaintenance(connection, async (client) => {
      const { rows } = await client.query<{ listen: string }>(
        "SELECT pg_catalog.current_setting('listen_addresses') AS listen",
      );
      return rows[0]?.listen !== '';
    });
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return false;
  }
}

/** As libpq reads it (manual, "Keyword/Value Connection Strings"). */
const quoteConninfo = (value: string): string =>
  /^[A-Za-z0-9_.-]+$/.test(value) ? value : `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** @throws RepriseError `tool-failed`: nobody is let in then */
async function mask(work: DrillWork, context: EngineContext, connection: ConnectionConfig): Promise<string | null> {
  const { mask: program } = work.drill;
  if (program === undefined) return null;
  await runProgram(program.argv, {
    user: context.user,
    timeoutMs: program.timeoutSeconds * 1000,
    signal: context.signal,
    leavesProcesses: true,
    env: {
      PGHOST: connection.host,
      PGPORT: String(connection.port),
      PGUSER: connection.user,
      PGDATABASE: databaseForPeople(work),
    },
  });
  return now();
}
