import type { SignOff } from '../../domain/drill/drill.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import {
  changedRows,
  type RepairCheck,
  type RepairIncident,
  type RepairOutcome,
  type RepairPlan,
} from '../../domain/table/repair.js';
import { repairTitle } from '../../domain/table/repair-text.js';
import { visible } from '../../domain/text/text.js';
import { changedSince } from '../../postgres/repair/apply-changes.js';
import { writeChangesCsv } from '../../postgres/repair/change-set-csv.js';
import { reversedEntries, withChangeSet } from '../../postgres/repair/change-set-file.js';
import { openHostState } from '../../records/host-state.js';
import { openRepairFiles } from '../../records/repair-files.js';
import { writeReport } from '../incident/write-report.js';
import { repairReport } from '../../reports/repair/report.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { PlannedStep } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';
import { AFTER_REPAIR, countTableOf, countsOfTable } from './counts.js';
import { holdsOf } from './blocking.js';
import { FROZEN, openedStep } from './freeze.js';
import { askInvariant, invariantsOf } from './invariants.js';
import { brokenReferences } from './references.js';
import { type Applied, appliedBy, asRepair, countsOf, opened, repairPlanOf, STARTED } from './repair-session.js';

/** In the host's ledger: what the checks found, and a person's word. */
const CHECKED = 'repair-checked';
export const SIGNED_OFF = 'repair-signed-off';

export type ReportStep = PlannedStep & { readonly incident?: RepairIncident };

type RowsFile = NonNullable<RepairOutcome['rowsFile']>;

interface Checked {
  readonly checks: readonly RepairCheck[];
  /** UTC ISO-8601. */
  readonly at: string;
  /** Where the rows stand for a spreadsheet; null: they could not be written. */
  readonly rowsFile: RowsFile | null;
  /** Since when another operation kept the table frozen, UTC ISO-8601; absent: none did. */
  readonly heldSince?: string;
}

/** Looks whether the table is as it should be now, and writes the report so far; repeated, it writes the report again. */
export async function check(
  clusterContext: ClusterContext,
  step: ReportStep,
  run: ActivityRun,
): Promise<RepairOutcome> {
  const state = openHostState(clusterContext.host.stateDir);
  if ((await state.onceDone<Checked>(step.operationId, CHECKED, step.plan)) === null) {
    const { database, table } = (await repairPlanOf(clusterContext, step.plan)).binding.order;
    await countTableOf(clusterContext, { ...step, after: AFTER_REPAIR });
    const checks = [
      await rowsAreAsApproved(clusterContext, step),
      await rowsAddUp(clusterContext, step),
      await referencesHold(clusterContext, step),
      ...(await invariantsHold(clusterContext, step)),
      ...(await configuredChecks(clusterContext, database, run)),
    ];
    const [hold] = await holdsOf(clusterContext, { database, table });
    const rowsFile = await writeTable(clusterContext, step);
    const checked: Checked = { checks, at: new Date().toISOString(), rowsFile, ...(hold && { heldSince: hold.since }) };
    await state.recordDone(step.operationId, CHECKED, checked, step.plan);
  }
  return report(clusterContext, step, { isOver: false });
}

/** Writes the report of a repair, in Markdown and as HTML, from what this host has kept of it. */
export async function report(
  clusterContext: ClusterContext,
  step: ReportStep,
  { isOver }: { readonly isOver: boolean },
): Promise<RepairOutcome> {
  const { cluster, deps, host } = clusterContext;
  const { operationId } = step;
  const state = openHostState(host.stateDir);
  const plan = await repairPlanOf(clusterContext, step.plan);
  const { database, table } = plan.binding.order;
  const outcome = await outcomeSoFar(clusterContext, step, plan);
  const written = repairReport(
    {
      ...{ plan, outcome, isOver, incident: step.incident ?? null },
      approvals: await state.approvals(plan.digest),
      hasInvariants: invariantsOf(cluster, database, table).length > 0,
    },
    deps.config.language,
  );
  const key = await writeReport(clusterContext, operationId, written);
  const text = `${repairTitle(plan.binding)}: ${changedRows(outcome.done)} rows changed`;
  const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'table-repair', text };
  await record(clusterContext, step, 'repair-outcome', body);
  return { ...outcome, report: key };
}

