import { defineSignal, setHandler, sleep } from '@temporalio/workflow';
import type { CheckResult, PlanRequest, ReachedTarget } from '../../activities/api.js';
import type { RecoveryOutcome } from '../../domain/backup/records.js';
import { type LockClaim, recoveryClaim } from '../../domain/operation/locks.js';
import { signalNames } from '../../domain/operation/names.js';
import { approveCommand } from '../../domain/approval/approval-policy.js';
import type { NothingToDo, Plan } from '../../domain/plan/plan.js';
import { approvalDetails, planDetails, waitingSummary } from '../../domain/plan/plan-text.js';
import { rpoInWords } from '../../domain/plan/recovery-figures.js';
import { stepNames } from '../../domain/plan/recovery-step-names.js';
import { describeResidualState } from '../../domain/plan/residual-state.js';
import type { PlannedThaw } from '../../domain/plan/thaw.js';
import { thawPollSeconds } from '../../domain/plan/thaw.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { markdownCode, markdownSentence, markdownText } from '../../domain/text/markdown.js';
import { durationInWords, sizeInWords } from '../../domain/text/text.js';
import type { RecoverInput, RecoverOutput } from '../api.js';
import { releaseHostSlot } from '../lock/with-host-slot.js';
import { controlActivities, hostActivitiesFor, readActivities } from '../operation/activity-proxies.js';
import { ApprovedOperation, type ApprovedSteps, type Ending, type PlanWords } from '../operation/approved-operation.js';
import { confirmIncident } from '../operation/confirm-incident.js';
import { Operation } from '../operation/open-operation.js';
import { refusal, rejectedText, runOperation } from '../operation/operation-status.js';
import { DAMAGED, type RecoveryProgress, RecoverySteps, recordResidualState } from './recovery-steps.js';

/** Plan, wait for people, plan again, recover, validate, report. */
export async function recover(input: RecoverInput): Promise<RecoverOutput> {
  const operation = new Operation('recover', input);
  const recovery = new Recovery(input, new ApprovedOperation(operation));
  return runOperation(operation.status, () => recovery.run());
}

/**
 * The recovery of an instance, the runbook PRA 01 (docs/faults.md, "Loss of an instance", S2 to S5). `ApprovedOperation` calls
 * its steps in this order: {@link open}, {@link plan}, {@link keep}, the wait for approval, {@link prepare}, the cluster lock,
 * {@link planAgain}, {@link execute}, {@link release}; where the plan has changed, again from {@link plan}. Detecting the loss
 * and telling the contacts (S1) is the work of `watch` and `incident`.
 */
class Recovery implements ApprovedSteps<Plan, RecoveryOutcome, NothingToDo> {
  private readonly operation: Operation;
  private readonly progress: RecoveryProgress = { begun: [], undos: new Map() };
  private request: PlanRequest;

  readonly slot = 'recovery';
  readonly replanAfter = [DAMAGED];
  readonly words: PlanWords<Plan>;

  constructor(
    private readonly input: RecoverInput,
    private readonly approved: ApprovedOperation<Plan, RecoveryOutcome, NothingToDo>,
  ) {
    const { order, requester, unlessAnswers } = input;
    this.operation = approved.operation;
    this.request = { ...this.operation.step, order, requester, ...(unlessAnswers && { unlessAnswers }) };
    setHandler(defineSignal(signalNames.clusterAnswers), () => approved.inbox.planAgain(), {
      description: 'sent by the incident: the plan is made again',
    });
    this.words = {
      what: 'recovery',
      details: planDetails,
      approvalDetails,
      waiting: waitingSummary,
      command: ({ digest, observed }) =>
        approveCommand(this.operation.step.workflowId, digest, observed.approval?.from),
      notice: (plan) => ({ kind: 'approval', plan }),
      policy: order.policy ?? null,
    };
  }

  async run(): Promise<RecoverOutput> {
    const ending = await this.approved.run(this);
    // The incident tells what came of its recovery.
    if (ending.state === 'nothing-to-do' && ending.plan && !this.input.incident)
      await this.operation.notifications.notify({ kind: 'ended', plan: ending.plan.digest, text: ending.nothingToDo });
    return this.outputOf(ending);
  }

