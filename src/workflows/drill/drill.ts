import { CancellationScope, CancelledFailure, log, upsertMemo, workflowInfo } from '@temporalio/workflow';
import type { DrillFacts } from '../../activities/api.js';
import type { DrillCheck, DrillOutcome, DrillPlan, DrillRestored } from '../../domain/drill/drill.js';
import { type AskedSignOff, drillDetails, outcomeDetails, signOffDetails } from '../../domain/drill/drill-text.js';
import { waitingLabel } from '../../domain/approval/approval-policy.js';
import { dueAfter } from '../../domain/drill/register.js';
import type { DrillEnding } from '../../domain/drill/verdict.js';
import { updateNames } from '../../domain/operation/names.js';
import type { DrillInput, DrillOutput } from '../api.js';
import { withHostSlot } from '../lock/with-host-slot.js';
import { heavyActivities, hostActivitiesFor, readActivities } from '../operation/activity-proxies.js';
import { conditionWithSummary } from '../operation/approval-inbox.js';
import { withHeartbeats } from '../operation/heartbeats.js';
import { Operation } from '../operation/open-operation.js';
import { failureOf, isCancelled, refusal, runOperation, sentence } from '../operation/operation-status.js';
import { runStep } from '../operation/run-step.js';
import { StepInbox } from '../operation/step-people.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { askForSignOff, SignOffInbox } from '../operation/sign-off.js';

/** What one engine came to. */
interface DrillFound {
  readonly restored: DrillRestored;
  readonly checks: readonly DrillCheck[];
}

/**
 * A restore drill: plan, restore with each engine onto staging and check, compare, have people sign it off, seal the evidence, empty
 * staging. It runs beside everything else, as it changes nothing of production.
 */
export function drill(input: DrillInput): Promise<DrillOutput> {
  const one = new Drill(input);
  return runOperation(one.operation.status, () => one.run());
}

class Drill {
  readonly operation: Operation;
  private readonly signOffs: SignOffInbox;
  private plan: DrillPlan | null = null;

  constructor(private readonly input: DrillInput) {
    const { cluster, operationId = scheduledDrillId() } = input;
    this.operation = new Operation('drill', { cluster, operationId });
    const note = (text: string, sentBy?: Parameters<Operation['recordMessage']>[1]) =>
      this.operation.recordMessage(text, sentBy);
    this.operation.people = new StepInbox(note);
    this.signOffs = new SignOffInbox({
      ...{ updateName: updateNames.signOff, what: 'what was restored', kept: 'staging', note },
      check: (signOff, sentBy) =>
        untilRecorded(this.operation, `check the sign-off of ${signOff.by}`, (activities) =>
          activities.recordSignOff({ ...this.step, signOff, sentBy }),
        ),
    });
    if (input.operationId === undefined) upsertMemo({ operationId });
  }

  async run(): Promise<DrillOutput> {
    try {
      return await this.planAndCarryOut();
    } finally {
      await CancellationScope.nonCancellable(() => this.signOffs.close());
    }
  }

  private async planAndCarryOut(): Promise<DrillOutput> {
    const { operation } = this;
    const cluster = await operation.lookUp();
    const { drill: facts } = cluster;
    if (facts === undefined) throw noDrills(operation.step.cluster);
    operation.host = facts.host;
    await operation.waitForHost();
    return withHeartbeats(
      operation,
      cluster,
      'drill',
      () => this.planned(facts),
      ({ outcome }) => (outcome.verdict === 'pass' ? 'succeeded' : 'failed'),
    );
  }

  private async planned(facts: DrillFacts): Promise<DrillOutput> {
    const { operation } = this;
    const plan = await this.makePlan();
    try {
      const ending = await this.carryOut(plan, facts);
      const outcome = await this.seal(ending);
      await this.tell(outcome, ending);
      if (ending.ended === 'cancelled' && !this.isRejected) throw new CancelledFailure('the drill was cancelled');
      await this.keepStaging();
      operation.status.show('completed', null, outcomeDetails(outcome));
      return { outcome };
    } finally {
      await CancellationScope.nonCancellable(() => this.close());
    }
  }

  /** Looks at backups and staging, and refuses what must not be: nothing is emptied before. */
  private async makePlan(): Promise<DrillPlan> {
    const { operation, input } = this;
    const { status, host, step } = operation;
    const order = { order: input.order, requester: input.requester };
    try {
      const plan = await status.phase('plan', () =>
        runStep(operation, 'plan', () => readActivities(host, 'make the plan').planDrill({ ...step, ...order })),
      );
      this.plan = plan;
      status.plan = plan.digest;
      status.show('running', null, drillDetails(plan));
      return plan;
    } catch (error) {
      await this.couldNotBegin(error);
      if (isCutOff(error)) await CancellationScope.nonCancellable(() => this.close('10m'));
      throw error;
    }
  }

