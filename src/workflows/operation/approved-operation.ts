import { ActivityFailure, CancellationScope, condition, log } from '@temporalio/workflow';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import type { LockClaim } from '../../domain/operation/locks.js';
import type { SlotKind } from '../../domain/operation/slots.js';
import type { ApprovablePlan, NothingToDo } from '../../domain/plan/plan.js';
import { markdownSentence } from '../../domain/text/markdown.js';
import { withClusterLock } from '../lock/with-cluster-lock.js';
import { withHostSlot, withoutHostSlot } from '../lock/with-host-slot.js';
import { hostActivities } from './activity-proxies.js';
import { ApprovalInbox } from './approval-inbox.js';
import { failureNotice } from './notifications.js';
import type { Operation } from './open-operation.js';
import { type OperationStatus, failureOf, isCancelled, refusal, rejectedText, sentence } from './operation-status.js';
import { RepeatedStep, type ResumePoint } from './run-step.js';
import type { AfterWait } from './step-people.js';
import { untilRecorded } from './until-recorded.js';
import { recordEnd } from './wait-for-host.js';

/** So often a plan that needs no approval is made again after its source changed; then the operation fails. */
const MOST_STALE = 5;

/** What an operation does that is carried out by an approved plan. `Idle`: what it may say in place of a plan. */
export interface ApprovedSteps<P extends ApprovablePlan, Outcome, Idle extends NothingToDo = never> {
  /** Comes first: looks up the cluster and waits for the host. */
  open(): Promise<void>;
  /** Makes the plan, or says why there is nothing to do; reads only. */
  plan(): Promise<P | Idle>;
  /** The same with the cluster locked: the digest of the plan as it would be now. */
  planAgain(plan: P): Promise<{
    readonly digest: string | null;
    readonly changed?: readonly string[];
    readonly nothingToDo?: string;
  }>;
  /** Carries the plan out. 'rejected': a person rejected it, and nothing is left half done. */
  execute(plan: P): Promise<Outcome | 'rejected'>;
  /** Clears up, however the operation ended; a plan was made. */
  release(): Promise<void>;
  /** Follows what was carried out, with slot and lock given back: what waits for people, and lets others work meanwhile. */
  conclude?(plan: P, outcome: Outcome): Promise<Outcome>;

  /** Follows each plan: keeps what it needs. */
  keep?(plan: P): Promise<void>;
  /** Nothing would be changed: the operation ends. */
  isEmpty?(plan: P): boolean;
  /** Follows the approval, before the cluster is locked: what takes hours and changes nothing. */
  prepare?(plan: P): Promise<'rejected' | void>;
  /** Follows a failure or a cancellation: says what state is left. */
  failed?(plan: P): Promise<void>;

  /** The slot of the host that it takes before it locks the cluster; null: it takes none, or its steps take their own. */
  readonly slot: SlotKind | null;
  /** What the lock's conflicts depend on; null as above. */
  claim(plan: P): LockClaim | null;
  /** Codes of failures after which another plan is made, beside `plan-expired`. */
  readonly replanAfter?: readonly string[];
  /** What people read. */
  readonly words: PlanWords<P>;
}

export interface PlanWords<P> {
  /** What failed, in the notice of a failure; null: whoever started it waits for it, and nobody else is told. */
  readonly what: 'recovery' | 'media recovery' | 'table repair' | 'table freeze' | null;
  /** The plan, for the Web UI's details (Markdown). */
  details(plan: P): string;
  /** The same with what to send. */
  approvalDetails(plan: P): string;
  /** One line for the timer under which the approval is waited for. */
  waiting(plan: P): string;
  /** What to type. */
  command(plan: P): string;
  /** How people are told that the approval is waited for; `nobody`: it is waited for untold; null: the plan needs none. */
  notice(plan: P, waitingFor: string): NoticeFacts | 'nobody' | null;
  /** The policy named in the notice of a failure. */
  readonly policy: string | null;
}

export type Ending<P, Outcome, Idle extends NothingToDo = never> =
  | { readonly state: 'completed'; readonly plan: P; readonly outcome: Outcome | null }
  | ([Idle] extends [never] ? never : IdleEnding<P>)
  | { readonly state: 'rejected'; readonly plan: P | null; readonly by: string; readonly reason: string };

