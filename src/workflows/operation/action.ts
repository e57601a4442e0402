import type { ActionOutcome, ActionPlan } from '../../domain/approval/actions.js';
import { actionDetails } from '../../domain/approval/actions.js';
import type { ActionInput, ActionOutput } from '../api.js';
import { ActionSteps } from './action-steps.js';
import { readActivities } from './activity-proxies.js';
import { ApprovedOperation } from './approved-operation.js';
import { Operation } from './open-operation.js';
import { refusal, rejectedText, runOperation } from './operation-status.js';
import { runStep } from './run-step.js';

/** One act that cannot be undone: plan, approval or confirmation, plan again, done. */
export async function action(input: ActionInput): Promise<ActionOutput> {
  const { order } = input;
  if (order.kind === 'adopt')
    throw refusal('usage', 'an adoption is a workflow of its own', 'start it: reprise backup adopt');
  const operation = new Operation(order.kind, input);
  const approved = new ApprovedOperation<ActionPlan, ActionOutcome>(operation);
  const { status } = operation;
  return runOperation(status, async () => {
    const facts = await operation.lookUp();
    const hosts = [facts.host, ...Object.values(facts.targetHosts ?? {})];
    // Old data may be on another host of the cluster's configuration; a host that is none of its own is not asked.
    const host = order.kind === 'kept-drop' ? order.host : undefined;
    if (host !== undefined && hosts.includes(host)) operation.host = host;
    await approved.waitForHost();
    const ending = await approved.run(
      new ActionSteps(operation, input, ({ digest }) =>
        status.phase('carry out the plan', () =>
          runStep(operation, 'carry out the plan', () =>
            readActivities(operation.host, 'carry out the plan').applyAction({ ...operation.step, plan: digest }),
          ),
        ),
      ),
    );
    if (ending.state === 'rejected') {
      const { plan, by, reason } = ending;
      status.show('rejected', null, rejectedText(`${by}: ${reason}`));
      return { state: 'rejected', plan, outcome: null, rejectedBecause: `${by}: ${reason}` };
    }
    const { plan, outcome } = ending;
    status.show('completed', null, `${actionDetails(plan)}\n\n**${outcome === null ? 'Nothing to do' : 'Done'}.**`);
    return { state: 'completed', plan, outcome };
  });
}