  /** Onto another host, everything is done there: the source's may be dead. */
  async open(): Promise<void> {
    const { operation, input } = this;
    const facts = await operation.lookUp(input.order.into);
    await this.approved.waitForHost();
    this.request = { ...this.request, controlDigest: facts.configDigest };
    if (operation.host === facts.host) return;
    const sourceAnswers = await controlActivities.hostAnswers({ host: facts.host });
    this.request = { ...this.request, sourceAnswers };
  }

  /** Which backup, to which target, on which server. Refuses what cannot succeed. Reads only. */
  plan(): Promise<Plan | NothingToDo> {
    return readActivities(this.operation.host, 'make the plan (reads only)').planRecovery(this.request);
  }

  planAgain({ digest }: Plan): Promise<{ digest: string | null; changed: readonly string[]; nothingToDo?: string }> {
    return readActivities(this.operation.host, 'make the plan again').recheckPlan({
      ...this.request,
      plan: digest,
    });
  }

  /** The backup is kept from rotation until the recovery has ended. */
  async keep({ digest }: Plan): Promise<void> {
    const { host, step } = this.operation;
    await readActivities(host, 'pin the backup').pin({ ...step, plan: digest });
  }

  release(): Promise<void> {
    const { host, step } = this.operation;
    return hostActivitiesFor(host, 'unpin the backup', '1d').unpin(step);
  }

  claim({ binding }: Plan): LockClaim {
    return recoveryClaim(binding);
  }

  /** After the approval and before the lock: cold files are thawed while backups go on. */
  async prepare(plan: Plan): Promise<'rejected' | void> {
    if (this.input.incident) await confirmIncident(this.input.incident, plan);
    const { thaw } = plan.binding;
    if (!thaw) return;
    return this.operation.status.phase('thaw', () => this.thaw(plan, thaw));
  }

  /** Takes hours: requests the thaw, and checks from time to time until every file can be read. */
  private async thaw(plan: Plan, { tier }: PlannedThaw): Promise<'rejected' | void> {
    const { host, status, step } = this.operation;
    const { inbox } = this.approved;
    const planned = { ...step, plan: plan.digest };
    const hours = plan.observed.thaw?.choices.find((choice) => choice.tier === tier)?.hours ?? 0;
    const pause = thawPollSeconds(hours) * 1000;
    const request = `request the thaw (${tier})`;
    const requested = await this.approved.attempt(request, () => readActivities(host, request).requestThaw(planned));
    if (requested === 'rejected') return 'rejected';
    const look = 'check whether every file can be read';
    for (;;) {
      const left = await this.approved.attempt(look, () => readActivities(host, look).lookAtThaw(planned));
      if (left === 'rejected' || inbox.rejectedBecause) return 'rejected';
      const { objects, bytes } = left;
      if (objects === 0) return;
      const waitingFor = `${objects} files (${sizeInWords(bytes)}) to be readable: tier ${tier} takes up to ${durationInWords(hours * 3600)}`;
      status.show('waiting-thaw', waitingFor, planDetails(plan));
      await inbox.unlessRejected(() => sleep(pause, { summary: `wait for the thaw: ${objects} files left` }));
    }
  }

  async execute(plan: Plan): Promise<RecoveryOutcome> {
    const steps = new RecoverySteps(this.operation, this.approved.inbox, plan, this.progress);
    try {
      await this.recoverByMethod(steps);
      await steps.hook('start-applications');
      await steps.complete();
      return await this.document(steps);
    } finally {
      await steps.undoHooks();
    }
  }

  private recoverByMethod(steps: RecoverySteps): Promise<void> {
    switch (steps.plan.binding.method) {
      case 'restart':
        return this.restartServer(steps);
      case 'data-directory':
        return this.recoverDataDirectory(steps);
      case 'databases':
        return this.recoverDatabases(steps);
    }
  }

  /** The data directory is whole: the server is started, and nothing is replaced. */
  private async restartServer(steps: RecoverySteps): Promise<void> {
    await steps.run(stepNames.startServer, (host, step) => host.startServer(step));
    const checks = await this.runChecks(steps);
    const wrong = failed(checks);
    if (wrong.length > 0) {
      throw refusal(
        'check-failed',
        `the server runs but ${wrong.map((check) => `${check.name}: ${check.detail}`).join('; ')}`,
        `restore instead: reprise recover ${this.input.cluster}`,
      );
    }
    steps.openForWrites();
  }

