import { Context } from '@temporalio/activity';
import {
  linesToAdd,
  mayApprove,
  policyAction,
  shortDigest,
  whyNobodyApproves,
} from '../../domain/approval/approval-policy.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { holdOrder } from '../../domain/operation/orders.js';
import type { HoldBinding, HoldPlan } from '../../domain/table/hold.js';
import { holdTitle } from '../../domain/table/hold-text.js';
import { formatTableName, tableCommand } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { requireFreezable } from '../../postgres/repair/freeze.js';
import { planDigest } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { withOrder, wrapActivity } from '../activity-wrapper.js';
import type { HoldActivities, HoldRequest } from '../api.js';
import { closePlansOf } from '../approval/authorize.js';
import { claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { blockingOf, holdsOf } from './blocking.js';
import { closedAsToldBy } from '../workflow-closed.js';
import { systemIdentifierOf } from './repair-session.js';

/** A table that is kept frozen until somebody releases it. */
export function holdActivities(deps: HostDependencies): HoldActivities {
  return {
    planHold: wrapActivity(
      'planHold',
      withOrder(holdOrder, async (request) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request);
        const plan = await makeHoldPlan(clusterContext, request);
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        const text = `plan ${shortDigest(plan)}: ${holdTitle(plan.binding)}`;
        const body = { kind: 'journal' as const, workflowId: request.workflowId, step: 'plan', text };
        await record(clusterContext, request, `plan/${plan.digest}`, body, request.requester);
        return plan;
      }),
    ),
    recheckHold: wrapActivity(
      'recheckHold',
      withOrder(holdOrder, async ({ plan, ...request }) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        const used = await openHostState(clusterContext.host.stateDir).usedBy(plan);
        if (used?.operationId === request.operationId) return { digest: plan };
        await requireOpenIncident(request);
        return { digest: (await makeHoldPlan(clusterContext, request)).digest };
      }),
    ),
    closeHold: wrapActivity('closeHold', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      await closePlansOf(clusterContext, step.operationId);
    }),
  };
}

/**
 * Nothing would release what is blocked for an incident that is over.
 * @throws RepriseError `conflict`
 */
async function requireOpenIncident({ incident, order: { database, table } }: HoldRequest): Promise<void> {
  if (incident === undefined) return;
  const hasClosed = closedAsToldBy(Context.current());
  if ((await hasClosed({ workflowId: incident, firstRunId: null })) !== true) return;
  throw new RepriseError(
    'conflict',
    `${incident} has ended: nothing is blocked for it`,
    `where the table has to be frozen, freeze it by itself: ${tableCommand('freeze', { cluster: 'CLUSTER', database, table }, '--reason "..."')}`,
  );
}

async function makeHoldPlan(clusterContext: ClusterContext, request: HoldRequest): Promise<HoldPlan> {
  const { cluster, deps } = clusterContext;
  const { order, operationId, requester, incident } = request;
  const action = 'table-freeze';
  const policy = cluster.approvals[policyAction(action)];
  if (policy === undefined)
    throw new RepriseError(
      'policy-missing',
      `no policy says who may approve table-repair for ${cluster.name}, and so who may have a table frozen`,
      linesToAdd('table-repair', cluster.name),
    );
  const blocking = blockingOf(cluster, order);
  const { freeze } = blocking;
  const isConfigured = freeze !== null || blocking.hooks.length > 0;
  // A table that is not there, or of the server itself, is told first: no lines of the configuration would help.
  await withClient(cluster.connection, order.database, (client) =>
    requireFreezable(client, { table: order.table, means: freeze }),
  ).catch((error: unknown) => {
    // The lines are missing whether the server answers or not.
    if (isConfigured || !isRepriseError(error) || error.code !== 'database-unreachable') throw error;
  });
  if (!isConfigured) throw notConfigured(cluster.name, request);
  const binding: HoldBinding = {
    ...{ action, operationId, cluster: cluster.name, targetHost: deps.host, order },
    systemIdentifier: await systemIdentifierOf(clusterContext),
    ...blocking,
    ...{ configDigest: deps.config.digest, requester },
  };
  const nobody = whyNobodyApproves(policy, requester);
  const others = (await holdsOf(clusterContext, order)).map(
    ({ workflowId, since }) =>
      `${workflowId} keeps it frozen since ${since} already: it takes writes when both have released it`,
  );
  const createdAt = new Date();
  return {
    digest: planDigest(binding),
    binding,
    observed: {
      approval: { approvers: policy.approvers, from: mayApprove(policy, requester) },
      ...(incident === undefined ? {} : { incident }),
      warnings: [...(nobody === null ? [] : [nobody]), ...others],
    },
    createdAt: createdAt.toISOString(),
    approveBy: new Date(createdAt.getTime() + policy.approveWithinSeconds * 1000).toISOString(),
  };
}

function notConfigured(cluster: string, { order: { database, table } }: HoldRequest): RepriseError {
  const name = formatTableName(table);
  return new RepriseError(
    'config-invalid',
    `the configuration does not say how writes to ${name} are blocked: nothing was changed`,
    [
      'add these lines to reprise.yml, and restart the workers:',
      'clusters:',
      `  ${cluster}:`,
      '    tables:',
      `      ${JSON.stringify(name)}: { database: ${JSON.stringify(database)}, freeze: { by: trigger } }`,
    ].join('\n'),
  );
}