  /** Whoever starts a drill by hand reads why; of one that a schedule started nobody would hear. */
  private async couldNotBegin(error: unknown): Promise<void> {
    if (isCancelled(error) || this.input.operationId !== undefined) return;
    const { operation } = this;
    const { host, step, notifications } = operation;
    const { message, hint } = failureOf(error);
    const finishedAt = new Date().toISOString();
    await notifications.notify({
      ...{ kind: 'drill', state: 'incomplete', hint, dueAt: dueAfter(finishedAt) },
      reason: `it came to no plan: ${message}`,
    });
    const startedAt = workflowInfo().startTime.toISOString();
    await hostActivitiesFor(host, 'record that there was no drill', '1d')
      .recordUnplannedDrill({ ...step, startedAt, finishedAt, reason: message })
      .catch(() => log.warn('that there was no drill could not be recorded'));
  }

  /** All that is done on staging. It fails by no exception: whatever happened, the evidence says it. */
  private async carryOut(plan: DrillPlan, facts: DrillFacts): Promise<DrillEnding> {
    try {
      const failures = (plan.unrestorable ?? []).map(({ policy, reason }) => `${policy}: ${reason}`);
      const checks: DrillCheck[] = [];
      const restored: DrillRestored[] = [];
      for (const index of plan.restores.keys()) {
        const done = await this.restoreAndCheck(plan, index);
        if ('failed' in done) failures.push(done.failed);
        else {
          checks.push(...done.checks);
          restored.push(done.restored);
        }
      }
      if (restored.length > 1) checks.push(...(await this.crossCheck()));
      if (failures.length > 0) return { ended: 'failed', reason: failures.join('; ') };
      // What failed already needs nobody's word.
      if (facts.signOff === undefined || checks.some(({ status }) => status === 'failed')) return { ended: 'done' };
      return await this.signedOff(plan, facts.signOff, { restored, checks });
    } catch (error) {
      const { people } = this.operation;
      if (people.rejectedBecause) {
        const { by, reason } = people.rejectedBecause;
        return { ended: 'cancelled', reason: `${by} ended it: ${reason}` };
      }
      if (isCancelled(error)) return { ended: 'cancelled', reason: 'it was cancelled' };
      return { ended: 'failed', reason: sentence(error) };
    }
  }

  /** One engine, with a slot of the host. A restore that fails does not keep the next engine from being tried. */
  private restoreAndCheck(plan: DrillPlan, restore: number): Promise<DrillFound | { readonly failed: string }> {
    const policy = plan.restores[restore]?.policy ?? '';
    return withHostSlot(this.operation, 'heavy', async () => {
      try {
        const step = { ...this.step, restore };
        await this.heavy('empty staging', policy, (activities) => activities.wipeStaging(this.step));
        await this.heavy('restore', policy, (activities) => activities.restoreStaging(step));
        const restored = await this.heavy('start', policy, (activities) => activities.startStaging(step));
        return { restored, checks: await this.heavy('check', policy, (activities) => activities.checkStaging(step)) };
      } catch (error) {
        if (isCancelled(error) || this.isRejected) throw error;
        return { failed: `${policy}: ${sentence(error)}` };
      }
    });
  }

  /** What two engines restored to one instant, compared by table. */
  private crossCheck(): Promise<readonly DrillCheck[]> {
    return withHostSlot(this.operation, 'heavy', () =>
      this.heavy('compare the engines', '', (activities) => activities.crossCheck(this.step)),
    );
  }

  /** Opens staging for people, masked, and waits for their word: told at once, reminded, escalated. */
  private async signedOff(
    plan: DrillPlan,
    asked: NonNullable<DrillFacts['signOff']>,
    found: Pick<AskedSignOff, 'restored' | 'checks'>,
  ): Promise<DrillEnding> {
    const { operation, signOffs } = this;
    const { status, host, notifications } = operation;
    const open = 'open staging';
    const { connection } = await status.phase(open, () =>
      runStep(operation, open, () => readActivities(host, 'mask the data and open staging').openStaging(this.step)),
    );
    const { by } = asked;
    const { workflowId } = operation.step;
    const until = await askForSignOff(operation, signOffs, {
      policy: asked,
      show: (end) => ({
        waitingFor: `the sign-off of ${by.join(' or ')} until ${end.slice(0, 16)}Z: look at ${connection}, then \`reprise sign-off ${workflowId} --verdict pass --remarks ...\`, or \`--verdict fail\``,
        details: signOffDetails(plan, { ...found, connection, by, until: end }),
      }),
      tell: (stage, end) => notifications.notify({ kind: 'sign-off', stage, by, connection, until: end }),
      wait: (summary, forMs) => conditionWithSummary(waitingLabel(summary), () => this.hasWord, forMs),
      isOver: () => this.hasWord,
    });
    status.show('running', null, drillDetails(plan));
    // One that is just being checked still counts.
    await signOffs.close();
    if (signOffs.accepted !== null) return { ended: 'done' };
    const { rejectedBecause: rejected } = operation.people;
    if (rejected) return { ended: 'cancelled', reason: `${rejected.by} ended it: ${rejected.reason}` };
    return { ended: 'done', reason: `nobody signed it off until ${until.slice(0, 16)}Z (${by.join(', ')})` };
  }