/** `plan`: the last one that was made. */
type IdleEnding<P> = { readonly state: 'nothing-to-do'; readonly plan: P | null } & NothingToDo;
type Decided = 'approved' | 'rejected' | 'again';
type CarriedOut<Outcome> = 'rejected' | { readonly stale: string } | NothingToDo | { readonly outcome: Outcome };

/**
 * Plan, wait for the approval, lock the cluster, plan again, and execute where the plan is still the same; else from the
 * beginning. Written once, for everything that people approve.
 */
export class ApprovedOperation<P extends ApprovablePlan, Outcome, Idle extends NothingToDo = never> {
  readonly inbox: ApprovalInbox;

  /** A plan of this operation was approved: from then on a failure waits for people, and does not end it. */
  private pausesOnFailure = false;

  constructor(readonly operation: Operation) {
    this.inbox = openInbox(operation);
    operation.people = this.inbox;
    operation.action = 'recover';
  }

  async run(steps: ApprovedSteps<P, Outcome, Idle>): Promise<Ending<P, Outcome, Idle>> {
    const { inbox } = this;
    const latest: { plan: P | null } = { plan: null };
    try {
      await steps.open();
      const ending = await this.planUntilEnd(steps, (plan) => (latest.plan = plan));
      if (ending.state !== 'completed' || ending.outcome === null || !steps.conclude) return ending;
      return { ...ending, outcome: await steps.conclude(ending.plan, ending.outcome) };
    } catch (error) {
      // People first, because the record may have to wait for a host that is away.
      if (!isCancelled(error)) await this.notifyFailure(steps, error);
      if (latest.plan) await steps.failed?.(latest.plan);
      throw error;
    } finally {
      await CancellationScope.nonCancellable(async () => {
        if (latest.plan) await steps.release().catch(() => log.warn('the cleanup after the operation failed'));
        await inbox.close();
      });
    }
  }

  /**
   * What the operation does beside the steps of its runbook. It is repeated while its failure may pass. One for good ends the
   * operation before the first approval, as whoever asked for it still waits; after it people decide: what was approved does not end
   * because of a host that was away.
   */
  async attempt<T>(name: string, run: (resume: ResumePoint) => Promise<T>): Promise<T | 'rejected'> {
    for (;;) {
      try {
        const done = await new RepeatedStep(this.operation, name).run(run);
        if ('result' in done) return done.result;
      } catch (error) {
        if (isCancelled(error) || failureOf(error).code === 'plan-expired') throw error;
        if (this.inbox.rejectedBecause) return 'rejected';
        // What the workflow itself refuses is final.
        if (!this.pausesOnFailure || !(error instanceof ActivityFailure)) throw error;
        if ((await this.askAfterFailure(name, error)) === 'rejected') return 'rejected';
      }
    }
  }

  private async askAfterFailure(name: string, error: unknown): Promise<AfterWait> {
    const { status, notifications, step } = this.operation;
    const waitingFor = `step "${name}" failed: ${sentence(error)} — \`reprise continue ${step.workflowId}\` tries it again and goes on where it stopped, \`reprise reject ${step.workflowId} --reason ...\` ends the operation and changes nothing more`;
    status.show('paused', waitingFor);
    const [decision] = await Promise.all([
      withoutHostSlot(this.operation, () =>
        this.inbox.afterFailure(`"${name}" failed (${failureOf(error).code}): continue or reject`),
      ),
      notifications.notify({ kind: 'paused', event: 'failure', action: this.operation.action, step: name, waitingFor }),
    ]);
    status.show('running');
    return decision;
  }

