import type { CheckContext, CheckOutcome } from '../../checks/check.js';
import type { Backup, TableCount } from '../../domain/backup/backup.js';
import { largeObjectCounts } from '../../domain/backup/large-objects.js';
import type { CheckConfig } from '../../domain/config.js';
import type { DrillCheck, PlannedRestore } from '../../domain/drill/drill.js';
import { checksOf } from '../../domain/drill/drill-checks.js';
import { isRepriseError } from '../../domain/errors.js';
import { redact } from '../../domain/text/redact.js';
import { clipBytes } from '../../domain/text/text.js';
import { answeringServer } from '../../postgres/connection/answering-server.js';
import { type ReadTables, readTables } from '../../postgres/content/read-tables.js';
import { openHostState } from '../../records/host-state.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import type { DrillActivities, DrillRestoreStep } from '../api.js';
import { forBackup, postgresBinOf } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { canaryOf } from '../inspection/canary-writer.js';
import { sampleMedia } from '../media/sample.js';
import { readPostmaster } from '../../postgres/server/postmaster.js';
import { compareRestores, keepContent } from './cross-check.js';
import { dumpAgain } from './dump-again.js';
import { checkLog, keepingLogs } from './keep-logs.js';
import {
  type DrillWork,
  instanceWork,
  openDrillWork,
  restoreOf,
  restoreOperation,
  stagingConnection,
} from './staging.js';
import { plannedBackups, startInstance } from '../temporary/planned-restore.js';

/** Longest sentence of a check: the rest is in its file of the evidence. */
const LONGEST_DETAIL = 1000;

/** What was restored is checked, and what several engines restored is compared. */
export function stagingChecks(deps: HostDependencies): Pick<DrillActivities, 'checkStaging' | 'crossCheck'> {
  return {
    checkStaging: wrapActivity('checkStaging', async (step, run) => {
      const work = await openDrillWork(deps, step);
      const state = openHostState(work.clusterContext.host.stateDir);
      const operationId = restoreOperation(work, step.restore);
      const done = await state.onceDone<readonly DrillCheck[]>(operationId, CHECKED);
      if (done !== null) return done.result;
      const checks = await keepingLogs(work, step.restore, () => checkRestored(work, step, run));
      await work.folder.saveChecks(step.restore, checks);
      await state.recordDone(operationId, CHECKED, checks);
      return checks;
    }),
    crossCheck: wrapActivity('crossCheck', async (step) => {
      const work = await openDrillWork(deps, step);
      const checks = await compareRestores(work);
      await work.folder.saveChecks('cross', checks);
      return checks;
    }),
  };
}

/** Name of the step in the host's ledger, for what was restored into the directory as it was emptied last. */
const CHECKED = 'checked';

async function checkRestored(
  work: DrillWork,
  step: DrillRestoreStep,
  run: ActivityRun,
): Promise<readonly DrillCheck[]> {
  const { deps, cluster } = work.clusterContext;
  const planned = restoreOf(work, step.restore);
  const context = await contextOf(work, step, planned, run);
  const checks = checksOf(Object.values(cluster.checks), deps.checksOfEveryDrill());
  // An attempt before this one may have lost it.
  await startInstance(instanceWork(work, step.restore, step), run);
  const results: DrillCheck[] = [];
  for (const [index, check] of checks.entries()) {
    run.signal.throwIfAborted();
    run.report({ phase: `check ${check.name}`, done: index, total: checks.length, unit: 'steps' });
    results.push(await runOnLiving(work, step, check, context, run));
  }
  // Also where no check asked for it: the next restore empties the directory.
  await keepContent(work, step.restore, await context.restored.tables());
  return results;
}

type DrillCheckContext = CheckContext & Required<Pick<CheckContext, 'restored' | 'drill'>>;

