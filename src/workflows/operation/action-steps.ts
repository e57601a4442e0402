import {
  type ActionPlan,
  actionApprovalDetails,
  actionDetails,
  actionWaiting,
  actionWaitsFor,
} from '../../domain/approval/actions.js';
import type { ActionOrder } from '../../domain/operation/orders.js';
import { hostActivitiesFor, readActivities } from './activity-proxies.js';
import type { ApprovedSteps, PlanWords } from './approved-operation.js';
import type { Operation } from './open-operation.js';
import { refusal } from './operation-status.js';

/** What all actions that cannot be undone have in common; each carries its plan out in its own way. */
export class ActionSteps<Outcome> implements ApprovedSteps<ActionPlan, Outcome> {
  readonly slot = null;
  readonly words: PlanWords<ActionPlan> = {
    what: null,
    details: actionDetails,
    approvalDetails: actionApprovalDetails,
    waiting: actionWaiting,
    command: actionWaitsFor,
    notice: ({ binding, observed }, waitingFor) =>
      observed.approval === null
        ? 'nobody'
        : { kind: 'paused', event: 'waiting-approval', waitingFor, action: binding.action },
    policy: null,
  };

  constructor(
    private readonly operation: Operation,
    private readonly input: { readonly order: ActionOrder; readonly requester: string },
    readonly execute: (plan: ActionPlan) => Promise<Outcome>,
  ) {}

  /** The caller has opened the operation. */
  async open(): Promise<void> {}

  plan(): Promise<ActionPlan> {
    return readActivities(this.operation.host, 'make the plan (reads only)').planAction(this.request);
  }

  async planAgain({ digest, observed }: ActionPlan): Promise<{ digest: string }> {
    const { host } = this.operation;
    const now = await readActivities(host, 'make the plan again').recheckAction({ ...this.request, plan: digest });
    // Whoever confirmed it at a terminal is not asked there again.
    if (now.digest !== digest && observed.approval === null)
      throw refusal('plan-stale', 'what would be done has changed since it was confirmed', 'start it again');
    return now;
  }

  isEmpty({ observed }: ActionPlan): boolean {
    return observed.empty;
  }

  /** A kept item whose recovery runs is refused by the host; an adoption locks each policy by itself. */
  claim(): null {
    return null;
  }

  release(): Promise<void> {
    return hostActivitiesFor(this.operation.host, 'close the plan', '1d').closeAction(this.operation.step);
  }

  private get request() {
    const { order, requester } = this.input;
    return { ...this.operation.step, order, requester };
  }
}
