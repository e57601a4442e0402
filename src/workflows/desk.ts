import { CancellationScope, allHandlersFinished, condition, defineQuery, defineSignal, defineUpdate, isCancellation, setHandler, sleep } from '@temporalio/workflow';
import type { ApprovalAnswer } from '../activities/api.js';
import { parseApproval, parseRejection, type Retarget } from '../domain/approval-shape.js';
import { queryNames, signalNames, updateNames } from '../domain/names.js';
import type { Approval, Plan, Rejection } from '../domain/plan.js';
import { failureOf, refusal } from './work.js';

type Accepted = { readonly accepted: true; readonly missing: number };

/** Host-side judgement and journal of what people send; given by the workflow, because only it knows the host. */
export interface DeskRecords {
  judge(plan: Plan, approval: Approval): Promise<ApprovalAnswer>;
  note(text: string): Promise<void>;
}

/**
 * Where people's decisions arrive. Handlers are set before the workflow's first await, so that an early signal is
 * kept; a malformed one is noted and the workflow goes on waiting (F32).
 */
export class Desk {
  private plan: Plan | null = null;
  private approved = false;
  private rejection: Rejection | null = null;
  private readonly early: unknown[] = [];
  private readonly continued: Rejection[] = [];
  private readonly promotions: Rejection[] = [];
  private readonly retargets: Retarget[] = [];
  private closed = false;
  pauseAsked = false;

  constructor(private readonly records: DeskRecords) {
    const json = '{"plan":"<12 hex of the plan>","by":"<your name in the policy>","reason":"<why>"}';
    const person = '{"by":"<your name>","reason":"<why>"}';
    setHandler(defineQuery<Plan | null>(queryNames.plan), () => this.plan, { description: 'the plan under decision' });
    setHandler(defineSignal<[unknown]>(signalNames.confirmRestore), (raw) => this.signalled(raw), { description: `approve the plan shown: ${json}` });
    setHandler(defineUpdate<Accepted, [unknown]>(updateNames.approve), (raw) => this.updated(raw), {
      description: `approve the plan shown and be told the answer: ${json}`,
      validator: (raw) => {
        const parsed = parseApproval(raw);
        if ('problem' in parsed) throw refusal('approval-refused', parsed.problem, `send ${json}`);
      },
    });
    setHandler(defineSignal<[unknown]>(signalNames.reject), (raw) => this.rejected(raw), { description: `do not recover: ${person}` });
    setHandler(
      defineUpdate<{ rejected: true }, [unknown]>(updateNames.reject),
      (raw) => {
        this.rejected(raw);
        return { rejected: true as const };
      },
      {
        description: `do not recover: ${person}`,
        validator: (raw) => {
          const parsed = parseRejection(raw);
          if ('problem' in parsed) throw refusal('approval-refused', parsed.problem, `send ${person}`);
        },
      },
    );
    setHandler(defineSignal(signalNames.pause), () => void (this.pauseAsked = true), { description: 'stop at the target and wait for promote' });
    setHandler(defineSignal<[unknown]>(signalNames.continue), (raw) => void this.continued.push(anyone(raw)), { description: `try again what failed, or make the plan again: ${person}` });
    setHandler(defineSignal<[unknown]>(signalNames.promote), (raw) => void this.promotions.push(anyone(raw)), { description: `open the recovered server for writes: ${person}` });
    setHandler(defineSignal<[Retarget]>(signalNames.retarget), (raw) => void this.retargets.push(raw), {
      description: 'go on to a later target: {"by":"...","reason":"...","target":{"kind":"time","time":"2026-01-01T00:00:00Z"}}',
    });
  }

  /** Shows a plan and waits for its decision; `again` = somebody sent `continue`: make the plan anew. */
  async decide(plan: Plan, summary: string): Promise<'approved' | 'rejected' | 'again'> {
    this.plan = plan;
    this.approved = false;
    this.continued.length = 0;
    for (const raw of this.early.splice(0)) await this.signalled(raw);
    await labelled(summary, () => this.approved || this.rejection !== null || this.continued.length > 0);
    if (this.rejection) return 'rejected';
    return this.approved ? 'approved' : 'again';
  }

  /** Waits for a person after a step has failed. */
  async afterFailure(summary: string): Promise<'again' | 'rejected'> {
    this.continued.length = 0;
    await labelled(summary, () => this.continued.length > 0 || this.rejection !== null);
    return this.rejection ? 'rejected' : 'again';
  }

  /** Waits at the target: promote, go further, or give up. */
  async atTarget(summary: string): Promise<{ kind: 'promote'; by: Rejection } | { kind: 'retarget'; to: Retarget } | { kind: 'rejected' }> {
    await labelled(summary, () => this.promotions.length > 0 || this.retargets.length > 0 || this.rejection !== null);
    const to = this.retargets.shift();
    if (to) return { kind: 'retarget', to };
    const by = this.promotions.shift();
    return by && !this.rejection ? { kind: 'promote', by } : { kind: 'rejected' };
  }

  /** Nothing is waited for any more: whoever still waits for an answer gets one. */
  async close(): Promise<void> {
    this.closed = true;
    this.plan = null;
    await condition(allHandlersFinished);
  }

  get rejectedBecause(): Rejection | null {
    return this.rejection;
  }

  private async signalled(raw: unknown): Promise<void> {
    const approval = parseApproval(raw);
    if ('problem' in approval) return this.records.note(`a confirm-restore could not be read: ${approval.problem}`);
    if (!this.plan) {
      this.early.push(raw);
      return;
    }
    await this.consider(this.plan, approval);
  }

  private async updated(raw: unknown): Promise<Accepted> {
    await condition(() => this.plan !== null || this.closed);
    const approval = parseApproval(raw);
    if ('problem' in approval || !this.plan) throw refusal('approval-refused', 'no plan is waiting');
    const answer = await this.consider(this.plan, approval);
    if (!answer.accepted) throw refusal(answer.code ?? 'approval-refused', answer.reason ?? 'refused', answer.hint);
    return { accepted: true, missing: answer.missing };
  }

  private async consider(plan: Plan, approval: Approval): Promise<ApprovalAnswer> {
    const answer = await this.judged(plan, approval);
    if (answer.accepted && answer.missing === 0 && this.plan?.digest === plan.digest) this.approved = true;
    return answer;
  }

  /** A judgement that cannot be had is a refusal: a signal's failure must not end the workflow. */
  private async judged(plan: Plan, approval: Approval): Promise<ApprovalAnswer> {
    try {
      return await this.records.judge(plan, approval);
    } catch (error) {
      if (isCancellation(error)) throw error;
      const { message, hint } = failureOf(error);
      return { accepted: false, missing: 0, code: 'approval-refused', reason: message, hint };
    }
  }

  private rejected(raw: unknown): void {
    this.rejection ??= anyone(raw);
  }
}

/** Who sent it, as far as it was said: a decision against changing anything is never lost for its form. */
function anyone(raw: unknown): Rejection {
  const parsed = parseRejection(raw);
  return 'problem' in parsed ? { by: 'unnamed', reason: 'none given' } : parsed;
}

/** Waits without an end, under a timer whose summary tells the Web UI's timeline what is waited for. */
async function labelled(summary: string, until: () => boolean): Promise<void> {
  if (until()) return;
  const timer = new CancellationScope();
  const label = timer.run(async () => {
    for (;;) await sleep('30d', { summary: summary.slice(0, 190) });
  });
  const ended = label.catch((error: unknown) => {
    if (!isCancellation(error)) throw error;
  });
  try {
    await condition(until);
  } finally {
    timer.cancel();
    await ended;
  }
}
