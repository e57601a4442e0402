import { RepriseError } from '../../domain/errors.js';
import { readOrder, repairOrder, type TableIncidentOrder, tableIncidentOrder } from '../../domain/operation/orders.js';
import type { Suspects } from '../../domain/table/incident.js';
import { incidentTable } from '../../domain/table/incident-text.js';
import { type BlockingPlan, isBlockingPlan } from '../../domain/table/hold.js';
import { isRepairPlan, type RepairOutcome } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import type { RecordedIncidentFacts } from '../../reports/incident/parts.js';
import { tableIncidentReport } from '../../reports/incident/report.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { StepInput, TableIncidentActivities } from '../api.js';
import { claimOperation, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { historyOf } from '../inspection/table-history.js';
import { FROZEN, openedStep } from './freeze.js';
import { OUTCOME } from './repair-session.js';
import { suspectsIn, unreadable } from '../incident/suspects.js';
import { writeReport } from '../incident/write-report.js';
import { surveyTable } from './survey.js';

/** Transactions that are shown, and how far back they are looked for. */
const SHOWN_TRANSACTIONS = 5;
const LONGEST_LOOK_MS = 24 * 3600_000;

/** An incident of one table, on the host of its cluster. */
export function tableIncidentActivities(deps: HostDependencies): TableIncidentActivities {
  return {
    openTableIncident: wrapActivity(
      'openTableIncident',
      withOrder(tableIncidentOrder, async (step) => claimOperation(await openClusterContext(deps, step.cluster), step)),
    ),
    surveyTable: wrapActivity(
      'surveyTable',
      withOrder(tableIncidentOrder, async (step, run) =>
        surveyTable(await openClusterContext(deps, step.cluster), step.order, run),
      ),
    ),
    findSuspects: wrapActivity(
      'findSuspects',
      withOrder(tableIncidentOrder, async (step, run) =>
        findSuspects(await openClusterContext(deps, step.cluster), step.order, step.discoveredAt, run),
      ),
    ),
    readRepairChoice: wrapActivity(
      'readRepairChoice',
      withOrder(tableIncidentOrder, async ({ order, choice, ...step }) => {
        await requireOwnOperation(await openClusterContext(deps, step.cluster), step);
        const chosen = readOrder(repairOrder, choice);
        if (incidentTable(chosen) === incidentTable(order)) return chosen;
        throw new RepriseError(
          'usage',
          `the incident is about ${incidentTable(order)}, and the repair about ${incidentTable(chosen)}`,
          `start the repair without --incident, or open an incident of that table`,
        );
      }),
    ),
    writeTableReport: wrapActivity(
      'writeTableReport',
      withOrder(tableIncidentOrder, async (step) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await requireOwnOperation(clusterContext, step);
        return writeTableReport(clusterContext, step);
      }),
    ),
  };
}

/** From the last backup that was not suspicious, but not for longer than a day. */
async function findSuspects(
  clusterContext: ClusterContext,
  { database, table }: TableIncidentOrder,
  discoveredAt: string,
  run: ActivityRun,
): Promise<Suspects> {
  const to = new Date().toISOString();
  const earliest = new Date(Date.parse(discoveredAt) - LONGEST_LOOK_MS).toISOString();
  let from = earliest;
  try {
    const history = await historyOf(clusterContext, database, table, run);
    const good = history.findLast(({ suspicion, at }) => suspicion === null && at < discoveredAt);
    if (good !== undefined && good.at > earliest) from = good.at;
  } catch (error) {
    return unreadable({ from, to }, error);
  }
  const request = { database, table: formatTableName(table), from, to, limit: SHOWN_TRANSACTIONS };
  return suspectsIn(clusterContext, request, run);
}

async function writeTableReport(
  clusterContext: ClusterContext,
  {
    operationId,
    workflowId,
    order,
    discoveredAt,
    repair,
  }: StepInput & { order: TableIncidentOrder; discoveredAt: string; repair: string | null },
): Promise<string> {
  const { cluster, deps } = clusterContext;
  const recorded = await recordedOf(clusterContext, operationId, workflowId);
  const report = tableIncidentReport(
    { ...{ cluster: cluster.name, workflowId, order, discoveredAt, repair }, ...recorded },
    deps.config.language,
  );
  return writeReport(clusterContext, operationId, report);
}

/** What this host has recorded of an incident and of what people chose in it. */
export async function recordedOf(
  { catalogue, host, cluster }: ClusterContext,
  operationId: string,
  workflowId: string,
): Promise<RecordedIncidentFacts> {
  const facts = await catalogue.state();
  const state = openHostState(host.stateDir);
  const isOwn = (id: string): boolean => id === operationId || id.startsWith(`${operationId}-`);
  const own = (await state.plans()).filter(
    ({ binding }) => binding.cluster === cluster.name && isOwn(binding.operationId),
  );
  const plans = own.filter(isRepairPlan);
  const repairs = await Promise.all(
    [...new Set(plans.map(({ binding }) => binding.operationId))].toSorted().map(async (id) => ({
      operationId: id,
      // The last one that was made.
      plan:
        plans
          .filter(({ binding }) => binding.operationId === id)
          .toSorted(byCreation)
          .at(-1) ?? null,
      outcome: (await state.onceDone<RepairOutcome>(id, OUTCOME))?.result ?? null,
    })),
  );
  const blocks = await blocksOf(state, own.filter(isBlockingPlan));
  const operations = (await catalogue.records()).map((record) => record.operationId).filter(isOwn);
  return {
    ...{ repairs, blocks },
    incident: facts.incidents.get(workflowId) ?? null,
    journal: [...new Set(operations)].flatMap((id) => facts.journalOf(id)),
    approvals: facts.approvals.filter((entry) => isOwn(entry.operationId)),
    refusals: facts.refusals.filter((entry) => isOwn(entry.operationId)),
  };
}

/** When these plans have blocked writes, and their operations opened them again, by the ledger of the host. */
async function blocksOf(state: HostState, plans: readonly BlockingPlan[]): Promise<RecordedIncidentFacts['blocks']> {
  const found = await Promise.all(
    plans.map(async ({ digest, binding: { operationId: id } }) => {
      const since = (await state.onceDone<string>(id, FROZEN, digest))?.result;
      if (since === undefined) return [];
      return [{ since, openedAt: (await state.onceDone<string>(id, openedStep(since)))?.result ?? null }];
    }),
  );
  return found.flat();
}

const byCreation = (one: { createdAt: string }, other: { createdAt: string }): number =>
  one.createdAt < other.createdAt ? -1 : 1;