/** What is known of the repair now. */
async function outcomeSoFar(
  clusterContext: ClusterContext,
  step: PlannedStep,
  { binding, observed, createdAt }: RepairPlan,
): Promise<Omit<RepairOutcome, 'report'>> {
  const { operationId } = step;
  const state = openHostState(clusterContext.host.stateDir);
  const kept = async <T>(name: string, plan?: string): Promise<T | null> =>
    (await state.onceDone<T>(operationId, name, plan))?.result ?? null;
  const counts = await countsOfTable(state, step);
  const frozenAt = await kept<string>(FROZEN, step.plan);
  return {
    ...{ database: binding.order.database, table: binding.order.table },
    done: countsOf(await appliedOf(clusterContext, step)),
    rowsBefore: observed.rowsNow,
    rowsAfter: counts.find(({ after }) => after === AFTER_REPAIR)?.rows ?? 0,
    startedAt: (await kept<string>(STARTED, step.plan)) ?? createdAt,
    ...found(await kept<Checked>(CHECKED, step.plan)),
    ...(binding.signOff === undefined ? {} : { signOff: await kept<SignOff>(SIGNED_OFF, step.plan) }),
    ...known('frozenAt', frozenAt),
    ...known('openedAt', frozenAt === null ? null : await kept<string>(openedStep(frozenAt))),
    counts,
  };
}

/** What the checks found; before them, the instant at which this is asked. */
function found(checked: Checked | null): Pick<RepairOutcome, 'checks' | 'finishedAt' | 'frozenAt' | 'rowsFile'> {
  if (checked === null) return { checks: [], finishedAt: new Date().toISOString() };
  const { checks, at, heldSince = null, rowsFile = null } = checked;
  return { checks, finishedAt: at, ...known('frozenAt', heldSince), ...(rowsFile === null ? {} : { rowsFile }) };
}

const known = <K extends string>(name: K, value: string | null): { readonly [one in K]?: string } =>
  value === null ? {} : ({ [name]: value } as { readonly [one in K]: string });

/** The rows for a spreadsheet. Null: it could not be written, as on a full disk; the change set has them too. */
async function writeTable(clusterContext: ClusterContext, step: PlannedStep): Promise<RowsFile | null> {
  const { host, user } = clusterContext;
  const { binding } = await repairPlanOf(clusterContext, step.plan);
  const files = await openRepairFiles(host.stateDir, step.operationId);
  const left = new Set((await appliedOf(clusterContext, step)).left);
  try {
    await withChangeSet(files.changes, binding.changes, (changes) => writeChangesCsv(files.table, changes, left, user));
    return { path: files.table, until: files.until };
  } catch {
    return null;
  }
}

async function appliedOf({ host }: ClusterContext, { operationId, plan }: PlannedStep): Promise<Applied> {
  const applied = await appliedBy(openHostState(host.stateDir), operationId, plan);
  if (applied === null) throw new RepriseError('plan-unknown', 'the rows were not changed yet', 'continue the repair');
  return applied;
}

/** Others who may write meanwhile may have changed a row again: that is no fault of the repair. */
async function rowsAreAsApproved(clusterContext: ClusterContext, step: PlannedStep): Promise<RepairCheck> {
  const { binding, facts, files } = await opened(clusterContext, step.plan, step.operationId);
  const left = new Set((await appliedOf(clusterContext, step)).left);
  const since = await withClientOfRepair(clusterContext, step, (client) =>
    withChangeSet(files.changes, binding.changes, (changes) =>
      changedSince(client, changes.header, facts, reversedEntries(changes.entries(), left)),
    ),
  );
  const name = 'rows are as approved';
  if (since.length === 0) return { name, status: 'ok' };
  const detail = `${since.length} changed since`;
  return { name, status: binding.freeze === null ? 'ok' : 'failed', detail };
}

async function withClientOfRepair<T>(
  clusterContext: ClusterContext,
  step: PlannedStep,
  use: Parameters<typeof asRepair<T>>[4],
): Promise<T> {
  const { binding, facts } = await opened(clusterContext, step.plan, step.operationId);
  return asRepair(clusterContext, binding.order, step.operationId, facts, use);
}

