import type { RestoredService } from '../../checks/check.js';
import type { CheckConfig } from '../../domain/config.js';
import type { TableCount } from '../../domain/backup/backup.js';
import { largeObjectCounts } from '../../domain/backup/large-objects.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import type { RecordedIncident } from '../../domain/backup/catalogue.js';
import type { RecoveryOutcome } from '../../domain/backup/records.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { Plan } from '../../domain/plan/plan.js';
import { type RecoveryFacts, recoveryFigures } from '../../domain/plan/recovery-figures.js';
import { type ReadTables, readTables } from '../../postgres/content/read-tables.js';
import { measuredRecovery } from '../../domain/plan/predict-duration.js';
import { openHostState } from '../../records/host-state.js';
import { openMeasuredRestores } from '../../records/measured-restores.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { incidentDocument } from '../../reports/incident-report.js';
import type { CheckResult, HostActivities, PlannedStep, ReachedTarget, StepInput } from '../api.js';
import { approvalsOf, authorize, closePlansOf } from '../approval/authorize.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { SWAPPED } from './database-steps.js';
import { newDatabaseName, connectionAt } from '../../domain/plan/recovery-place.js';
import { checkMedia } from './recovered-media.js';
import { type AuthorizedStep, openAuthorizedStep, isDone } from './authorized-step.js';
import { type ClusterContext, openClusterContext, postgresBinOf, record } from '../cluster-context.js';
import { canaryOf } from '../inspection/canary-writer.js';
import { sampleMedia } from '../media/sample.js';
import { recordTold } from '../told.js';

/** Checks what was recovered, and records the outcome. */
export function finishingActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'runChecks' | 'finishRecovery' | 'writeReport'> {
  return {
    runChecks: wrapActivity('runChecks', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      const { cluster } = work.clusterContext;
      if (!work.plan.binding.steps.includes('run-checks')) return [];
      const results: CheckResult[] = [];
      const beside = step.method === 'databases' && !(await isDone(work, step, SWAPPED));
      const restored = await restoredService(work, step, beside, run);
      for (const check of Object.values(cluster.checks))
        if (check.enabled !== false) results.push(await runOne(work, check, restored, run));
      const { media } = work.plan.binding;
      if (media) results.push(await checkMedia(work, step, media, beside));
      return results;
    }),
    finishRecovery: wrapActivity('finishRecovery', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const earlier = (await clusterContext.catalogue.state()).outcomes.get(step.operationId);
      if (earlier) {
        await closePlansOf(clusterContext, step.operationId);
        return earlier.outcome;
      }
      const plan = await authorize(clusterContext, step);
      const facts = await factsOf(clusterContext, plan);
      const found = recoveryFigures(facts);
      if (found === null)
        throw new RepriseError(
          'conflict',
          `the ledger of this host does not say that plan ${plan.digest.slice(0, 12)} was carried out`,
          `see what was done: reprise status ${step.workflowId}`,
        );
      if (step.firstFailedAt !== undefined)
        await recordTold(clusterContext, step, { step: 'first failed check', text: step.firstFailedAt });
      const report = await writeDocument(clusterContext, step, found);
      const outcome: RecoveryOutcome = { ...found, report };
      await record(clusterContext, step, 'outcome', { kind: 'outcome', workflowId: step.workflowId, outcome });
      const measured = { id: step.operationId, at: new Date().toISOString(), ...wholeSecondsOf(facts) };
      await openMeasuredRestores(clusterContext.host.stateDir).add(measuredRecovery(plan, outcome, measured));
      await closePlansOf(clusterContext, step.operationId);
      return outcome;
    }),
    writeReport: wrapActivity('writeReport', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const known = (await clusterContext.catalogue.state()).outcomes.get(step.operationId);
      return writeDocument(clusterContext, step, known?.outcome ?? null);
    }),
  };
}

/** From the order, and not from when the cluster was seen to fail; a thaw is predicted by itself. */
function wholeSecondsOf(facts: RecoveryFacts): { wholeSeconds?: number } {
  if (facts.plan.binding.thaw !== undefined) return {};
  const figures = recoveryFigures({ ...facts, failingSince: null });
  return figures === null ? {} : { wholeSeconds: figures.rtoSeconds };
}

/** What this host knows by itself of the operation of a plan. */
async function factsOf({ host }: ClusterContext, plan: Plan): Promise<RecoveryFacts> {
  const { operationId } = plan.binding;
  const state = openHostState(host.stateDir);
  const ledger = openOperationLedger(host.stateDir);
  const own = (await state.plans()).filter(({ binding }) => binding.operationId === operationId);
  const plans = await Promise.all(
    own.map(async (one) => ({
      createdAt: one.createdAt,
      approvedAt: (await approvalsOf(state, one)).at(-1)?.at ?? null,
    })),
  );
  const claim = await ledger.claimOf(operationId);
  return {
    plan,
    plans,
    requestedAt: claim?.at ?? plan.createdAt,
    failingSince: claim?.failingSince ?? null,
    events: await ledger.events(operationId),
  };
}

