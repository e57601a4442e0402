import type { ConnectionConfig } from '../../domain/config.js';
import type { DrillRestored } from '../../domain/drill/drill.js';
import { isRepriseError } from '../../domain/errors.js';
import type { EngineContext } from '../../engines/engine.js';
import { runProgram } from '../../process/exec/run-program.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import { promoteServer } from '../../postgres/recovery/recovery.js';
import { usedBytes } from '../../postgres/server/disk.js';
import { endScratchServer, startScratchServer } from '../../postgres/server/scratch-cluster.js';
import { requireMark, requireStagingApart, stagingTablespaces } from '../../postgres/server/staging-place.js';
import { openHostState } from '../../records/host-state.js';
import { openTemporaryInstances } from '../../records/temporary-instances.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities, DrillRestoreStep, DrillStep } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import type { HostDependencies } from '../dependencies.js';
import { emptyInstance, endToolsOf, removeInstance } from '../temporary/instances.js';
import { protectedPaths } from '../../postgres/server/protected-paths.js';
import {
  instanceContext,
  onceInRestore,
  preloadOf,
  reachedBy,
  restoreInstance,
  restoreTimes,
  startInstance,
} from '../temporary/planned-restore.js';
import { keepingLogs } from './keep-logs.js';
import { releaseDrill } from './plan-drill.js';
import {
  type DrillWork,
  instanceWork,
  openDrillContext,
  openDrillWork,
  restoreOf,
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
      await keepingLogs(work, step.restore, () => restoreInstance(instanceWork(work, step.restore, step), run));
    }),
    startStaging: wrapActivity('startStaging', async (step, run) => {
      const work = await openDrillWork(deps, step);
      return keepingLogs(work, step.restore, () => start(work, step, run));
    }),
    openStaging: wrapActivity('openStaging', async (step, run) => {
      const work = await openDrillWork(deps, step);
      return keepingLogs(work, work.plan.restores.length - 1, () => open(work, step, run));
    }),
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
  await endToolsOf(stateDir, instance);
  await emptyInstance(clusterContext, instance);
  await openTemporaryInstances(stateDir).update({ ...instance, generation: instance.generation + 1 });
}

async function start(work: DrillWork, step: DrillRestoreStep, run: ActivityRun): Promise<DrillRestored> {
  const { clusterContext, place, folder } = work;
  const { restore: index } = step;
  const planned = restoreOf(work, index);
  const restore = instanceWork(work, index, step);
  const { progress } = await startInstance(restore, run);
  const readyAt = await onceInRestore(restore, 'ready', now);
  const { startedAt, restoredAt } = await restoreTimes(restore);
  const bytes = await onceInRestore(
    restore,
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

const now = async (): Promise<string> => new Date().toISOString();

/** The last restore, open for writes, masked where there is a program for it, and then for people of this host. */
async function open(work: DrillWork, step: DrillStep, run: ActivityRun): Promise<{ connection: string }> {
  const { place, plan, clusterContext } = work;
  const index = plan.restores.length - 1;
  const planned = restoreOf(work, index);
  const restore = instanceWork(work, index, step);
  const context = await instanceContext(restore, run);
  const connection = stagingConnection(work, index);
  const state = openHostState(clusterContext.host.stateDir);
  // Kept before it is done: afterwards nobody waits for the target again.
  if ((await state.onceDone(restore.restoreId, PROMOTION)) === null) {
    await startInstance(restore, run);
    await onceInRestore(restore, PROMOTION, now);
  }
  const { dataDir, port } = place;
  const { pgBin, user, signal } = context;
  const request = {
    ...{ dataDir, port, pgBin, user, signal, role: connection.user },
    preload: await preloadOf(restore),
  };
  const people = await isForPeople(connection);
  const isPhysical = planned.method === 'data-directory';
  const server = await startScratchServer({ ...request, forPeople: people, fetchesWal: isPhysical });
  if (isPhysical) await promoteServer(connection, server.service);
  await onceInRestore(restore, 'masked', async () => {
    // Triggers run then, and nothing is fetched any more: it goes on without a network.
    if (isPhysical && !people && work.drill.mask !== undefined) {
      await server.service.stop('fast');
      await startScratchServer(request);
    }
    return mask(work, context, connection);
  });
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