  /** Makes plans until one is carried out or somebody rejects; `made` hears of each. */
  private async planUntilEnd(
    steps: ApprovedSteps<P, Outcome, Idle>,
    made: (plan: P) => void,
  ): Promise<Ending<P, Outcome, Idle>> {
    const { inbox, operation } = this;
    const { status } = operation;
    if (inbox.rejectedBecause) return { state: 'rejected', plan: null, ...(await this.recordRejection(null)) };
    let latest: P | null = null;
    for (let stale = 0; ;) {
      inbox.withdraw();
      const next = await status.phase('plan', () => this.attempt('plan', () => steps.plan()));
      if (next === 'rejected') return { state: 'rejected', plan: latest, ...(await this.recordRejection(latest)) };
      if (isIdle(next)) return idleEnding<P, Outcome, Idle>(latest, next);
      const plan: P = next;
      latest = plan;
      made(plan);
      status.plan = plan.digest;
      const kept = await this.attempt('keep what the plan needs', async () => steps.keep?.(plan));
      status.show('running', null, steps.words.details(plan));
      if (steps.isEmpty?.(plan)) return { state: 'completed', plan, outcome: null };

      const decision = kept === 'rejected' ? kept : await this.decide(steps, plan);
      if (decision === 'again') continue;
      const ended = decision === 'rejected' ? decision : await this.carryOut(steps, plan);
      if (ended === 'rejected') return { state: 'rejected', plan, ...(await this.recordRejection(plan)) };
      if ('nothingToDo' in ended) return idleEnding<P, Outcome, Idle>(plan, ended);
      if (!('stale' in ended)) return { state: 'completed', plan, outcome: ended.outcome };

      if (!this.isAsked(steps, plan) && ++stale >= MOST_STALE) throw tooOftenStale(stale);
      await this.revoke(plan, ended.stale);
    }
  }

  /** Waits until the host's worker runs, or somebody rejects the operation. */
  waitForHost(): Promise<void> {
    return this.operation.waitForHost((wait) => this.inbox.unlessRejected(wait));
  }

  private async notifyFailure(
    { words: { what, policy } }: ApprovedSteps<P, Outcome, Idle>,
    error: unknown,
  ): Promise<void> {
    if (what !== null) await this.operation.notifications.notify(failureNotice(what, policy, failureOf(error)));
  }

  private isAsked({ words }: ApprovedSteps<P, Outcome, Idle>, plan: P): boolean {
    return words.notice(plan, '') !== null;
  }

  /** Shows the plan and waits for people, and notifies them at the same time: whoever reads the Web UI may be faster than the mail. */
  private async decide({ words }: ApprovedSteps<P, Outcome, Idle>, plan: P): Promise<Decided> {
    const { status, notifications } = this.operation;
    const { what } = words;
    const waitingFor = `approval of plan ${plan.digest.slice(0, 12)}, until ${plan.approveBy.slice(0, 16)}Z: \`${words.command(plan)}\``;
    const notice = words.notice(plan, waitingFor);
    if (notice === null) {
      this.pausesOnFailure = true;
      return 'approved';
    }
    status.show('waiting-approval', waitingFor, words.approvalDetails(plan));
    const waiting = status.phase('wait for approval', () => this.inbox.decide(plan, words.waiting(plan)));
    const [decision] = await Promise.all([waiting, notice === 'nobody' ? undefined : notifications.notify(notice)]);
    status.show('running');
    // An action that was asked for at a terminal ends there, as whoever asked waits for it.
    this.pausesOnFailure ||= decision === 'approved' && what !== null;
    return decision;
  }

  private async carryOut(steps: ApprovedSteps<P, Outcome, Idle>, plan: P): Promise<CarriedOut<Outcome>> {
    if ((await steps.prepare?.(plan)) === 'rejected') return 'rejected';
    // Before the lock: nobody holds a cluster while it waits for a host.
    await this.waitForHost();
    if (this.inbox.rejectedBecause) return 'rejected';
    const { operation } = this;
    const rejected = { isGivenUp: () => this.inbox.rejectedBecause !== null, orElse: 'rejected' as const };
    const run = () => this.executeUnlessStale(steps, plan);
    const claim = steps.claim(plan);
    const locked = () => (claim === null ? run() : withClusterLock(operation, claim, run, rejected));
    return steps.slot === null ? locked() : withHostSlot(operation, steps.slot, locked, rejected);
  }

