import { log } from '@temporalio/workflow';
import type { HostActivities, PlannedStep } from '../../activities/api.js';
import { stepsThatMoveData } from '../../domain/plan/residual-state.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import type { Plan } from '../../domain/plan/plan.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { ApprovalInbox } from '../operation/approval-inbox.js';
import { hostActivities, retryLostWorker, recoveryActivities } from '../operation/activity-proxies.js';
import { type OperationStatus, failureOf, isCancelled, refusal, sentence } from '../operation/operation-status.js';

/** Refusals of the host's gate: trying the step again cannot pass it, only a new plan can. */
const GATE = ['approval-used', 'approval-refused', 'plan-unknown', 'plan-stale', 'plan-expired'];

/** The backup of the plan is not whole (F15): it is quarantined on the host, and the plan does not hold any more. */
export const DAMAGED = 'backup-corrupt';

/** What every step of an approved recovery works with. */
export class Runbook {
  /** Seconds people were waited for after the approval: at the target, after failed steps. */
  waitedSeconds = 0;
  private isOpen = false;

  constructor(
    readonly work: OperationStatus,
    readonly desk: ApprovalInbox,
    readonly plan: Plan,
    readonly step: PlannedStep,
    /** Names of the steps begun, those of earlier plans of this recovery too. */
    private readonly begun: string[],
    /** Tells people that the recovery waits for one of them. */
    readonly tell: (facts: NoticeFacts) => Promise<void>,
  ) {}

  /**
   * One step in the runbook's words. A step that fails for good leaves the decision to a person: what was done so far
   * is kept, `continue` tries the step again, `reject` gives up; a step with a target also takes a `retarget`.
   */
  async do<T>(
    name: string,
    run: (host: HostActivities, step: PlannedStep, startedAt: string) => Promise<T>,
    retarget?: (to: RecoveryTarget) => void,
  ): Promise<T> {
    const { work, desk, plan, step } = this;
    const host = plan.binding.targetHost;
    for (let retry = 0; ; retry++) {
      // What is open for writes is finished; before that, a rejection sent while a step ran stops at its end.
      if (desk.rejectedBecause && !this.isOpen) throw this.givenUp(name);
      // Names what the step makes: the same however many workers die meanwhile.
      const startedAt = new Date().toISOString();
      this.begun.push(name);
      try {
        const result = await work.phase(name, () =>
          retryLostWorker(() =>
            run(recoveryActivities(host, name), retry === 0 ? step : { ...step, retry }, startedAt),
          ),
        );
        await this.note(name, 'done');
        return result;
      } catch (error) {
        if (isCancelled(error) || GATE.includes(failureOf(error).code)) throw error;
        await this.note(name, `failed: ${sentence(error)}`);
        // Another backup is another plan. Once open for writes, it is the fresh backup that is not good.
        if (failureOf(error).code === DAMAGED && !this.isOpen) throw error;
        const other = retarget
          ? `, \`reprise retarget ${step.workflowId} --to TIME --reason ...\` tries another target`
          : '';
        const asked = `step "${name}" failed: ${sentence(error)} — \`reprise continue ${step.workflowId}\` tries it again${other}, \`reprise reject ${step.workflowId} --reason ...\` gives up; nothing was deleted`;
        work.show('paused', asked);
        const next = await this.asking({ kind: 'paused', event: 'failure', waitingFor: asked }, () =>
          desk.afterFailure(`"${name}" failed: continue or reject`, retarget ? ['retarget'] : []),
        );
        if (next === 'rejected') throw this.givenUp(name);
        work.show('running');
        if (next !== 'again' && next.kind === 'retarget') retarget?.(next.target);
      }
    }
  }

  /** A line of the journal. One that cannot be written must not leave a server half recovered. */
  async note(step: string, text: string): Promise<void> {
    try {
      await hostActivities(this.plan.binding.targetHost, `write down: ${step}`).journal({ ...this.step, step, text });
    } catch (error) {
      if (isCancelled(error)) throw error;
      log.warn('a line of the journal could not be written', { step });
    }
  }

  /** Tells people that one of them is waited for, and waits. Their time is shown apart from the recovery's own. */
  async asking<T>(facts: NoticeFacts, decide: () => Promise<T>): Promise<T> {
    const before = Date.now();
    try {
      const [decision] = await Promise.all([decide(), this.tell(facts)]);
      return decision;
    } finally {
      this.waitedSeconds += (Date.now() - before) / 1000;
    }
  }

  /** The recovered server is validated and open for writes: what people are waited for later no longer counts (RTO). */
  validated(): { readonly validatedAt: number; readonly waitedSeconds: number } {
    this.isOpen = true;
    this.desk.open();
    return { validatedAt: Date.now(), waitedSeconds: this.waitedSeconds };
  }

  givenUp(where: string): Error {
    const because = this.desk.rejectedBecause;
    return refusal(
      'approval-refused',
      `given up at "${where}" by ${because?.by ?? 'unnamed'}: ${because?.reason ?? 'no reason'}`,
      'the old data was kept: reprise kept list',
    );
  }

  hook(name: string): Promise<void> | null {
    if (!this.plan.binding.hooks.includes(name)) return null;
    return this.do(name, (host, step) => host.runHook({ ...step, hook: name }));
  }

  /** Media of the plan, back to the instant of the database just restored. */
  media(): Promise<void> | null {
    return this.plan.binding.media ? this.do(stepsThatMoveData.media, (host, step) => host.restoreMedia(step)) : null;
  }

  /** Runs what leaves the live databases as they are; where it ends before they were touched, applications come back. */
  async untilTouched<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!isCancelled(error)) await this.comeBack();
      throw error;
    }
  }

  private async comeBack(): Promise<void> {
    const { plan, step, work } = this;
    const hook = 'start-applications';
    if (!plan.binding.hooks.includes(hook)) return;
    const started = work.phase(hook, () =>
      recoveryActivities(plan.binding.targetHost, hook).runHook({ ...step, hook }),
    );
    await started.then(
      () => this.note(hook, 'done: the live databases were not touched'),
      (error: unknown) => this.note(hook, `failed: ${sentence(error)}`),
    );
  }
}