/** Writes the incident document from the records as they are now; returns its key in the repository. */
async function writeDocument(
  clusterContext: ClusterContext,
  { cluster, operationId, incident }: StepInput & { incident?: string },
  outcome: Omit<RecoveryOutcome, 'report'> | null,
): Promise<string> {
  const facts = await clusterContext.catalogue.state();
  const plans = [...facts.plans.values()].filter((entry) => entry.operationId === operationId);
  // One may have been begun and left for another, whose backup was whole.
  const plan = (plans.findLast(({ usedAt }) => usedAt !== null) ?? plans.at(-1))?.plan ?? null;
  const document = incidentDocument({
    cluster,
    operationId,
    plan,
    outcome,
    journal: facts.journalOf(operationId),
    approvals: facts.approvals.filter((entry) => entry.operationId === operationId),
    refusals: facts.refusals.filter((entry) => entry.operationId === operationId),
    incident: [...facts.incidents.values()].find((one) => one.id === incident && isOf(one, operationId)) ?? null,
    kept: facts.kept.filter((entry) => entry.operationId === operationId),
    language: 'en',
  });
  return clusterContext.catalogue.writeIncidentDocument(operationId, document);
}

/** An incident's first recovery has its operation id, each further one that id and a number. */
function isOf(incident: RecordedIncident, operationId: string): boolean {
  return operationId === incident.operationId || operationId.startsWith(`${incident.operationId}-`);
}

/** What checks are told of what was restored. Databases that are not swapped in yet have their new names. */
async function restoredService(
  { clusterContext, plan, dataDir }: AuthorizedStep,
  { operationId }: PlannedStep,
  beside: boolean,
  { signal }: ActivityRun,
): Promise<RestoredService & { readonly nameOf: (database: string) => string; readonly beside: boolean }> {
  const { method, backups: planned, target } = plan.binding;
  const nameOf = (database: string): string =>
    beside ? newDatabaseName(database, plan.binding.operationId) : database;
  const ids = planned.map(({ id }) => id);
  const { backups } = await clusterContext.catalogue.state();
  const databases = method === 'databases' ? planned.flatMap(({ database }) => database ?? []).map(nameOf) : null;
  const replayed = (await openOperationLedger(clusterContext.host.stateDir).events(operationId)).findLast(
    ({ step, what, plan: of }) => step === 'replayWal' && what === 'done' && of === plan.digest,
  );
  const connection = connectionAt(clusterContext.cluster, plan.binding);
  let tables: Promise<ReadTables> | undefined;
  return {
    method: method === 'databases' ? 'databases' : 'data-directory',
    databases,
    dataDir: method === 'databases' ? null : dataDir,
    pgBin: await postgresBinOf(clusterContext),
    user: clusterContext.user,
    target,
    reached: (replayed?.result as ReachedTarget | undefined) ?? null,
    backups: backups
      .filter(({ id }) => ids.includes(id))
      .map((one) => ({ ...one, ...(one.database === undefined ? {} : { database: nameOf(one.database) }) })),
    tables: () => (tables ??= readTables(connection, databases, signal)),
    nameOf,
    beside,
  };
}

/** One check; an unreachable server or a wrong query is a failed check, not a failed recovery. */
async function runOne(
  work: AuthorizedStep,
  check: CheckConfig,
  { nameOf, beside, ...restored }: Awaited<ReturnType<typeof restoredService>>,
  run: ActivityRun,
): Promise<CheckResult> {
  const { clusterContext, plan } = work;
  const { database } = check.options as { database?: string };
  const isApart = database !== undefined && nameOf(database) !== database;
  if (isApart && !plan.binding.backups.some((planned) => planned.database === database)) {
    return { name: check.name, status: 'skipped', detail: `database ${database} is not part of this recovery` };
  }
  const options = isApart ? { ...check.options, database: nameOf(database) } : check.options;
  try {
    const connection = connectionAt(clusterContext.cluster, plan.binding);
    const { status, detail } = await clusterContext.deps.checkOf(check.type).run(
      {
        connection,
        checksRole: clusterContext.cluster.checksRole,
        recorded: (await recordedCounts(work)).map((one) => ({ ...one, database: nameOf(one.database) })),
        // Rows were counted with a dump, and close to a physical backup.
        recordedIsExact: (beside && plan.binding.through === undefined) || isBackupsEnd(plan.binding.target),
        signal: run.signal,
        restored,
        ...canaryOf(clusterContext),
        sampleMedia: (media, objects) =>
          sampleMedia(clusterContext, { connection, nameOf }, media, { objects, signal: run.signal }),
      },
      options,
    );
    return { name: check.name, status, detail };
  } catch (error) {
    return { name: check.name, status: 'failed', detail: isRepriseError(error) ? error.message : String(error) };
  }
}

function isBackupsEnd({ kind }: RecoveryTarget): boolean {
  return kind === 'end-of-backup' || kind === 'backup';
}

/** Rows as they were counted with the backups of the plan. A dump holds those of unlogged tables like those of others. */
async function recordedCounts({ clusterContext, plan }: AuthorizedStep): Promise<readonly TableCount[]> {
  const ids = plan.binding.backups.map(({ id }) => id);
  const { backups } = await clusterContext.catalogue.state();
  const all = backups
    .filter(({ id }) => ids.includes(id))
    .flatMap(({ contents, objects }) => [...(contents ?? []), ...largeObjectCounts(objects)]);
  const moved = plan.binding.backups.flatMap(({ database }) => database ?? []);
  const counts = plan.binding.through === undefined ? all : all.filter(({ database }) => moved.includes(database));
  return plan.binding.method === 'databases' ? counts.map(({ unlogged: _unlogged, ...count }) => count) : counts;
}
