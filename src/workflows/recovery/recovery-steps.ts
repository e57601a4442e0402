import { CancellationScope, log } from '@temporalio/workflow';
import type { HostActivities, PlannedStep } from '../../activities/api.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import type { Decision, Plan } from '../../domain/plan/plan.js';
import { acceptanceWanted, approvalDetails, planDetails, waitingSummary } from '../../domain/plan/plan-text.js';
import { stepNames } from '../../domain/plan/recovery-step-names.js';
import { describeResidualState, liveDataTouched } from '../../domain/plan/residual-state.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import type { ApprovalInbox } from '../operation/approval-inbox.js';
import { hostActivitiesFor, recoveryActivities } from '../operation/activity-proxies.js';
import { underLock } from '../lock/with-cluster-lock.js';
import { withoutHostSlot } from '../lock/with-host-slot.js';
import type { Operation } from '../operation/open-operation.js';
import { failureOf, isCancelled, refusal, sentence } from '../operation/operation-status.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { RepeatedStep } from '../operation/run-step.js';
import { type AfterWait, unattended } from '../operation/step-people.js';

/** Codes with which the host refuses a step of this plan: another attempt is refused too, only a new plan helps. */
const REFUSED_BY_HOST = ['approval-used', 'approval-refused', 'plan-unknown', 'plan-stale', 'plan-expired'];

/** The backup of the plan is damaged: it is quarantined on the host, and the plan does not hold any more. */
export const DAMAGED = 'backup-corrupt';

/** What a recovery does that outlives one of its plans. */
export interface RecoveryProgress {
  /** Names of the steps begun, those of earlier plans too. */
  readonly begun: string[];
  /** Hooks that were begun and not taken back, with the hook that does it. */
  readonly undos: Map<string, string>;
}

type Work<T> = (host: HostActivities, step: PlannedStep, startedAt: string) => Promise<T>;

/** How the steps of one approved plan are run: recorded, tried again, decided on by people, taken back by hooks. */
export class RecoverySteps {
  private isOpenForWrites = false;
  /** Every step of the runbook has succeeded. */
  private isComplete = false;
  private readonly step: PlannedStep;

  constructor(
    private readonly operation: Operation,
    readonly inbox: ApprovalInbox,
    readonly plan: Plan,
    private readonly progress: RecoveryProgress,
  ) {
    this.step = { ...operation.step, plan: plan.digest };
  }

  /**
   * One step in the runbook's words. A step that fails for good leaves the decision to a person: what was done so far
   * is kept, `continue` tries the step again, `reject` gives up; a step with a target also takes a `retarget`.
   */
  async run<T>(name: string, work: Work<T>, retarget?: (to: RecoveryTarget) => void): Promise<T> {
    const accepts = retarget === undefined ? [] : (['retarget'] as const);
    for (let retry = 0; ; retry++) {
      // What is open for writes is finished; before that, a rejection sent while a step ran stops at its end.
      if (this.inbox.rejectedBecause && !this.isOpenForWrites) throw this.givenUp(name);
      // Names what the step makes: the same however many workers die meanwhile.
      const startedAt = new Date().toISOString();
      this.progress.begun.push(name);
      let next: AfterWait;
      try {
        const repeated = retry === 0 ? {} : { retry };
        const done = await this.operation.status.phase(name, () =>
          new RepeatedStep(this.operation, name, accepts).run(() =>
            this.underLock((step) => work(recoveryActivities(this.host, name), { ...step, ...repeated }, startedAt)),
          ),
        );
        if ('result' in done) {
          await this.note(name, 'done');
          return done.result;
        }
        next = done.decision;
      } catch (error) {
        next = await this.afterFailure(name, error, accepts);
      }
      if (typeof next === 'object' && next.kind === 'retarget') retarget?.(next.target);
    }
  }

  /** A step has failed for good. @throws where another attempt is of no use, or nobody wants one */
  private async afterFailure(name: string, error: unknown, accepts: readonly 'retarget'[]): Promise<AfterWait> {
    const { code } = failureOf(error);
    if (isCancelled(error) || REFUSED_BY_HOST.includes(code)) throw error;
    const noted = this.note(name, `failed: ${sentence(error)}`);
    // Awaited at the end; until then nobody hears that it was cancelled.
    noted.catch(() => undefined);
    try {
      // Another backup is another plan. Once open for writes, it is the fresh backup that is damaged.
      if (code === DAMAGED && !this.isOpenForWrites) throw error;
      if (this.inbox.rejectedBecause) throw this.givenUp(name);
      return await this.askAfterFailure(name, error, accepts);
    } finally {
      // People are asked first: the record may have to wait for the storage whose failure they are asked about.
      await noted;
    }
  }

  private async askAfterFailure(name: string, error: unknown, accepts: readonly 'retarget'[]): Promise<AfterWait> {
    const { workflowId } = this.step;
    const other =
      accepts.length > 0
        ? `, \`reprise retarget ${workflowId} --to TIME --by NAME --reason ...\` tries another target`
        : '';
    const waitingFor = `step "${name}" failed: ${sentence(error)} — \`reprise continue ${workflowId}\` tries it again${other}, \`reprise reject ${workflowId} --reason ...\` ends the recovery; ${whatIsSafe(name)}`;
    this.operation.status.show('paused', waitingFor);
    const next = await this.askPeople({ kind: 'paused', event: 'failure', waitingFor }, () =>
      this.inbox.afterFailure(`"${name}" failed: continue or reject`, accepts),
    );
    if (next === 'rejected') throw this.givenUp(name);
    this.operation.status.show('running');
    return next;
  }

