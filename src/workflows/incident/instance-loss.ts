import {
  type ChildWorkflowHandle,
  ParentClosePolicy,
  allHandlersFinished,
  condition,
  defineSignal,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import type { Diagnosis } from '../../domain/operation/inspections.js';
import { recoverWorkflowId, signalNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { recoveryRunbook } from '../../domain/plan/runbooks.js';
import { markdownCode, markdownSentence, markdownText } from '../../domain/text/markdown.js';
import type { IncidentOutput, InstanceLossInput, RecoverOutput } from '../api.js';
import { readActivities } from '../operation/activity-proxies.js';
import { APPROVAL } from '../operation/confirm-incident.js';
import { isCancelled, sentence } from '../operation/operation-status.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { recover } from '../recovery/recover.js';
import { type EndedChild, IncidentChild, tooLate, waitsForDecision, waitsForEnd } from './incident-child.js';
import { IncidentFrame } from './incident-frame.js';

/** A recovery that the incident started, and how it ended. */
interface EndedRecovery extends EndedChild<RecoverOutput> {
  readonly workflowId: string;
  readonly operationId: string;
}

/** The loss of an instance, from suspicion to report: qualify, recover in a child workflow, close with the document. */
export class InstanceLoss {
  readonly frame: IncidentFrame;
  /** The watch says so, and the recovery does not know it yet. */
  private answersAgain = false;
  /** A recovery found nothing to do: what a person asks for afterwards is asked for although the cluster answers. */
  private foundNothingToDo = false;

  constructor(private readonly input: InstanceLossInput) {
    this.frame = new IncidentFrame(input, {
      close: 'close an incident whose recovery was rejected or failed',
      again: 'make a new plan after a failed one',
      since: input.firstFailedAt ?? null,
    });
    setHandler(
      defineSignal(signalNames.clusterAnswers),
      () => {
        this.frame.note('note', `watch: ${input.cluster} answers again`);
        this.answersAgain = true;
      },
      { description: 'sent by the watch' },
    );
  }

  async run(): Promise<IncidentOutput> {
    await this.suspect();
    const { early } = this.frame;
    if (early) return { state: await this.frame.endBy(early.kind, early), recovery: null };
    await this.qualify();
    for (let attempt = 1; ; attempt++) {
      const recovery = await this.recoverOnce(attempt);
      if (recovery === 'dismissed' || recovery === 'closed') return { state: recovery, recovery: null };
      this.foundNothingToDo ||= recovery.output?.nothingToDo !== undefined;
      if (recovery.output?.state === 'completed' && !needsLook(recovery.output)) {
        await this.close(recovery);
        return { state: 'closed', recovery: recovery.workflowId };
      }
      const next = await this.decideOnFailed(recovery.output?.nothingToDo ?? recovery.why);
      if (next !== 'again') return { state: next, recovery: recovery.workflowId };
    }
  }

  private async suspect(): Promise<void> {
    const { cluster, finding } = this.input;
    const found = finding ? `${finding.layer}: ${finding.reason}` : '';
    this.operation.status.show(
      'suspected',
      null,
      `**${markdownText(cluster)} does not answer.** ${markdownSentence(found)}`,
    );
    await this.frame.open(finding ? `layer ${found}` : 'opened by hand');
  }

  /** Which layer fails, and in what state the data directory is. Where that cannot be found out, the plan says it again. */
  private async qualify(): Promise<void> {
    const { status, host, step } = this.operation;
    status.show('suspected');
    const found = await status.phase('qualify', () =>
      readActivities(host, 'diagnose the cluster')
        .diagnose({ cluster: step.cluster })
        .then(diagnosisText, unknownBecause),
    );
    await this.frame.record('suspected', found);
  }

  /** One child recovery, with the journal kept while it runs. */
  private async recoverOnce(attempt: number): Promise<'dismissed' | 'closed' | EndedRecovery> {
    const { status, step } = this.operation;
    const operationId = attempt === 1 ? step.operationId : `${step.operationId}-${attempt}`;
    const workflowId = recoverWorkflowId(step.cluster, operationId);
    const child = await IncidentChild.start(() => this.startRecovery(workflowId, operationId));
    if (!child)
      return {
        workflowId,
        operationId,
        output: null,
        why: `${workflowId} was started before: it continues`,
      };
    status.show('suspected', waitsForDecision(workflowId));
    try {
      return await this.follow(child, { workflowId, operationId });
    } catch (error) {
      await child.letGo();
      throw error;
    }
  }

  private async follow(
    child: IncidentChild<typeof recover>,
    ids: Pick<EndedRecovery, 'workflowId' | 'operationId'>,
  ): Promise<'dismissed' | 'closed' | EndedRecovery> {
    const { frame } = this;
    for (;;) {
      await condition(() => child.ended !== null || frame.hasNews);
      if (this.answersAgain) await this.tellRecovery(child.handle);
      await frame.recordNotes();
      if (child.ended !== null)
        return { ...ids, ...child.ended, why: child.ended.output?.rejectedBecause ?? child.ended.why };
      const decision = frame.decisions.shift();
      if (decision?.kind === 'confirmed') {
        child.approved ||= decision.by === APPROVAL;
        await frame.announce('confirmed', decision.reason, decision);
        const { workflowId } = ids;
        this.operation.status.show(
          'running',
          child.approved ? waitsForEnd('recovery', workflowId) : waitsForDecision(workflowId),
        );
      } else if (decision?.kind === 'dismissed' || decision?.kind === 'closed') {
        if (child.approved) frame.note('note', tooLate(decision, 'recovery', ids.workflowId));
        else {
          await child.cancel();
          return frame.endBy(decision.kind, decision);
        }
      }
    }
  }

  /** Its plan is made again: what answers needs no recovery. */
  private async tellRecovery(child: ChildWorkflowHandle<typeof recover>): Promise<void> {
    this.answersAgain = false;
    await child.signal(signalNames.clusterAnswers).catch((error: unknown) => {
      // It ended in the meantime: then it needs to know nothing.
      if (isCancelled(error)) throw error;
    });
  }

  private startRecovery(workflowId: string, operationId: string): Promise<ChildWorkflowHandle<typeof recover>> {
    const { cluster, requester, firstFailedAt, finding } = this.input;
    // One that somebody opened by hand is about more than whether the cluster answers.
    const unlessAnswers = finding !== undefined && !this.foundNothingToDo ? { unlessAnswers: true as const } : {};
    return startChild(recover, {
      workflowId,
      // An incident that is terminated or Reset must not stop a recovery half way.
      parentClosePolicy: ParentClosePolicy.ABANDON,
      priority: priorityOf(workflowTypes.recover),
      staticSummary: `recover ${cluster} after the loss of its instance`,
      staticDetails: recoveryRunbook(cluster, 'in-place').details,
      args: [
        {
          cluster,
          requester,
          operationId,
          order: { target: { kind: 'latest' as const }, into: 'in-place', pause: false },
          incident: this.operation.step.workflowId,
          firstFailedAt,
          ...unlessAnswers,
        },
      ],
    });
  }

  /** The incident closes with its document. */
  private async close({ output, operationId }: EndedRecovery): Promise<void> {
    const { status, step } = this.operation;
    await this.frame.announce(
      'closed',
      output?.nothingToDo ?? `recovered to ${output?.outcome?.target.reached ?? 'unknown'}`,
    );
    const report = await untilRecorded(this.operation, 'write the incident document', (activities) =>
      activities.writeReport({ ...step, operationId, incident: step.workflowId }),
    );
    status.show('completed', null, `**Closed.** Report: ${markdownCode(report)}`);
    await condition(allHandlersFinished);
  }

  /** The recovery was rejected or failed: a person has a new plan made, or ends the incident. */
  private async decideOnFailed(why: string): Promise<'again' | 'dismissed' | 'closed'> {
    const { status, step } = this.operation;
    await this.frame.announce('undecided', why);
    status.show(
      'paused',
      `a person, because ${why}: \`reprise continue ${step.workflowId}\` makes a new plan, \`reprise incident close ${step.workflowId}\` ends it`,
    );
    for (;;) {
      const decision = await this.frame.nextDecision();
      if (decision === null || decision.kind === 'confirmed') continue;
      if (decision.kind !== 'again') return this.frame.endBy(decision.kind, decision);
      status.show('suspected');
      return 'again';
    }
  }

  private get operation() {
    return this.frame.operation;
  }
}

/** What answers again where data was to be replaced may have been put there by hand: a person looks at it. */
function needsLook({ nothingToDo, plan }: RecoverOutput): boolean {
  return nothingToDo !== undefined && plan !== null && plan.binding.method !== 'restart';
}

function diagnosisText({ answers, layer, reason, dataDirectory, walReadable }: Diagnosis): string {
  const answer = answers ? 'yes' : `no (${layer ?? 'unknown'}: ${reason})`;
  return `answers: ${answer}; data directory ${dataDirectory}; old WAL ${walReadable ? 'readable' : 'not readable'}`;
}

function unknownBecause(error: unknown): string {
  if (isCancelled(error)) throw error;
  return `the diagnosis failed: ${sentence(error)}`;
}
