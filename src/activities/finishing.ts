import type { CheckConfig } from '../domain/config.js';
import type { TableCount } from '../domain/backup.js';
import { isRepriseError } from '../domain/errors.js';
import type { RecoveryOutcome } from '../domain/records.js';
import type { RecoveryTarget } from '../domain/target.js';
import { openHostState } from '../records/host-state.js';
import { incidentDocument } from '../reports/incident-report.js';
import type { CheckResult, HostActivities } from './api.js';
import type { HostDependencies } from './dependencies.js';
import { type ActivityRun, guarded } from './guarded.js';
import { besideDatabase, connectionAt } from './places.js';
import { type Authorized, authorized } from './server-steps.js';
import { openSession, record } from './session.js';

/** Looks at what was recovered, and writes down what it came to (S4, S5). */
export function finishingActivities(deps: HostDependencies): Pick<HostActivities, 'runChecks' | 'finishRecovery'> {
  return {
    runChecks: guarded('runChecks', async (step, run) => {
      const work = await authorized(deps, step, run);
      const { cluster } = work.session;
      if (!work.plan.binding.steps.includes('run-checks')) return [];
      const results: CheckResult[] = [];
      for (const check of Object.values(cluster.checks)) results.push(await runOne(work, check, step.method === 'databases', run));
      return results;
    }),
    finishRecovery: guarded('finishRecovery', async (step) => {
      const session = await openSession(deps, step.cluster);
      const state = openHostState(session.host.stateDir);
      const plan = await state.readPlan(step.plan);
      const earlier = (await session.catalogue.state()).outcomes.get(step.operationId);
      if (!plan || earlier) return earlier?.outcome ?? { ...step.outcome, report: '' };
      const facts = await session.catalogue.state();
      const incidentOf = [...facts.incidents.values()].find(({ id }) => id === step.incident);
      const document = incidentDocument({
        cluster: step.cluster,
        operationId: step.operationId,
        plan,
        outcome: step.outcome,
        journal: facts.journalOf(step.operationId),
        approvals: facts.approvals.filter(({ digest }) => digest === plan.digest),
        refusals: facts.refusals.filter(({ operationId }) => operationId === step.operationId),
        incident: incidentOf ?? null,
        kept: facts.kept.filter(({ operationId }) => operationId === step.operationId),
        language: 'en',
      });
      const report = await session.catalogue.writeIncidentDocument(step.operationId, document);
      const outcome: RecoveryOutcome = { ...step.outcome, report };
      await record(session, step, 'outcome', { kind: 'outcome', workflowId: step.workflowId, outcome });
      await state.closePlan(plan.digest);
      return outcome;
    }),
  };
}

/** One check; an unreachable server or a wrong query is a failed check, not a failed recovery. */
async function runOne(work: Authorized, check: CheckConfig, beside: boolean, run: ActivityRun): Promise<CheckResult> {
  const { session, plan } = work;
  const { database } = check.options as { database?: string };
  const options = beside && database ? { ...check.options, database: besideDatabase(database, plan.binding.operationId) } : check.options;
  try {
    const connection = connectionAt(session.cluster, plan.binding);
    const { status, detail } = await session.deps.checkOf(check.type).run({ connection, recorded: await recordedCounts(work, database), recordedIsExact: beside || isBackupsEnd(plan.binding.target), signal: run.signal }, options);
    return { name: check.name, status, detail };
  } catch (error) {
    return { name: check.name, status: 'failed', detail: isRepriseError(error) ? error.message : String(error) };
  }
}

function isBackupsEnd({ kind }: RecoveryTarget): boolean {
  return kind === 'end-of-backup' || kind === 'backup';
}

/** Rows as they were counted with the backups of the plan. */
async function recordedCounts({ session, plan }: Authorized, database: string | undefined): Promise<readonly TableCount[]> {
  const ids = plan.binding.backups.map(({ id }) => id);
  const { backups } = await session.catalogue.state();
  return backups.filter(({ id }) => ids.includes(id)).flatMap(({ contents }) => (contents ?? []).filter((count) => !database || count.database === database));
}
