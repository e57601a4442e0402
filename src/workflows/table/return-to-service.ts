import { CancellationScope, log } from '@temporalio/workflow';
import { waitingLabel } from '../../domain/approval/approval-policy.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import { repairClaim } from '../../domain/operation/locks.js';
import { updateNames } from '../../domain/operation/names.js';
import { watchEvery } from '../../domain/table/counts.js';
import type { RepairOutcome, RepairPlan, TableCount } from '../../domain/table/repair.js';
import {
  failedRepairDetails,
  signOffRepairDetails,
  undoRepairCommand,
  watchedDetails,
} from '../../domain/table/repair-text.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClusterLock } from '../lock/with-cluster-lock.js';
import { hostActivitiesFor } from '../operation/activity-proxies.js';
import type { ApprovedOperation } from '../operation/approved-operation.js';
import { isCancelled, sentence } from '../operation/operation-status.js';
import { type AcceptedSignOff, askForSignOff, SignOffInbox } from '../operation/sign-off.js';
import { untilRecorded } from '../operation/until-recorded.js';
import type { BlockedWrites } from './block-writes.js';

type SignOffStage = Extract<NoticeFacts, { kind: 'repair-sign-off' }>['stage'];

/**
 * What follows the repair of a table, with the cluster released for others: a person's word while the writes are still blocked, the
 * writes opened step by step, the rows watched. Made before the workflow's first await, so that no early sign-off is lost.
 */
export class ReturnToService {
  private readonly signOffs: SignOffInbox;
  private plan: RepairPlan | null = null;

  /** `opened` follows the opening, before the rows are watched. */
  constructor(
    private readonly approved: Pick<ApprovedOperation<RepairPlan, RepairOutcome>, 'operation' | 'inbox'>,
    private readonly opened: () => Promise<void>,
  ) {
    const { operation } = approved;
    this.signOffs = new SignOffInbox({
      ...{ updateName: updateNames.signOffRepair, what: 'the repaired table', kept: 'its writes blocked' },
      note: (text, sentBy) => operation.recordMessage(text, sentBy),
      check: (signOff, sentBy) =>
        untilRecorded(operation, `check the sign-off of ${signOff.by}`, (activities) =>
          activities.recordRepairSignOff({ ...operation.step, plan: this.plan?.digest ?? '', signOff, sentBy }),
        ),
    });
  }

  /** However it ends, the writes are open then; a person ends each wait. */
  async run(plan: RepairPlan, outcome: RepairOutcome, writes: BlockedWrites): Promise<void> {
    this.plan = plan;
    // A rejection of the changes comes too late now.
    this.approved.inbox.forgetRejection();
    try {
      await this.signedOff(plan, outcome);
    } catch (error) {
      await this.locked(writes, () => writes.takeBack()).catch(() => undefined);
      throw error;
    }
    await this.locked(writes, () => writes.open((count) => this.look(plan, count)));
    await this.opened();
    await this.watched(plan);
    // What ended a wait does not end what is left to do.
    this.approved.inbox.forgetRejection();
  }

  /** Nothing is waited for any more. */
  close(): Promise<void> {
    return this.signOffs.close();
  }

  /** The word of a person, where the plan asks for it. A bad one, or none, undoes nothing by itself. */
  private async signedOff(plan: RepairPlan, outcome: RepairOutcome): Promise<void> {
    const { signOff: policy } = plan.binding;
    if (policy === undefined) return this.afterFailedChecks(plan, outcome);
    const { operation, inbox } = this.approved;
    const { workflowId } = operation.step;
    const isOver = (): boolean => this.signOffs.accepted !== null || inbox.rejectedBecause !== null;
    const until = await askForSignOff(operation, this.signOffs, {
      ...{ policy, isOver },
      show: (end) => ({
        waitingFor: `the sign-off of ${policy.by.join(' or ')} until ${minute(end)}: look at the rows, then \`reprise sign-off ${workflowId} --verdict pass --remarks ...\`, or \`--verdict fail\``,
        details: signOffRepairDetails(plan, outcome, { by: policy.by, until: end, workflowId }),
      }),
      tell: (stage, end) => this.tell(plan, stage, policy.by, end),
      wait: (summary, forMs) => inbox.unlessRejectedWithin(summary, isOver, forMs),
    });
    // One that is just being checked still counts.
    await this.signOffs.close();
    const { accepted } = this.signOffs;
    if (accepted?.verdict === 'fail') return this.afterFail(plan, outcome, accepted, policy.withinSeconds);
    const { rejectedBecause: ended } = inbox;
    if (accepted === null && ended === null) await this.tell(plan, 'unanswered', policy.by, until);
    if (accepted === null && ended !== null)
      await operation.recordMessage(`${ended.by} ended the wait for the sign-off: ${ended.reason}`, ended.sentBy);
    operation.status.show('running');
  }