  private get hasWord(): boolean {
    return this.signOffs.accepted !== null || this.isRejected;
  }

  private get isRejected(): boolean {
    return this.operation.people.rejectedBecause !== null;
  }

  /** Report, hashes and signature, archived; with them the verdict is recorded. What was cancelled waits a day for its host, no longer. */
  private seal(ending: DrillEnding): Promise<DrillOutcome> {
    const { operation, step } = this;
    const { status, host } = operation;
    const name = 'seal the evidence';
    return CancellationScope.nonCancellable(() =>
      status.phase(name, () =>
        ending.ended === 'cancelled'
          ? hostActivitiesFor(host, name, '1d').sealEvidence({ ...step, ...ending })
          : runStep(operation, name, () => readActivities(host, name).sealEvidence({ ...step, ...ending })),
      ),
    );
  }

  private async tell({ verdict, reason, finishedAt }: DrillOutcome, { ended }: DrillEnding): Promise<void> {
    if (verdict === 'pass' || (verdict === 'incomplete' && ended === 'cancelled')) return;
    await this.operation.notifications.notify({
      kind: 'drill',
      state: verdict === 'fail' ? 'failed' : 'incomplete',
      reason: reason ?? 'no reason is known',
      dueAt: dueAfter(finishedAt),
    });
  }

  /** Staging stays for the time asked; a person ends it earlier, and so does a cancellation. */
  private async keepStaging(): Promise<void> {
    const { status, people, step } = this.operation;
    const seconds = Math.max(this.input.order.keepSeconds ?? 0, this.signOffs.accepted?.keepSeconds ?? 0);
    if (seconds === 0 || this.isRejected) return;
    const until = new Date(Date.now() + seconds * 1000).toISOString();
    const waitingFor = `the end of the time for which staging is kept, ${until.slice(0, 16)}Z; \`reprise continue ${step.workflowId}\` empties it now`;
    status.show('running', waitingFor);
    try {
      await status.phase('keep staging', () => people.afterFailure('staging is kept', [], seconds * 1000));
    } catch (error) {
      if (!isCancelled(error)) throw error;
    }
  }

  /** Where the host is away for longer, its sweep does it. */
  private async close(within: '10m' | '1d' = '1d'): Promise<void> {
    const { status, host, step } = this.operation;
    await status
      .phase('empty staging', () => hostActivitiesFor(host, 'stop and empty staging', within).closeStaging(step))
      .catch(() => log.warn('staging could not be emptied: the sweep of its host does it'));
  }

  private get step() {
    return { ...this.operation.step, plan: this.plan?.digest ?? '' };
  }

  /** A step that works for long: a phase, on the queue of heavy work, repeated while its failure may pass. */
  private heavy<T>(
    name: string,
    policy: string,
    run: (activities: ReturnType<typeof heavyActivities>) => Promise<T>,
  ): Promise<T> {
    const { operation } = this;
    const summary = policy === '' ? name : `${name}: ${policy}`;
    return operation.status.phase(summary, () =>
      runStep(operation, summary, () => run(heavyActivities(operation.host, summary))),
    );
  }
}

/** Whether an attempt may have ended without giving back the place and the pins that it had taken. */
function isCutOff(error: unknown): boolean {
  return isCancelled(error) || ['worker-lost', 'step-stalled'].includes(failureOf(error).code);
}

/** An id as the command line makes them; the same after a Reset. */
function scheduledDrillId(): string {
  const { startTime, firstExecutionRunId } = workflowInfo();
  const stamp = startTime.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${stamp}-${firstExecutionRunId.replaceAll('-', '').slice(-6)}`;
}

function noDrills(cluster: string): Error {
  return refusal(
    'not-found',
    `cluster ${cluster} has no drills`,
    `say where they go in reprise.yml: clusters.${cluster}.drill: { host: HOST, data_dir: DIRECTORY, port: PORT }`,
  );
}