async function contextOf(
  work: DrillWork,
  step: DrillRestoreStep,
  planned: PlannedRestore,
  run: ActivityRun,
): Promise<DrillCheckContext> {
  const { clusterContext, place, folder } = work;
  const { restore } = step;
  const connection = stagingConnection(work, restore);
  const backups = await plannedBackups({ clusterContext, planned }, run);
  const databases = planned.method === 'databases' ? backups.flatMap(({ database }) => database ?? []) : null;
  const [first] = backups;
  const { signal } = run;
  let tables: Promise<ReadTables> | undefined;
  const read = (): Promise<ReadTables> =>
    (tables ??= readTables(connection, databases, signal).catch((error: unknown) => {
      tables = undefined;
      throw error;
    }));
  return {
    connection,
    checksRole: clusterContext.cluster.checksRole,
    recorded: recordedOf(planned, backups),
    recordedIsExact: planned.method === 'databases' || planned.recovery?.stopsAt.kind === 'end-of-backup',
    signal,
    restored: {
      method: planned.method,
      databases,
      dataDir: place.dataDir,
      pgBin: await postgresBinOf(first === undefined ? clusterContext : forBackup(clusterContext, first)),
      user: clusterContext.user,
      target: planned.recovery?.stopsAt ?? planned.target,
      reached: await folder.restored(restore),
      backups,
      tables: read,
    },
    ...canaryOf(clusterContext),
    sampleMedia: (media, objects) =>
      sampleMedia(clusterContext, { connection, nameOf: (name) => name }, media, { objects, signal }),
    drill: {
      keep: (name, text) => folder.keepText(`checks/restore-${restore + 1}/${name}`, text),
      dumpAgain: async () => dumpAgain(work, step, await read(), run),
    },
  };
}

/** A dump holds the rows of unlogged tables like those of others. */
function recordedOf({ method }: PlannedRestore, backups: readonly Backup[]): readonly TableCount[] {
  const counts = backups.flatMap(({ contents, objects }) => [...(contents ?? []), ...largeObjectCounts(objects)]);
  return method === 'databases' ? counts.map(({ unlogged: _unlogged, ...count }) => count) : counts;
}

/** A check that lost its server, because somebody or the kernel killed it, says nothing of the data: once more, on one that runs again. */
async function runOnLiving(
  work: DrillWork,
  step: DrillRestoreStep,
  check: CheckConfig,
  context: DrillCheckContext,
  run: ActivityRun,
): Promise<DrillCheck> {
  const first = await runOne(work, step.restore, check, context, run);
  if (first.status !== 'failed' || (await hasServer(work, context))) return first;
  await startInstance(instanceWork(work, step.restore, step), run);
  return runOne(work, step.restore, check, context, run);
}

/** One that was killed a moment ago may still be listed as a process, but answers nobody. */
async function hasServer({ place }: DrillWork, { connection }: DrillCheckContext): Promise<boolean> {
  if ((await readPostmaster(place.dataDir))?.alive !== true) return false;
  return (await answeringServer(connection)) !== null;
}

/** One check, timed. What it throws is a failed check: the others are run all the same. */
async function runOne(
  work: DrillWork,
  restore: number,
  { name, type, options }: CheckConfig,
  context: DrillCheckContext,
  { signal }: ActivityRun,
): Promise<DrillCheck> {
  const { databases } = context.restored;
  const { database } = options as { database?: string };
  const log = (text: string) => work.folder.keepText(`logs/restore-${restore + 1}/${checkLog(name)}`, text);
  const began = performance.now();
  const outcome: CheckOutcome =
    databases !== null && database !== undefined && !databases.includes(database)
      ? { status: 'skipped', detail: `database ${database} is not part of this restore` }
      : await work.clusterContext.deps
          .checkOf(type)
          .run({ ...context, drill: { ...context.drill, log } }, options)
          .catch((error: unknown) => failureOf(error, signal));
  const { status, detail, hint, evidence } = outcome;
  return {
    ...{ policy: restoreOf(work, restore).policy, name, type, status },
    detail: clipBytes(redact(detail), LONGEST_DETAIL),
    ...(hint === undefined ? {} : { hint }),
    seconds: Math.round(performance.now() - began) / 1000,
    ...(evidence === undefined ? {} : { evidence }),
  };
}

function failureOf(error: unknown, signal: AbortSignal): CheckOutcome {
  signal.throwIfAborted();
  if (!isRepriseError(error)) throw error;
  return { status: 'failed', detail: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
}
