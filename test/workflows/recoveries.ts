import type { ApprovalAnswer } from '../../src/activities/api.js';
import type { PlanBinding } from '../../src/domain/plan/plan.js';
import { updateNames, workflowTypes } from '../../src/domain/operation/names.js';
import type { RecoverInput, RecoverOutput } from '../../src/workflows/api.js';
import type { Activities, Case, Lab } from './lab.js';
import { planOf } from './well-behaved.js';

/** Starts a recovery of a cluster of its own. `binding`: what the plan made on the host says. */
export async function startRecovery(
  lab: Lab,
  activities: Partial<Activities> = {},
  binding: Partial<PlanBinding> = {},
  input: Partial<RecoverInput> = {},
): Promise<Recovery> {
  const planRecovery: Activities['planRecovery'] = async ({ cluster, operationId }) =>
    planOf({ cluster, operationId, ...binding });
  const one = lab.case({ planRecovery, ...activities });
  await one.start(workflowTypes.recover, 'recover/CLUSTER/op', {
    order: { target: { kind: 'latest' }, into: 'in-place', pause: false },
    operationId: 'op',
    requester: 'ops',
    ...input,
  });
  return new Recovery(one);
}

export const person = { by: 'dba', reason: 'seen' };

/** The host's answer to an approval of a plan that was made again. */
export const refused: ApprovalAnswer = {
  accepted: false,
  missing: 0,
  code: 'plan-stale',
  reason: 'the approval is for another plan',
  hint: 'read the plan',
};

/** A recovery under way, and the people around it. */
export class Recovery {
  constructor(readonly seen: Case) {}

  /** The digest of the plan that waits for its approval. */
  async plan(): Promise<string> {
    const { plan } = await this.seen.state('waiting-approval');
    if (plan === null) throw new Error('no plan is shown');
    return plan;
  }

  async approved(by = 'dba'): Promise<void> {
    await this.approve({ plan: (await this.plan()).slice(0, 12), by, reason: 'seen' });
  }

  approve(approval: unknown): Promise<{ accepted: true; missing: number }> {
    return this.seen.workflow.executeUpdate<{ accepted: true; missing: number }, [unknown]>(updateNames.approve, {
      args: [approval],
    });
  }

  signal(name: string, payload: unknown): Promise<void> {
    return this.seen.workflow.signal(name, payload);
  }

  result(): Promise<RecoverOutput> {
    return this.seen.workflow.result() as Promise<RecoverOutput>;
  }

  /** The steps of the runbook, in the order in which they were asked for. */
  get steps(): readonly string[] {
    const around = [
      'planRecovery',
      'pin',
      'recordApproval',
      'recordDecision',
      'acquireLock',
      'recheckPlan',
      'journal',
      'releaseLock',
      'unpin',
      'confirmWorker',
      'recordRejection',
      'deliveriesOf',
      'sendNotice',
    ];
    return this.seen.calls
      .filter(({ name }) => this.seen.names.includes(name) && !around.includes(name))
      .map(({ name, input }) =>
        name === 'runHook' ? String(input['hook']) : name === 'undoHook' ? `undo ${String(input['hook'])}` : name,
      );
  }
}

/** Events of updates in the history: one that the validator refuses leaves none. */
export async function acceptedUpdates(recovery: Recovery): Promise<number> {
  const { events } = await recovery.seen.workflow.fetchHistory();
  return (events ?? []).filter(
    (event) =>
      event.workflowExecutionUpdateAcceptedEventAttributes ?? event.workflowExecutionUpdateRejectedEventAttributes,
  ).length;
}