  /** Waits for a person's decision on what was recovered. */
  async askAboutRecovered<K extends Decision['kind']>(
    waitingFor: string,
    summary: string,
    accepts: readonly K[],
  ): Promise<Extract<Decision, { kind: K }>> {
    const { status } = this.operation;
    status.show('paused', waitingFor);
    const decision = await this.askPeople({ kind: 'paused', event: 'waiting-approval', waitingFor }, () =>
      this.inbox.atTarget(summary, accepts),
    );
    if (decision === 'rejected') throw this.givenUp(stepNames.runChecks);
    status.show('running');
    return decision;
  }

  /**
   * Waits until people approve what the host wants to have approved before it goes on, or send `continue`. Whether it is approved
   * the host says, when it is asked again.
   */
  async askToAccept(accept: Plan): Promise<void> {
    const { status } = this.operation;
    status.plan = accept.digest;
    status.show('waiting-approval', acceptanceWanted(accept), approvalDetails(accept));
    const decision = await this.askPeople({ kind: 'approval', plan: accept }, () =>
      status.phase('wait for approval', () => this.inbox.decideBeside(accept, waitingSummary(accept))),
    );
    status.plan = this.plan.digest;
    if (decision === 'rejected') throw this.givenUp(stepNames.restoreBeside);
    status.show('running', null, planDetails(this.plan));
  }

  /** Notifies people that a decision is waited for, and waits; the recovery of another cluster may have the slot meanwhile. */
  private async askPeople<T>(facts: NoticeFacts, decide: () => Promise<T>): Promise<T> {
    const { notifications } = this.operation;
    const [decision] = await Promise.all([withoutHostSlot(this.operation, decide), notifications.notify(facts)]);
    return decision;
  }

  /** A line of the journal. One that cannot be written must not leave a server half recovered. */
  async note(step: string, text: string): Promise<void> {
    try {
      const line = { ...this.step, step, text };
      const { status, notifications } = this.operation;
      const at = { host: this.host, status, notifications };
      await untilRecorded(at, `record: ${step}`, (activities) => activities.journal(line), '10m');
    } catch (error) {
      if (isCancelled(error)) throw error;
      log.warn('a line of the journal could not be written', { step });
    }
  }

  /** The recovered server is validated and open for writes: a rejection no longer takes that back. */
  openForWrites(): void {
    this.isOpenForWrites = true;
    this.inbox.markOpenForWrites();
  }

  private givenUp(where: string): Error {
    const { by = 'unnamed', reason = 'no reason' } = this.inbox.rejectedBecause ?? {};
    return refusal(
      'approval-refused',
      `rejected at step "${where}" by ${by}: ${reason}`,
      'the old data was kept: reprise kept list',
    );
  }

  /** Runs a hook of the plan; what takes it back is registered before it acts. */
  async hook(name: string): Promise<void> {
    const { undos } = this.progress;
    if (!this.plan.binding.hooks.includes(name)) return;
    const undo = undoHookOf(this.plan.binding, name);
    if (undo !== null) undos.set(name, undo);
    await this.run(name, (host, step) => host.runHook({ ...step, hook: name }));
    for (const [hook, by] of undos) if (by === name) undos.delete(hook);
  }

  /** The end of the runbook: takes back what no step of it has taken back, each as a step of its own. */
  async complete(): Promise<void> {
    this.isComplete = true;
    for (const [hook, undo] of [...this.progress.undos].reverse()) {
      await this.run(undo, (host, step) => host.undoHook({ ...step, hook }));
      this.progress.undos.delete(hook);
    }
  }

  /**
   * Every other way out. Hooks are taken back unless the live data was touched: then applications would work on a
   * half recovered database, and a person decides.
   */
  async undoHooks(): Promise<void> {
    if (!this.isComplete && liveDataTouched(this.progress.begun)) return;
    await CancellationScope.nonCancellable(async () => {
      for (const [hook, undo] of [...this.progress.undos].reverse()) await this.undoHook(hook, undo);
    });
  }

  private async undoHook(hook: string, undo: string): Promise<void> {
    const name = `${undo} (undo of ${hook})`;
    try {
      await this.operation.status.phase(name, () =>
        new RepeatedStep(this.operation, name, [], unattended).run(() =>
          this.underLock((step) => recoveryActivities(this.host, name).undoHook({ ...step, hook })),
        ),
      );
      this.progress.undos.delete(hook);
      await this.note(undo, `done: undo of ${hook}`);
    } catch (error) {
      await this.note(undo, `failed: undo of ${hook}: ${sentence(error)}`);
    }
  }

  private underLock<T>(work: (step: PlannedStep) => Promise<T>): Promise<T> {
    const { digest: plan } = this.plan;
    return underLock(this.operation, (step) => work({ ...step, plan }));
  }

  private get host(): string {
    return this.plan.binding.targetHost;
  }
}

/** A copy that is not whole is dropped again, unless the failure says that it was kept. */
function whatIsSafe(step: string): string {
  return step === stepNames.restoreBeside ? 'the live databases were not changed' : 'nothing was deleted';
}

/** Whoever finds a recovery ended reads what state it left: in the details, and in the journal. */
export async function recordResidualState(
  { host, status, step }: Operation,
  plan: Plan,
  { begun, undos }: RecoveryProgress,
): Promise<void> {
  if (begun.length === 0) return;
  status.left = describeResidualState(plan, begun, undos);
  await CancellationScope.nonCancellable(() =>
    hostActivitiesFor(host, 'record the state that is left', '1d').journal({
      ...step,
      step: 'ended',
      text: status.left,
    }),
  ).catch(() => log.warn('the state that is left could not be recorded'));
}