/** Of a table that nobody else could write to: so many rows more as were put back. */
async function rowsAddUp(clusterContext: ClusterContext, step: PlannedStep): Promise<RepairCheck> {
  const { binding } = await opened(clusterContext, step.plan, step.operationId);
  const { insert, delete: removed } = await appliedOf(clusterContext, step);
  const counts = await countsOfTable(openHostState(clusterContext.host.stateDir), step);
  const [before, after] = [counts[0], counts.find((one) => one.after === AFTER_REPAIR)];
  const name = 'number of rows';
  if (binding.freeze === null || before === undefined || before === after || after === undefined)
    return { name, status: 'skipped', detail: `${after?.rows ?? 'unknown'}; others could write meanwhile` };
  const expected = before.rows + insert - removed;
  const detail = `${before.rows} before, ${after.rows} after`;
  // A trigger of the table may have made rows of its own.
  if (after.rows === expected || binding.order.fireTriggers === true) return { name, status: 'ok', detail };
  return { name, status: 'failed', detail: `${detail}, ${expected} expected` };
}

/** Of the rows that were changed: what they refer to is there, and nothing refers to one that was deleted. */
async function referencesHold(clusterContext: ClusterContext, step: PlannedStep): Promise<RepairCheck> {
  const { binding, facts, files } = await opened(clusterContext, step.plan, step.operationId);
  const name = 'references to and from other tables';
  if (facts.foreignKeys.length === 0 && facts.referencedBy.length === 0)
    return { name, status: 'skipped', detail: 'no foreign keys' };
  const left = new Set((await appliedOf(clusterContext, step)).left);
  const broken = await withChangeSet(files.changes, binding.changes, (changes) =>
    brokenReferences(clusterContext, binding.order, facts, changes, left),
  );
  if (broken === null)
    return { name, status: 'skipped', detail: 'too many rows: what the server checks has been checked' };
  if (broken === 0) return { name, status: 'ok' };
  return { name, status: 'failed', detail: `${broken} rows refer to rows that are gone` };
}

/** What the configuration says of a coherent table. A query that fails says nothing of the rows. */
async function invariantsHold(
  clusterContext: ClusterContext,
  { plan: digest, operationId }: PlannedStep,
): Promise<readonly RepairCheck[]> {
  const { cluster } = clusterContext;
  const { database, table } = (await opened(clusterContext, digest, operationId)).binding.order;
  const checks: RepairCheck[] = [];
  for (const invariant of invariantsOf(cluster, database, table)) {
    const name = `invariant ${invariant.name}`;
    try {
      const { holds, figure } = await askInvariant(cluster.connection, cluster, database, invariant);
      checks.push({ name, status: holds ? 'ok' : 'failed', detail: figure });
    } catch (error) {
      if (!isRepriseError(error) || error.code === 'database-unreachable') throw error;
      checks.push({ name, status: 'skipped', detail: error.message });
    }
  }
  return checks;
}

/**
 * What the configuration has checked after a recovery, as far as it asks the repaired database: that is read, and by no superuser. The others are
 * named, so that nobody takes them for passed.
 */
export async function configuredChecks(
  { cluster, deps }: Pick<ClusterContext, 'cluster' | 'deps'>,
  database: string,
  { signal, report: tell }: Pick<ActivityRun, 'signal' | 'report'>,
): Promise<readonly RepairCheck[]> {
  const { connection, checksRole } = cluster;
  // Rows were changed, and came in meanwhile: what a backup recorded is no expectation.
  const context = { connection, checksRole, recorded: [], recordedIsExact: false, signal };
  const checks: RepairCheck[] = [];
  for (const { name: own, type, options, enabled } of Object.values(cluster.checks)) {
    if (enabled === false) continue;
    const name = `check ${own}`;
    tell({ phase: name, done: checks.length, unit: 'steps' });
    const kind = deps.checkOf(type);
    const { database: of } = options as { readonly database?: string };
    if (kind.afterRepair !== true)
      checks.push({ name, status: 'skipped', detail: `of type ${type}: run after a recovery and in drills only` });
    else if (of !== undefined && of !== database)
      checks.push({ name, status: 'skipped', detail: `database ${visible(of)} was not repaired` });
    else {
      const { status, detail } = await kind.run(context, options);
      checks.push({ name, status: status === 'passed' ? 'ok' : status, detail });
    }
  }
  return checks;
}