  /** A physical backup into a data directory. */
  private async recoverDataDirectory(steps: RecoverySteps): Promise<void> {
    const inPlace = steps.plan.binding.into === 'in-place';

    await steps.hook('stop-applications');
    if (inPlace) await steps.run(stepNames.stopServer, (host, step) => host.stopServer(step));
    if (inPlace) await steps.run(stepNames.salvage, (host, step) => host.salvageWal(step));
    await steps.run(stepNames.moveOldData, (host, step) => host.putAside(step));
    await steps.run(stepNames.restoreFiles, (host, step) => host.restoreFiles(step));
    await this.replayToTarget(steps);
    await this.promote(steps);
    steps.openForWrites();
    if (inPlace) await steps.run(stepNames.rearm, (host, step) => host.rearmArchiving(step));
    if (inPlace) await this.takeFreshBackup(steps);
  }

  /** Replays up to the target, read-only; then, with a pause or a failed check, people inspect the data and may retarget. */
  private async replayToTarget(steps: RecoverySteps): Promise<void> {
    const { media } = steps.plan.binding;
    let { target }: { target: RecoveryTarget } = steps.plan.binding;
    // Media go to one instant: with them, another target is another plan.
    const retarget = media ? undefined : (to: RecoveryTarget): void => void (target = to);
    const replay = (): Promise<ReachedTarget> =>
      steps.run(stepNames.replay, (host, step) => host.replayWal({ ...step, target }), retarget);

    let reached = await replay();
    await this.restoreMedia(steps);
    let checks = await this.runChecks(steps);
    while (this.needsDecision(steps, checks)) {
      const decision = await this.askAfterReplay(steps, reached, checks);
      if (decision.kind === 'promote') break;
      ({ target } = decision);
      reached = await replay();
      checks = await this.runChecks(steps);
    }
  }

  private async promote(steps: RecoverySteps): Promise<void> {
    const { timeline, repaired, skipped } = await steps.run(stepNames.promote, (host, step) =>
      host.promoteServer(step),
    );
    if (repaired.length > 0)
      await steps.note(
        stepNames.promote,
        `collation versions differ on this host; rebuilt: ${repaired.slice(0, 20).join(', ')}`,
      );
    if (skipped && skipped.length > 0)
      await steps.note(stepNames.promote, `skipped: ${skipped.slice(0, 20).join('; ')}`);
    await steps.note(stepNames.promote, `promoted: accepts writes on timeline ${timeline}`);
  }

  /** Dumps restored beside the live databases, checked, then swapped by rename. */
  private async recoverDatabases(steps: RecoverySteps): Promise<void> {
    await steps.hook('stop-applications');
    if (steps.plan.binding.steps.includes('safety-backup')) await this.takeSafetyBackup(steps);
    await this.restoreBeside(steps);
    await this.restoreMedia(steps);
    const checks = await this.runChecks(steps);
    if (this.needsDecision(steps, checks)) await this.askBeforeSwap(steps, checks);
    await steps.run(stepNames.swap, (host, step) => host.swapDatabases(step));
    steps.openForWrites();
    await this.takeFreshBackup(steps);
  }

  /** What the restore could not make is accepted by people, or the recovery ends: the host asks until it was approved. */
  private async restoreBeside(steps: RecoverySteps): Promise<void> {
    for (;;) {
      const { accept } = await steps.run(stepNames.restoreBeside, (host, step) => host.restoreDatabases(step));
      if (accept === undefined) return;
      await steps.askToAccept(accept);
    }
  }

  private async takeSafetyBackup(steps: RecoverySteps): Promise<void> {
    const saved = await steps.run(stepNames.safetyBackup, (host, step, startedAt) =>
      host.safetyBackup({ ...step, startedAt }),
    );
    await steps.note('safety backup', saved);
  }

  /** It takes as long as a backup takes: no recovery of another cluster waits for it. */
  private async takeFreshBackup(steps: RecoverySteps): Promise<void> {
    await releaseHostSlot(this.operation);
    await steps.run(stepNames.freshBackup, (host, step, startedAt) => host.freshBackup({ ...step, startedAt }));
  }

  /** Media of the plan, back to the instant of the database just restored. */
  private async restoreMedia(steps: RecoverySteps): Promise<void> {
    if (steps.plan.binding.media) await steps.run(stepNames.media, (host, step) => host.restoreMedia(step));
  }

