import {
  CancellationScope,
  allHandlersFinished,
  condition,
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  log,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { ApprovalAnswer } from '../../activities/api.js';
import {
  askedText,
  parseApproval,
  parsePromote,
  parseRejection,
  parseRetarget,
  readRejection,
} from '../../domain/approval/parse-decisions.js';
import { waitingLabel } from '../../domain/approval/approval-policy.js';
import { queryNames, signalNames, updateNames } from '../../domain/operation/names.js';
import type { Approval, ApprovablePlan, Decision, Rejection, SentBy } from '../../domain/plan/plan.js';
import { failureOf, refusal } from './operation-status.js';
import { type AfterWait, type StepPeople, shapeValidator } from './step-people.js';
import { waitUnless } from './wait-for-host.js';

type SentRejection = Rejection & { readonly sentBy: SentBy };
type Accepted = { readonly accepted: true; readonly missing: number };

/** The host checks and records what people send; given by the operation, because only it knows the host. */
export interface ApprovalRecords {
  checkApproval(plan: ApprovablePlan, approval: Approval, sentBy: SentBy): Promise<ApprovalAnswer>;
  checkDecision(plan: ApprovablePlan, decision: Decision, sentBy: SentBy): Promise<ApprovalAnswer>;
  note(text: string, sentBy?: SentBy): Promise<void>;
}

/**
 * Where people's decisions arrive. Handlers are set before the workflow's first await, so that an early signal is
 * kept; a malformed one is noted and the workflow goes on waiting.
 */
export class ApprovalInbox implements StepPeople {
  private plan: ApprovablePlan | null = null;
  /** Digests of plans whose approvals are complete and not yet acted upon. */
  private readonly approved = new Set<string>();
  private rejection: SentRejection | null = null;
  private readonly early: unknown[] = [];
  private continued = 0;
  /** What people are asked to decide on the recovered data; null while nobody is asked: what comes then has no effect. */
  private pending: { readonly accepts: readonly Decision['kind'][]; decision: Decision | null } | null = null;
  private mustPlanAgain = false;
  /** Number of plans that turned out stale: an approval whose check began under an earlier plan no longer counts. */
  private round = 0;
  private closed = false;
  /** The recovered server takes writes: from then on a rejection counts only while people are asked for a decision. */
  private isOpenForWrites = false;
  pauseAsked = false;

  constructor(private readonly records: ApprovalRecords) {
    const json = '{"plan":"<12 hex of the plan>","by":"<your name in the policy>","reason":"<why>"}';
    const person = '{"by":"<your name>","reason":"<why>"}';
    setHandler(defineQuery<ApprovablePlan | null>(queryNames.plan), () => this.plan, {
      description: 'the plan that waits for approval',
    });
    setHandler(defineSignal<[unknown]>(signalNames.confirmRestore), (raw) => this.onApproveSignal(raw), {
      description: `approve the plan shown: ${json}`,
    });
    setHandler(defineUpdate<Accepted, [unknown]>(updateNames.approve), (raw) => this.onApproveUpdate(raw), {
      description: `approve the plan shown, with a result: ${json}`,
      validator: shapeValidator(parseApproval, json),
    });
    setHandler(
      defineSignal<[unknown]>(signalNames.reject),
      (raw) => this.onReject(raw, { signal: signalNames.reject }),
      {
        description: `reject, do not recover: ${person}`,
      },
    );
    setHandler(
      defineUpdate<{ rejected: true }, [unknown]>(updateNames.reject),
      (raw) => {
        this.onReject(raw, sentByUpdate());
        return { rejected: true as const };
      },
      {
        description: `reject, do not recover: ${person}`,
        validator: shapeValidator(parseRejection, person),
      },
    );
    const onPause = async (raw: unknown): Promise<void> => {
      this.pauseAsked = true;
      await this.noteAsked(signalNames.pause, raw);
    };
    setHandler(defineSignal<[unknown]>(signalNames.pause), onPause, {
      description: 'stop at the target and wait for promote',
    });
    const onContinue = async (raw: unknown): Promise<void> => {
      this.continued += 1;
      await this.noteAsked(signalNames.continue, raw);
    };
    setHandler(defineSignal<[unknown]>(signalNames.continue), onContinue, {
      description: `repeat the failed step, or make the plan again: ${person}`,
    });
    this.handleDecision('promote', parsePromote, 'promote the recovered server', person);
    this.handleDecision(
      'retarget',
      parseRetarget,
      'continue to a later target',
      '{"by":"...","reason":"...","target":{"kind":"time","time":"2026-01-01T00:00:00Z"}}',
    );
  }

  /** Decisions on what was recovered, by a signal or, with an answer, by an update. */
  private handleDecision(
    name: Decision['kind'],
    parse: (raw: unknown) => Decision | { problem: string },
    what: string,
    json: string,
  ): void {
    const onSignal = async (raw: unknown): Promise<void> => {
      const decision = parse(raw);
      if ('problem' in decision) await this.note(`a ${name} is not valid: ${decision.problem}`);
      else await this.considerDecision(decision, { signal: signalNames[name] });
    };
    const onUpdate = async (raw: unknown): Promise<Accepted> => {
      const decision = parse(raw);
      if ('problem' in decision) throw refusal('approval-refused', decision.problem);
      return acceptedOrRefusal(await this.considerDecision(decision, sentByUpdate()));
    };
    setHandler(defineSignal<[unknown]>(signalNames[name]), onSignal, { description: `${what}: ${json}` });
    setHandler(defineUpdate<Accepted, [unknown]>(updateNames[name]), onUpdate, {
      description: `${what}, with a result: ${json}`,
      validator: shapeValidator(parse, json),
    });
  }

  /** The plan is made again: what is decided meanwhile waits for the new one. */
  withdraw(): void {
    this.plan = null;
    this.mustPlanAgain = false;
  }

  /** What the plan rests on has changed: where its approval is waited for, it is made again. */
  planAgain(): void {
    this.mustPlanAgain = true;
  }

  /** The plan is stale: the next one needs its approvals again, even if it is the same. */
  revoke(): void {
    this.withdraw();
    this.approved.clear();
    this.round += 1;
  }

  /** Shows a plan and waits for its decision; `again` = somebody sent `continue`, or {@link planAgain}: make the plan anew. */
  async decide(plan: ApprovablePlan, summary: string): Promise<'approved' | 'rejected' | 'again'> {
    this.plan = plan;
    this.continued = 0;
    for (const raw of this.early.splice(0)) await this.onApproveSignal(raw);
    await conditionWithSummary(
      summary,
      () => this.approved.has(plan.digest) || this.rejection !== null || this.continued > 0 || this.mustPlanAgain,
    );
    if (this.rejection) return 'rejected';
    return this.approved.has(plan.digest) ? 'approved' : 'again';
  }

  /** The same while a plan is being executed, for what has to be approved on its way; then that one is decided on again. */
  async decideBeside(plan: ApprovablePlan, summary: string): Promise<'approved' | 'rejected' | 'again'> {
    const { plan: executing } = this;
    this.mustPlanAgain = false;
    try {
      return await this.decide(plan, summary);
    } finally {
      this.plan = executing;
      // The host may ask for it once more.
      this.approved.delete(plan.digest);
    }
  }

  /**
   * Waits for a person after a step has failed: try it again, give up or, where the step takes one, another target. `forMs`: then
   * it is tried again in any case.
   */
  async afterFailure(summary: string, accepts: readonly Decision['kind'][] = [], forMs?: number): Promise<AfterWait> {
    this.continued = 0;
    const decided = await this.awaitDecision(summary, accepts, () => this.continued > 0, forMs);
    if (decided === null && this.continued === 0) return 'elapsed';
    return decided ?? 'again';
  }

  /** Waits for `until`, or a rejection, at most so long. */
  async unlessRejectedWithin(summary: string, until: () => boolean, forMs: number): Promise<void> {
    await this.awaitDecision(summary, [], until, forMs);
  }

  /** Waits at the target: promote, go further where the backup can, or give up. */
  async atTarget<K extends Decision['kind']>(
    summary: string,
    accepts: readonly K[],
  ): Promise<Extract<Decision, { kind: K }> | 'rejected'> {
    return (await this.awaitDecision(summary, accepts)) as Extract<Decision, { kind: K }> | 'rejected';
  }

  private async awaitDecision(
    summary: string,
    accepts: readonly Decision['kind'][],
    or: () => boolean = () => false,
    forMs?: number,
  ): Promise<Decision | 'rejected' | null> {
    const pending: ApprovalInbox['pending'] = { accepts, decision: null };
    this.pending = pending;
    try {
      const label = waitingLabel(summary);
      await conditionWithSummary(label, () => pending.decision !== null || this.rejection !== null || or(), forMs);
    } finally {
      this.pending = null;
    }
    return this.rejection ? 'rejected' : pending.decision;
  }

  /** Waits for something that is no decision, and stops waiting when somebody rejects. */
  unlessRejected(run: () => Promise<void>): Promise<void> {
    return waitUnless(() => this.rejection !== null, run);
  }

  /** What was approved is done: a rejection that arrived meanwhile came too late and has no effect. */
  forgetRejection(): void {
    this.rejection = null;
  }

  /** Rejects it for who has sent something else that means the same. */
  reject(rejection: SentRejection): void {
    if (!this.isTooLate) this.rejection ??= rejection;
  }

  /** The recovered server takes writes now. A rejection that arrived during its promotion came too late and has no effect. */
  markOpenForWrites(): void {
    this.isOpenForWrites = true;
    this.rejection = null;
  }

  /**
   * No decision is waited for any more. Updates that still run get their answer first, but for two minutes at most: a host
   * that is gone must not keep the workflow open for ever.
   */
  async close(): Promise<void> {
    this.closed = true;
    this.plan = null;
    if (!(await condition(allHandlersFinished, '2m')))
      log.warn("the last signal or update was not answered: the host's worker is not running");
  }

  get isClosed(): boolean {
    return this.closed;
  }

  get rejectedBecause(): SentRejection | null {
    return this.rejection;
  }

  private async onApproveSignal(raw: unknown): Promise<void> {
    const approval = parseApproval(raw);
    if ('problem' in approval) return this.note(`a confirm-restore is not valid: ${approval.problem}`);
    if (!this.plan) {
      this.early.push(raw);
      return;
    }
    await this.considerApproval(this.plan, approval, { signal: signalNames.confirmRestore });
  }

  private async onApproveUpdate(raw: unknown): Promise<Accepted> {
    const sentBy = sentByUpdate();
    await condition(() => this.plan !== null || this.closed);
    const approval = parseApproval(raw);
    if ('problem' in approval || !this.plan) throw refusal('approval-refused', 'no plan is waiting');
    return acceptedOrRefusal(await this.considerApproval(this.plan, approval, sentBy));
  }

  private async considerApproval(plan: ApprovablePlan, approval: Approval, sentBy: SentBy): Promise<ApprovalAnswer> {
    const { round } = this;
    const answer = await refusedIfCheckFails(() => this.records.checkApproval(plan, approval, sentBy));
    if (answer.accepted && answer.missing === 0 && round === this.round) this.approved.add(plan.digest);
    return answer;
  }

  /** A decision counts only while one is waited for. Whether this person may decide is checked on the host. */
  private async considerDecision(decision: Decision, sentBy: SentBy): Promise<ApprovalAnswer> {
    const { pending, plan } = this;
    if (plan === null || !pending?.accepts.includes(decision.kind)) return this.withoutEffect(decision);
    const answer = await refusedIfCheckFails(() => this.records.checkDecision(plan, decision, sentBy));
    if (!answer.accepted) return answer;
    if (this.pending !== pending || pending.decision !== null) return this.withoutEffect(decision);
    pending.decision = decision;
    return answer;
  }

  private async withoutEffect({ kind, by, reason }: Decision): Promise<ApprovalAnswer> {
    await this.note(`${kind} by ${by} (${reason}) has no effect: nothing was waiting for it`);
    return {
      accepted: false,
      missing: 0,
      code: 'approval-refused',
      reason: `${kind} has no effect: nothing is waiting for it`,
      hint: 'see what it waits for: reprise status',
    };
  }

  /** A line of the journal; one that cannot be written must not end the workflow. */
  private async note(text: string, sentBy?: SentBy): Promise<void> {
    await CancellationScope.nonCancellable(() => this.records.note(text, sentBy)).catch(() =>
      log.warn('a line of the journal could not be written'),
    );
  }

  private noteAsked(signal: string, raw: unknown): Promise<void> {
    return this.note(askedText(signal, raw), { signal });
  }

  private onReject(raw: unknown, sentBy: SentBy): void {
    this.reject({ ...readRejection(raw), sentBy });
  }

  private get isTooLate(): boolean {
    return this.isOpenForWrites && this.pending === null;
  }
}

/** An update answers with what was accepted, or fails with why not. */
export function acceptedOrRefusal({
  accepted: good,
  missing,
  code = 'approval-refused',
  reason = 'refused',
  hint,
}: ApprovalAnswer): Accepted {
  if (!good) throw refusal(code, reason, hint);
  return { accepted: true, missing };
}

/** Runs a check on the host. One that throws is a refusal: a signal's failure must not end the workflow. */
export async function refusedIfCheckFails(check: () => Promise<ApprovalAnswer>): Promise<ApprovalAnswer> {
  try {
    // Not cancelled with the workflow: a cancelled handler would end it before it has tidied up.
    return await CancellationScope.nonCancellable(check);
  } catch (error) {
    const { message, hint } = failureOf(error);
    return { accepted: false, missing: 0, code: 'approval-refused', reason: message, hint };
  }
}

/** The update whose handler runs; its event in the history says who sent it. Asked before the handler's first await. */
function sentByUpdate(): SentBy {
  return { update: currentUpdateInfo()?.id ?? '' };
}

/** Waits, for `forMs` or without an end, under a timer whose summary shows in the Web UI's timeline what is waited for. */
export async function conditionWithSummary(summary: string, until: () => boolean, forMs?: number): Promise<void> {
  if (until()) return;
  const timer = new CancellationScope();
  let isOver = false;
  const label = timer.run(async () => {
    do await sleep(forMs ?? '30d', { summary });
    while (forMs === undefined);
    isOver = true;
  });
  const ended = label.catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });
  try {
    await condition(() => isOver || until());
  } finally {
    timer.cancel();
    await ended;
  }
}