  private async executeUnlessStale(steps: ApprovedSteps<P, Outcome, Idle>, plan: P): Promise<CarriedOut<Outcome>> {
    const { status } = this.operation;
    if (this.inbox.rejectedBecause) return 'rejected';
    status.show('running', null, steps.words.details(plan));
    const check = 'check that the plan is still valid';
    const now = await status.phase(check, () => this.attempt(check, () => steps.planAgain(plan)));
    if (now === 'rejected') return 'rejected';
    if (now.nothingToDo !== undefined) return { nothingToDo: now.nothingToDo };
    if (now.digest !== plan.digest) return { stale: now.changed?.join(', ') ?? 'it would now change something else' };
    try {
      const outcome = await steps.execute(plan);
      return outcome === 'rejected' ? 'rejected' : { outcome: outcome as Outcome };
    } catch (error) {
      // Only a plan that was not begun expires: the wait for the cluster was too long, and people decide again.
      const { code, message } = failureOf(error);
      if (code === 'plan-expired' || steps.replanAfter?.includes(code)) return { stale: message };
      throw error;
    }
  }

  /** The approved plan is stale: the next plan needs new approvals, even if it is the same. */
  private async revoke({ digest }: P, why: string): Promise<void> {
    const { step } = this.operation;
    this.inbox.revoke();
    const text = `plan ${digest.slice(0, 12)} is stale (${why}): it was made again and needs a new approval`;
    await untilRecorded(this.operation, 'record that the plan is stale', (activities) =>
      activities.journal({ ...step, step: 'recheck', text }),
    );
  }

  private async recordRejection(plan: P | null): Promise<{ by: string; reason: string }> {
    const { host, step } = this.operation;
    const { by, reason, sentBy } = this.inbox.rejectedBecause ?? { by: 'unnamed', reason: 'none given' };
    await recordEnd(this.operation, 'rejected', () =>
      hostActivities(host, 'record the rejection').recordRejection({
        ...step,
        plan: plan?.digest ?? null,
        by,
        reason,
        sentBy,
      }),
    );
    return { by, reason };
  }
}

/** An inbox whose decisions are checked and recorded on the operation's host, which is known only after a while. */
function openInbox(operation: Operation): ApprovalInbox {
  const { step } = operation;
  const inbox = new ApprovalInbox({
    checkApproval: ({ digest: plan }, approval, sentBy) =>
      untilRecorded(operation, `check the approval of ${approval.by}`, (activities) =>
        activities.recordApproval({ ...step, plan, approval, sentBy }),
      ),
    checkDecision: ({ digest: plan }, decision, sentBy) =>
      untilRecorded(operation, `check the ${decision.kind} of ${decision.by}`, (activities) =>
        activities.recordDecision({ ...step, plan, decision, sentBy }),
      ),
    note: async (text, sentBy) => {
      await condition(() => operation.host !== '' || inbox.isClosed);
      if (operation.host === '') return;
      await untilRecorded(operation, 'record what was sent', (activities) =>
        activities.journal({ ...step, step: 'approval', text, sentBy }),
      );
    },
  });
  return inbox;
}

const isIdle = (made: object): made is NothingToDo => 'nothingToDo' in made;

/** Only steps that may say so lead here. */
function idleEnding<P, Outcome, Idle extends NothingToDo>(
  plan: P | null,
  { nothingToDo }: NothingToDo,
): Ending<P, Outcome, Idle> {
  const ending: IdleEnding<P> = { state: 'nothing-to-do', plan, nothingToDo };
  return ending as Ending<P, Outcome, Idle>;
}

function tooOftenStale(times: number): Error {
  return refusal(
    'plan-stale',
    `the compared objects changed ${times} times while they were read`,
    'stop the programs that write there, then start the operation again',
  );
}

/** Shows that a person rejected the operation; what its workflow returns then. */
export function rejectedOutput<P>(
  status: OperationStatus,
  { plan, by, reason }: { readonly plan: P | null; readonly by: string; readonly reason: string },
) {
  const left = markdownSentence(status.left);
  status.show('rejected', null, [rejectedText(`${by}: ${reason}`), left].join('\n\n').trim());
  return { state: 'rejected' as const, plan, outcome: null, rejectedBecause: `${by}: ${reason}` };
}