  private runChecks(steps: RecoverySteps): Promise<readonly CheckResult[]> {
    const { method } = steps.plan.binding;
    return steps.run(stepNames.runChecks, (host, step) => host.runChecks({ ...step, method }));
  }

  private needsDecision({ plan, inbox }: RecoverySteps, checks: readonly CheckResult[]): boolean {
    return plan.binding.pause || inbox.pauseAsked || failed(checks).length > 0;
  }

  private askAfterReplay(steps: RecoverySteps, { reached }: ReachedTarget, checks: readonly CheckResult[]) {
    const { workflowId } = this.operation.step;
    // With media the host refuses it, and says what to do instead.
    const retarget = steps.plan.binding.media
      ? ''
      : `, \`reprise retarget ${workflowId} --to TIME --by NAME --reason ...\``;
    return steps.askAboutRecovered(
      `an inspection of the recovered data (read-only) at ${reached}; ${checksText(checks)}. Then \`reprise promote ${workflowId} --by NAME --reason ...\`${retarget}, or \`reprise reject ${workflowId} --reason ...\``,
      'inspect the data, then promote, retarget or reject',
      ['promote', 'retarget'],
    );
  }

  private async askBeforeSwap(steps: RecoverySteps, checks: readonly CheckResult[]): Promise<void> {
    const { workflowId } = this.operation.step;
    await steps.askAboutRecovered(
      `an inspection of the restored databases, which are still beside the live ones; ${checksText(checks)}. Then \`reprise promote ${workflowId} --by NAME --reason ...\` swaps the databases, \`reprise reject ${workflowId} --reason ...\` keeps the live ones`,
      'inspect the restored databases, then promote or reject',
      ['promote'],
    );
  }

  /** What was reached, how long it took (RTO) and what was lost (RPO), as the host's ledger has it, in the incident document. */
  private async document(steps: RecoverySteps): Promise<RecoveryOutcome> {
    const { incident, firstFailedAt } = this.input;
    const documented = await steps.run(stepNames.document, (host, step) =>
      host.finishRecovery({ ...step, incident, firstFailedAt }),
    );
    const { target, rtoSeconds, rpoSeconds, leavesProduction, report } = documented;
    await this.operation.notifications.notify({
      kind: 'recovered',
      reached: target.reached,
      rtoSeconds,
      rpoSeconds,
      ...(leavesProduction && { leavesProduction }),
      report,
    });
    return documented;
  }

  failed(plan: Plan): Promise<void> {
    return recordResidualState(this.operation, plan, this.progress);
  }

  private outputOf(ending: Ending<Plan, RecoveryOutcome, NothingToDo>): RecoverOutput {
    const { status } = this.operation;
    if (ending.state === 'rejected') {
      const { plan, by, reason } = ending;
      const left = plan
        ? describeResidualState(plan, this.progress.begun, this.progress.undos)
        : 'Nothing was changed.';
      status.show('rejected', null, `${rejectedText(`${by}: ${reason}`)} ${markdownSentence(left)}`);
      return { state: 'rejected', plan, outcome: null, rejectedBecause: `${by}: ${reason}`, left };
    }
    if (ending.state === 'nothing-to-do') {
      const { plan, nothingToDo } = ending;
      status.show('completed', null, `**Nothing was changed.** ${markdownSentence(nothingToDo)}`);
      return { state: 'completed', plan, outcome: null, nothingToDo };
    }
    const { plan, outcome } = ending;
    if (outcome)
      status.show(
        'completed',
        null,
        `**Recovered** to ${markdownText(`${outcome.target.reached}. RTO: ${durationInWords(outcome.rtoSeconds)}; RPO: ${rpoInWords(outcome)}`)}. Report: ${markdownCode(outcome.report)}`,
      );
    return { state: 'completed', plan, outcome };
  }
}

function failed(checks: readonly CheckResult[]): readonly CheckResult[] {
  return checks.filter((check) => check.status === 'failed');
}

function checksText(checks: readonly CheckResult[]): string {
  const wrong = failed(checks);
  if (wrong.length === 0) return 'paused as asked';
  return `checks failed: ${wrong.map((check) => `${check.name} (${check.detail})`).join('; ')}`;
}
