import { CancellationScope, log, workflowInfo } from '@temporalio/workflow';
import type { StepInput } from '../../activities/api.js';
import type { MediaPlan } from '../../domain/media/media.js';
import {
  approveCommand,
  mediaChangeCount,
  mediaDetails,
  mediaWaiting,
  mustBeApproved,
} from '../../domain/media/media-text.js';
import type { MediaInput, MediaOutput } from '../api.js';
import type { ApprovalInbox } from '../operation/approval-inbox.js';
import { withClusterLock, waitForHost } from '../lock/with-cluster-lock.js';
import { openHostInbox, noteRejection, waitForRelease } from '../operation/host-inbox.js';
import {
  fewTriesHostActivities,
  controlActivities,
  heavyActivities,
  hostActivities,
  scanActivities,
  retryLostWorker,
  recoveryActivities,
} from '../operation/activity-proxies.js';
import { Notifications, failureNotice } from '../operation/notifications.js';
import {
  OperationStatus,
  runOperation,
  failureOf,
  isCancelled,
  refusal,
  sentence,
} from '../operation/operation-status.js';

/** A plan that nobody has to approve is made anew so often: between two looks its source has changed. */
const MOST_STALE = 5;

/** Media of a cluster: plan, wait for a person where policy asks for one, check that the plan still holds, change, look. */
export async function media(input: MediaInput): Promise<MediaOutput> {
  const { cluster, operationId, order, requester } = input;
  const work = new OperationStatus('media', cluster);
  const step = { cluster, operationId, workflowId: workflowInfo().workflowId };
  const teller = new Notifications(step);
  let host = '';
  const desk = openHostInbox(() => host, step);

  return runOperation(work, async () => {
    let stale = 0;
    const request = { ...step, order, requester, confirmed: input.confirmed };
    try {
      const described = await controlActivities.describeCluster({ cluster });
      ({ host } = described);
      teller.configure(described);
      await waitForHost(work, host);
      for (;;) {
        desk.withdraw();
        const plan = await work.phase('plan', () =>
          scanActivities(host, 'make the plan (reads only)').planMedia(request),
        );
        work.plan = plan.digest;
        work.show('running', null, mediaDetails(plan));
        if (mediaChangeCount(plan.binding) === 0) {
          work.show('completed', null, `${mediaDetails(plan)}\n\n**Nothing to do.**`);
          return { state: 'completed', plan, outcome: null };
        }
        const decision = mustBeApproved(plan) ? await decided(work, desk, plan, teller) : 'approved';
        if (decision === 'again') continue;
        const outcome = decision === 'rejected' ? 'rejected' : await execute(plan);
        if (outcome === 'rejected') return await rejected(work, desk, plan, host, step);
        if (outcome !== 'stale') return outcome;
        if (!mustBeApproved(plan) && ++stale >= MOST_STALE)
          throw refusal(
            'plan-stale',
            `what is compared changed ${stale} times while it was being looked at`,
            'stop what writes there, then start again',
          );
        desk.revoke();
        await hostActivities(host, 'note that the plan is stale').journal({
          ...step,
          step: 'recheck',
          text: `plan ${plan.digest.slice(0, 12)} no longer holds: made again`,
        });
      }
    } catch (error) {
      if (!isCancelled(error)) await teller.notify(failureNotice('recovery', null, failureOf(error)));
      throw error;
    } finally {
      await CancellationScope.nonCancellable(async () => {
        if (work.plan)
          await fewTriesHostActivities(host, 'close the plan')
            .closeMedia(step)
            .catch(() => log.warn('the plan could not be closed'));
        await desk.close();
      });
    }

    async function execute(plan: MediaPlan): Promise<MediaOutput | 'stale' | 'rejected'> {
      const claim = {
        cluster,
        operationId,
        kind: 'media' as const,
        policy: order.media,
        engine: 'media',
        repository: plan.binding.into.repository,
      };
      return withClusterLock(
        claim,
        async () => {
          work.show('running', null, mediaDetails(plan));
          const now = await work.phase('check that the plan still holds', () =>
            scanActivities(host, 'make the plan again').recheckMedia({ ...request, plan: plan.digest }),
          );
          if (now.digest !== plan.digest) return 'stale';
          const planned = { ...step, plan: plan.digest };
          const queue = order.task.kind === 'recover' ? recoveryActivities : heavyActivities;
          for (;;) {
            try {
              await work.phase('change objects', () =>
                retryLostWorker(() => queue(host, 'change objects as planned').applyMedia(planned)),
              );
              break;
            } catch (error) {
              if (isCancelled(error)) throw error;
              if (failureOf(error).code === 'plan-expired') return 'stale';
              const next = await afterFailure(error);
              if (next === 'rejected') return next;
            }
          }
          const outcome = await work.phase('look at everything again', () =>
            retryLostWorker(() => queue(host, 'look at everything again').finishMedia(planned)),
          );
          work.show('completed', null, `**Done**, ${outcome.left} changes left. Report: ${outcome.report}`);
          return { state: 'completed', plan, outcome };
        },
        (holder) => waitForRelease(work, desk, cluster, holder),
      );
    }

    /** What was changed stays as it is: every step of it can be taken again, and none loses a version. */
    async function afterFailure(error: unknown): Promise<'again' | 'rejected'> {
      const waitingFor = `a decision: \`reprise continue ${step.workflowId}\` tries again and goes on where it was, \`reprise reject\` leaves the rest as it is`;
      work.show('paused', `${sentence(error)}; ${waitingFor}`);
      const [decision] = await Promise.all([
        desk.afterFailure(`changing objects failed (${failureOf(error).code}): continue or reject`),
        teller.notify({ kind: 'paused', event: 'failure', waitingFor }),
      ]);
      if (decision === 'rejected') return decision;
      work.show('running');
      return 'again';
    }
  });
}

async function decided(
  work: OperationStatus,
  desk: ApprovalInbox,
  plan: MediaPlan,
  teller: Notifications,
): Promise<'approved' | 'rejected' | 'again'> {
  const waitingFor = `approval of plan ${plan.digest.slice(0, 12)}, until ${plan.approveBy.slice(0, 16)}Z: \`${approveCommand(plan)}\``;
  work.show('waiting-approval', waitingFor, mediaDetails(plan));
  const waited = work.phase('wait for approval', () => desk.decide(plan, mediaWaiting(plan)));
  const [decision] = await Promise.all([
    waited,
    teller.notify({ kind: 'paused', event: 'waiting-approval', waitingFor }),
  ]);
  work.show('running');
  return decision;
}

async function rejected(
  work: OperationStatus,
  desk: ApprovalInbox,
  plan: MediaPlan,
  host: string,
  step: StepInput,
): Promise<MediaOutput> {
  const { by, reason } = await noteRejection(host, desk, step, plan.digest);
  work.show('rejected', null, `**Rejected** by ${by}: ${reason}.`);
  return { state: 'rejected', plan, outcome: null, rejectedBecause: `${by}: ${reason}` };
}