  /** The table stays as it is, until a person says that it is opened, or their time is over. */
  private async afterFail(
    plan: RepairPlan,
    outcome: RepairOutcome,
    { by, remarks, keepSeconds }: AcceptedSignOff,
    within: number,
  ): Promise<void> {
    const why = `${by} signed the repair off as failed${remarks === null ? '' : `: ${remarks}`}`;
    await this.asked({ plan, outcome }, why, [by], keepSeconds > 0 ? keepSeconds : within);
  }

  /** Nobody is asked for a word, but what was found is not as it should be. */
  private async afterFailedChecks(plan: RepairPlan, outcome: RepairOutcome): Promise<void> {
    const failed = outcome.checks.filter(({ status }) => status === 'failed');
    if (failed.length === 0) return;
    const found = failed.map(({ name, detail }) => `${name}${detail === undefined ? '' : ` (${detail})`}`).join('; ');
    await this.asked({ plan, outcome }, `the check of the repair failed: ${found}`, [], FAILED_CHECK_SECONDS);
  }

  private async asked(
    { plan, outcome }: { readonly plan: RepairPlan; readonly outcome: RepairOutcome },
    why: string,
    by: readonly string[],
    seconds: number,
  ): Promise<void> {
    const { operation, inbox } = this.approved;
    const until = new Date(Date.now() + seconds * 1000).toISOString();
    const { workflowId } = operation.step;
    operation.status.show(
      'paused',
      `${why} — nothing is undone by itself. \`${undoRepairCommand(plan)}\` takes the repair back, also while writes are blocked; \`reprise continue ${workflowId}\` opens the table as it is then; it is opened at ${minute(until)} in any case`,
      failedRepairDetails(plan, outcome, workflowId),
    );
    await operation.status.phase('wait for a person', async () => {
      await this.tell(plan, 'failed', by, until);
      await inbox.afterFailure('the repair is not good: take it back, or continue', [], seconds * 1000);
    });
    operation.status.show('running');
  }

  private tell(plan: RepairPlan, stage: SignOffStage, by: readonly string[], until: string): Promise<void> {
    const { database, table } = plan.binding.order;
    return this.approved.operation.notifications.notify({
      ...{ kind: 'repair-sign-off', stage, by, database, table: formatTableName(table), until },
      undo: undoRepairCommand(plan),
    });
  }

  /** A recovery or another repair that runs meanwhile is waited for: hooks are not taken back in the middle of it. */
  private async locked({ areBlocked }: BlockedWrites, open: () => Promise<void>): Promise<void> {
    const { operation } = this.approved;
    if (!areBlocked) return;
    await CancellationScope.nonCancellable(() =>
      withClusterLock(operation, repairClaim, open, { isGivenUp: () => false, orElse: undefined }),
    );
  }

  /** People are told of an abnormal count, once until it is normal again. */
  private isAbnormal = false;

  private async look(plan: RepairPlan, { suspicion, after }: TableCount): Promise<void> {
    const wasAbnormal = this.isAbnormal;
    this.isAbnormal = suspicion !== null;
    if (suspicion === null || wasAbnormal) return;
    const { database, table } = plan.binding.order;
    const found = `after ${after}: ${suspicion}`;
    await this.approved.operation.notifications.notify({
      ...{ kind: 'table-volume', database, table: formatTableName(table), found },
    });
  }

  /** Counts the rows now and then, until the time is over or a person ends it. A count that fails ends nothing. */
  private async watched(plan: RepairPlan): Promise<void> {
    const { watchSeconds } = plan.binding;
    const { operation, inbox } = this.approved;
    if (watchSeconds === undefined || inbox.rejectedBecause !== null) return;
    const end = Date.now() + watchSeconds * 1000;
    const until = new Date(end).toISOString();
    const counts: TableCount[] = [];
    const { workflowId } = operation.step;
    await operation.status.phase('watch the rows', async () => {
      for (let number = 1; Date.now() < end; number++) {
        const waitingFor = `the end of the watch of its rows, ${minute(until)}; \`reprise continue ${workflowId}\` ends it now`;
        operation.status.show('running', waitingFor, watchedDetails(plan, counts));
        const pause = Math.min(watchEvery(watchSeconds) * 1000, end - Date.now());
        if ((await inbox.afterFailure(waitingLabel('the rows are watched'), [], pause)) !== 'elapsed') break;
        const count = await this.counted(plan, `watch ${number}`);
        if (count === null) continue;
        counts.push(count);
        await this.look(plan, count);
      }
    });
    operation.status.show('running', null, watchedDetails(plan, counts));
  }

  private async counted({ digest }: RepairPlan, after: string): Promise<TableCount | null> {
    const { host, step } = this.approved.operation;
    try {
      return await hostActivitiesFor(host, 'count the rows', '10m').recordTableCount({ ...step, plan: digest, after });
    } catch (error) {
      if (isCancelled(error)) throw error;
      log.warn('the rows could not be counted', { because: sentence(error) });
      return null;
    }
  }
}

/** So long a repair whose checks failed waits for a person before its table is opened. */
const FAILED_CHECK_SECONDS = 4 * 3600;

const minute = (at: string): string => `${at.slice(0, 16)}Z`;
