import type { CheckConfig } from '../../domain/config.js';
import type { TableCount } from '../../domain/backup/backup.js';
import { isRepriseError } from '../../domain/errors.js';
import type { RecoveryOutcome } from '../../domain/backup/records.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { incidentDocument } from '../../reports/incident-report.js';
import type { CheckResult, HostActivities, StepInput } from '../api.js';
import { authorize, closePlansOf } from '../approval/authorize.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { SWAPPED } from './database-steps.js';
import { newDatabaseName, connectionAt } from '../../domain/plan/recovery-place.js';
import { checkMedia } from './recovered-media.js';
import { type AuthorizedStep, openAuthorizedStep, isDone } from './authorized-step.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';

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
      for (const check of Object.values(cluster.checks)) results.push(await runOne(work, check, beside, run));
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
      await authorize(clusterContext, step);
      const report = await writeDocument(clusterContext, step, step.outcome);
      const outcome: RecoveryOutcome = { ...step.outcome, report };
      await record(clusterContext, step, 'outcome', { kind: 'outcome', workflowId: step.workflowId, outcome });
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
    incident: [...facts.incidents.values()].find(({ id }) => id === incident) ?? null,
    kept: facts.kept.filter((entry) => entry.operationId === operationId),
    language: 'en',
  });
  return clusterContext.catalogue.writeIncidentDocument(operationId, document);
}

/** One check; an unreachable server or a wrong query is a failed check, not a failed recovery. */
async function runOne(
  work: AuthorizedStep,
  check: CheckConfig,
  beside: boolean,
  run: ActivityRun,
): Promise<CheckResult> {
  const { clusterContext, plan } = work;
  const { database } = check.options as { database?: string };
  if (beside && database && !plan.binding.backups.some((planned) => planned.database === database)) {
    return { name: check.name, status: 'skipped', detail: `database ${database} is not part of this recovery` };
  }
  const options =
    beside && database
      ? { ...check.options, database: newDatabaseName(database, plan.binding.operationId) }
      : check.options;
  try {
    const connection = connectionAt(clusterContext.cluster, plan.binding);
    const { status, detail } = await clusterContext.deps.checkOf(check.type).run(
      {
        connection,
        recorded: await recordedCounts(work, database),
        recordedIsExact: beside || isBackupsEnd(plan.binding.target),
        signal: run.signal,
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

/** Rows as they were counted with the backups of the plan. */
async function recordedCounts(
  { clusterContext, plan }: AuthorizedStep,
  database: string | undefined,
): Promise<readonly TableCount[]> {
  const ids = plan.binding.backups.map(({ id }) => id);
  const { backups } = await clusterContext.catalogue.state();
  return backups
    .filter(({ id }) => ids.includes(id))
    .flatMap(({ contents }) => (contents ?? []).filter((count) => !database || count.database === database));
}
