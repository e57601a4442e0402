import type { MediaOutcome, MediaPlan } from '../../domain/media/media.js';
import {
  MEDIA_PARTLY_CHANGED,
  approveMediaCommand,
  mediaChangeCount,
  mediaApprovalDetails,
  mediaDetails,
  mediaWaiting,
  mustBeApproved,
} from '../../domain/media/media-text.js';
import { type LockClaim, mediaClaim } from '../../domain/operation/locks.js';
import { markdownCode } from '../../domain/text/markdown.js';
import type { MediaInput, MediaOutput } from '../api.js';
import { heavyActivities, hostActivitiesFor, mediaActivities, readActivities } from '../operation/activity-proxies.js';
import {
  ApprovedOperation,
  type ApprovedSteps,
  type PlanWords,
  rejectedOutput,
} from '../operation/approved-operation.js';
import { Operation } from '../operation/open-operation.js';
import { underLock } from '../lock/with-cluster-lock.js';
import { runOperation } from '../operation/operation-status.js';

/** Media of a cluster: plan, wait for people where policy asks for it, plan again, change objects, compare everything again. */
export async function media(input: MediaInput): Promise<MediaOutput> {
  const operation = new Operation('media', input);
  const approved = new ApprovedOperation<MediaPlan, MediaOutcome>(operation);
  const { status } = operation;
  return runOperation(status, async () => {
    const ending = await approved.run(new MediaSteps(input, approved));
    if (ending.state === 'rejected')
      return { ...rejectedOutput(status, ending), ...(status.left === '' ? {} : { left: status.left }) };
    const { plan, outcome } = ending;
    status.show(
      'completed',
      null,
      outcome === null
        ? `${mediaDetails(plan)}\n\n**Nothing to do.**`
        : `**Done**, ${outcome.left} changes left. Report: ${markdownCode(outcome.report)}`,
    );
    return { state: 'completed', plan, outcome };
  });
}

class MediaSteps implements ApprovedSteps<MediaPlan, MediaOutcome> {
  readonly slot: 'media' | 'heavy';
  readonly words: PlanWords<MediaPlan> = {
    what: 'media recovery',
    details: mediaDetails,
    approvalDetails: mediaApprovalDetails,
    waiting: mediaWaiting,
    command: approveMediaCommand,
    notice: (plan, waitingFor) =>
      mustBeApproved(plan)
        ? { kind: 'paused', event: 'waiting-approval', waitingFor, action: plan.binding.action }
        : null,
    policy: null,
  };

  constructor(
    private readonly input: MediaInput,
    private readonly approved: ApprovedOperation<MediaPlan, MediaOutcome>,
  ) {
    this.slot = input.order.task.kind === 'recover' ? 'media' : 'heavy';
  }

  async open(): Promise<void> {
    await this.operation.lookUp();
    await this.approved.waitForHost();
  }

  async plan(): Promise<MediaPlan> {
    const plan = await readActivities(this.operation.host, 'make the plan (reads only)').planMedia(this.request);
    this.operation.action = plan.binding.action;
    return plan;
  }

  planAgain({ digest }: MediaPlan): Promise<{ digest: string }> {
    return readActivities(this.operation.host, 'make the plan again').recheckMedia({ ...this.request, plan: digest });
  }

  isEmpty({ binding }: MediaPlan): boolean {
    return mediaChangeCount(binding) === 0;
  }

  claim({ binding }: MediaPlan): LockClaim {
    return mediaClaim(binding);
  }

  /** What was changed stays as it is: every step of it can be taken again, and none loses a version. */
  async execute({ digest }: MediaPlan): Promise<MediaOutcome | 'rejected'> {
    const { status } = this.operation;
    const changed = await status.phase('change objects', () =>
      this.approved.attempt('change objects', (resume) =>
        underLock(this.operation, (step) =>
          this.activities('change objects as planned').applyMedia({ ...step, ...resume, plan: digest }),
        ),
      ),
    );
    if (changed === 'rejected') {
      status.left = MEDIA_PARTLY_CHANGED;
      return changed;
    }
    const compare = 'compare everything again';
    return status.phase(compare, () =>
      this.approved.attempt(compare, () =>
        underLock(this.operation, (step) => this.activities(compare).finishMedia({ ...step, plan: digest })),
      ),
    );
  }

  release(): Promise<void> {
    const { host, step } = this.operation;
    return hostActivitiesFor(host, 'close the plan', '1d').closeMedia(step);
  }

  private get operation(): Operation {
    return this.approved.operation;
  }

  private get request() {
    const { order, requester, confirmed } = this.input;
    return { ...this.operation.step, order, requester, confirmed };
  }

  private activities(summary: string) {
    const queue = this.slot === 'media' ? mediaActivities : heavyActivities;
    return queue(this.operation.host, summary);
  }
}
