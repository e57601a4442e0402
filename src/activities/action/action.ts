import { type ActionOutcome, type ActionPlan, isActionPlan } from '../../domain/approval/actions.js';
import { shortDigest } from '../../domain/approval/approval-policy.js';
import { withoutContents } from '../../domain/backup/backup.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { type ActionOrder, actionOrder } from '../../domain/operation/orders.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { openHostState } from '../../records/host-state.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import type { HostActivities } from '../api.js';
import { authorizePlan, closePlansOf } from '../approval/authorize.js';
import { claimOperation, claimPlanned, requireOwnOperation } from '../approval/own-operation.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  record,
  recordDecided,
} from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { droppableItem, dropKept } from '../inspection/kept-data.js';
import { applyStorage } from '../inspection/storage.js';
import { backupNamed, makeActionPlan } from './plan.js';

/** Name of the step in the host's ledger. */
const ACTION = 'action';

/** What cannot be undone, beside recoveries: planned, approved or confirmed, and carried out by the plan alone. */
export function actionActivities(
  deps: HostDependencies,
): Pick<HostActivities, 'planAction' | 'recheckAction' | 'applyAction' | 'closeAction'> {
  return {
    planAction: wrapActivity(
      'planAction',
      withOrder(actionOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        await claimPlanned(clusterContext, request).catch(async (error: unknown) => {
          if (!mayLackRecords(request.order, error)) throw error;
          await claimOperation(clusterContext, request);
        });
        const plan = await makeActionPlan(clusterContext, request, run);
        await openHostState(clusterContext.host.stateDir).savePlan(plan);
        const { action, subject } = plan.binding;
        const text = `plan ${shortDigest(plan)} of ${action} for ${subject}`;
        const body = { kind: 'journal' as const, workflowId: request.workflowId, step: 'plan', text };
        const step = { operationId: request.operationId, plan: plan.digest };
        await recordDecided(clusterContext, step, `plan/${plan.digest}`, body, request.requester);
        return plan;
      }),
    ),
    recheckAction: wrapActivity(
      'recheckAction',
      withOrder(actionOrder, async (request, run) => {
        const clusterContext = await openClusterContext(deps, request.cluster);
        const used = await openHostState(clusterContext.host.stateDir).usedBy(request.plan);
        if (used?.operationId === request.operationId) return { digest: request.plan };
        return { digest: (await makeActionPlan(clusterContext, request, run)).digest };
      }),
    ),
    applyAction: wrapActivity('applyAction', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const state = openHostState(clusterContext.host.stateDir);
      const done = await state.onceDone<ActionOutcome>(step.operationId, ACTION, step.plan);
      if (done) return done.result;
      const plan = await authorizePlan(clusterContext, step, isActionPlan);
      await state.markBegun(plan.digest);
      const outcome = await carryOut(clusterContext, plan, await deciderOf(clusterContext, plan), run);
      await state.recordDone(step.operationId, ACTION, outcome, plan.digest);
      await closePlansOf(clusterContext, step.operationId);
      return outcome;
    }),
    closeAction: wrapActivity('closeAction', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      await closePlansOf(clusterContext, step.operationId);
    }),
  };
}

/** The records may be in the bucket that the plan would make. */
function mayLackRecords(order: ActionOrder, error: unknown): boolean {
  return order.kind === 'storage-apply' && isRepriseError(error) && !['conflict', 'usage'].includes(error.code);
}

/** Who has decided it, for the records: the last who approved it. */
async function deciderOf({ host }: ClusterContext, { digest, binding }: ActionPlan): Promise<string> {
  return (await openHostState(host.stateDir).approvals(digest)).at(-1)?.by ?? binding.requester;
}

/** Nothing but the plan says what is done. */
async function carryOut(
  clusterContext: ClusterContext,
  { binding }: ActionPlan,
  by: string,
  run: ActivityRun,
): Promise<ActionOutcome> {
  const { order, found } = binding;
  switch (order.kind) {
    case 'kept-drop': {
      const droppable = await droppableItem(clusterContext, order.id);
      const { where, mark, parts } = droppable.kept;
      const { replication } = droppable;
      const present = { where, mark, ...(parts && { parts }), ...(replication && { replication }) };
      if (canonicalJson(present) !== canonicalJson(found)) throw stale(binding);
      await dropKept(clusterContext, droppable, by);
      return { dropped: [droppable.item] };
    }
    case 'release':
      return { backup: await release(clusterContext, order.id, binding.operationId, by, run) };
    case 'storage-apply':
      return applyStorage(clusterContext.deps, order.repository, { plan: String(found['settings']), by }, run);
    case 'adopt':
      throw new RepriseError('usage', 'backups are adopted by a step of their own', 'reprise backup adopt');
  }
}

async function release(
  clusterContext: ClusterContext,
  id: string,
  operationId: string,
  by: string,
  run: ActivityRun,
): Promise<NonNullable<ActionOutcome['backup']>> {
  const backup = await backupNamed(clusterContext, id, run);
  await record(clusterContext, { operationId }, 'release', { kind: 'release', backupId: id }, by);
  const policy = policyOf(clusterContext, backup.policy);
  const held = (await currentBackups(clusterContext, run, [policy]))
    .filter(({ id: other, heldUntil }) => other !== id && heldUntil !== null)
    .map(({ label }) => label);
  await engineFor(clusterContext, policy).holds?.release(
    await engineContext(clusterContext, policy, run, operationId, []),
    backup.label,
    held,
  );
  return withoutContents(await backupNamed(clusterContext, id, run));
}

function stale({ subject }: ActionPlan['binding']): RepriseError {
  return new RepriseError(
    'plan-stale',
    `${subject} is no longer what the plan was made for: nothing was changed`,
    'start it again, and read the new plan',
  );
}
