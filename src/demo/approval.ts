import { approve, reject } from '../client/decide.js';
import type { TemporalSession } from '../client/connect.js';
import { shortDigest } from '../domain/approval/approval-policy.js';
import { RepriseError } from '../domain/errors.js';
import type { Plan } from '../domain/plan/plan.js';
import type { Question } from './decision.js';
import type { Scratch } from './scratch.js';
import { commandLine } from './servers.js';
import { APPROVER } from './settings.js';

/** Whether a recovery is to be carried out as planned. */
export function approvalOf(session: TemporalSession, scratch: Scratch, recovery: string, plan: Plan): Question {
  const digest = shortDigest(plan);
  return {
    workflowId: recovery,
    state: 'waiting-approval',
    waitsFor: 'confirm-restore',
    message: `Recover ${plan.binding.cluster} as planned (${digest})?`,
    sends: 'approve',
    instead: 'approve it in the Web UI, or from another terminal:',
    command: `${commandLine(scratch)} approve ${recovery} --plan ${digest} --by ${APPROVER} --reason "demo"`,
    agree: async (reason) => {
      await approve(session, recovery, { plan: plan.digest, by: APPROVER, reason });
    },
    decline: async (reason) => {
      await reject(session, recovery, { by: APPROVER, reason });
      throw new RepriseError(
        'approval-refused',
        'the recovery was declined, so the demo ends here',
        'run it again and answer yes, or use --yes',
      );
    },
  };
}
