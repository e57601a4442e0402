import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  type ChildWorkflowHandle,
  allHandlersFinished,
  condition,
  defineSignal,
  setHandler,
  startChild,
  ParentClosePolicy,
} from '@temporalio/workflow';
import { recoverWorkflowId, signalNames, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import { parseNote, readRejection } from '../../domain/approval/parse-decisions.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import type { Rejection, SentBy } from '../../domain/plan/plan.js';
import type { Diagnosis } from '../../domain/operation/inspections.js';
import { recoveryRunbook } from '../../domain/plan/runbooks.js';
import type { IncidentInput, IncidentOutput, RecoverOutput } from '../api.js';
import { readActivities } from '../operation/activity-proxies.js';
import { APPROVAL, recover } from '../recovery/recover.js';
import { Operation } from '../operation/open-operation.js';
import { runOperation, isCancelled, sentence } from '../operation/operation-status.js';
import { untilRecorded } from '../operation/until-recorded.js';
import { recordEnd, waitUnless } from '../operation/wait-for-host.js';

type IncidentState = Extract<NoticeFacts, { kind: 'incident' }>['state'];
type DecisionKind = 'confirmed' | 'dismissed' | 'closed' | 'again';
/** `sentBy`: the signal that it came by; absent: no person sent it. */
type IncidentDecision = { readonly kind: DecisionKind; readonly sentBy: SentBy } & Rejection;
type IncidentEnd = IncidentDecision & { readonly kind: 'dismissed' | 'closed' };
type Note = { readonly by: string; readonly text: string; readonly sentBy?: SentBy };

/** A recovery that the incident started, and how it ended. */
interface EndedRecovery {
  readonly workflowId: string;
  readonly operationId: string;
  readonly output: RecoverOutput | null;
  readonly why: string;
}

/** The loss of an instance, from suspicion to report: qualify, recover in a child workflow, close with the document. */
export async function incident(input: IncidentInput): Promise<IncidentOutput> {
  const one = new Incident(input);
  return runOperation(one.operation.status, () => one.run());
}

class Incident {
  readonly operation: Operation;
  /** What people sent and is not yet acted upon. */
  private readonly decisions: IncidentDecision[] = [];
  private readonly notes: Note[] = [];
  /** The watch says so, and the recovery does not know it yet. */
  private answersAgain = false;
  /** A recovery found nothing to do: what a person asks for afterwards is asked for although the cluster answers. */
  private foundNothingToDo = false;

  constructor(private readonly input: IncidentInput) {
    this.operation = new Operation('incident', input);
    this.handleDecision(signalNames.confirm, 'confirmed', 'it is a real incident');
    this.handleDecision(signalNames.dismiss, 'dismissed', 'it is a false alarm, stop here');
    this.handleDecision(signalNames.close, 'closed', 'close an incident whose recovery was rejected or failed');
    this.handleDecision(signalNames.continue, 'again', 'make a new plan after a failed one');
    setHandler(
      defineSignal<[unknown]>(signalNames.note),
      (raw) => void this.notes.push({ ...noteOf(raw), sentBy: { signal: signalNames.note } }),
      {
        description: 'a line for the journal: {"by":"...","text":"..."}',
      },
    );
    setHandler(
      defineSignal(signalNames.clusterAnswers),
      () => {
        this.notes.push({ by: 'watch', text: `${input.cluster} answers again` });
        this.answersAgain = true;
      },
      { description: 'sent by the watch' },
    );
  }

  private handleDecision(name: string, kind: DecisionKind, what: string): void {
    setHandler(
      defineSignal<[unknown]>(name),
      (raw) => void this.decisions.push({ kind, sentBy: { signal: name }, ...readRejection(raw) }),
      {
        description: `${what}: {"by":"...","reason":"..."}`,
      },
    );
  }

  async run(): Promise<IncidentOutput> {
    await this.suspect();
    const { early } = this;
    if (early) return { state: await this.endBy(early.kind, early), recovery: null };
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

  /** What ends the incident before anything was done. */
  private get early(): IncidentEnd | undefined {
    return this.decisions.find((one): one is IncidentEnd => one.kind === 'dismissed' || one.kind === 'closed');
  }

  /** People are told first, because the record may have to wait for its host. */
  private async suspect(): Promise<void> {
    const { input, operation } = this;
    const { finding, cluster } = input;
    const { status } = operation;
    const found = finding ? `${finding.layer}: ${finding.reason}` : '';
    status.show('suspected', null, `**${cluster} does not answer.** ${found}`);
    await operation.lookUp();
    const opened = finding ? `layer ${found}` : 'opened by hand';
    await this.notify('suspected', opened);
    await operation.waitForHost((wait) => waitUnless(() => this.early !== undefined, wait));
    if (this.early === undefined) await this.record('suspected', opened);
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
    await this.record('suspected', found);
  }

  /** One child recovery, with the journal kept while it runs. */
  private async recoverOnce(attempt: number): Promise<'dismissed' | 'closed' | EndedRecovery> {
    const { status, step } = this.operation;
    const operationId = attempt === 1 ? step.operationId : `${step.operationId}-${attempt}`;
    const workflowId = recoverWorkflowId(step.cluster, operationId);
    const scope = new CancellationScope();
    // In the scope, so that a dismissal cancels it.
    const child = await scope.run(() => this.startRecovery(workflowId, operationId));
    if (!child)
      return {
        workflowId,
        operationId,
        output: null,
        why: `${workflowId} was started before: it continues`,
      };
    status.show(
      'suspected',
      `the decision on ${workflowId}: \`reprise approve ${workflowId} --by NAME --reason "..."\``,
    );
    const recovery: { ended: EndedRecovery | null } = { ended: null };
    const ending = child.result().then(
      (output) => void (recovery.ended = { workflowId, operationId, output, why: output.rejectedBecause ?? '' }),
      (error: unknown) => void (recovery.ended = { workflowId, operationId, output: null, why: sentence(error) }),
    );
    for (let approved = false; ;) {
      await condition(() => recovery.ended !== null || this.decisions.length > 0 || this.notes.length > 0);
      if (this.answersAgain) await this.tellRecovery(child);
      await this.recordNotes();
      if (recovery.ended !== null) return recovery.ended;
      const decision = this.decisions.shift();
      if (decision?.kind === 'confirmed') {
        approved ||= decision.by === APPROVAL;
        await this.announce('confirmed', decision.reason, decision);
        status.show('running', `the decision on ${workflowId}`);
      } else if (decision?.kind === 'dismissed' || decision?.kind === 'closed') {
        if (approved) this.notes.push(tooLate(decision, workflowId));
        else {
          scope.cancel();
          await ending;
          return this.endBy(decision.kind, decision);
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

  private async startRecovery(
    workflowId: string,
    operationId: string,
  ): Promise<ChildWorkflowHandle<typeof recover> | null> {
    const { cluster, requester, firstFailedAt, finding } = this.input;
    // One that somebody opened by hand is about more than whether the cluster answers.
    const unlessAnswers = finding !== undefined && !this.foundNothingToDo ? { unlessAnswers: true as const } : {};
    const started = startChild(recover, {
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
    // After a Reset the recovery is there already: a person says whether it counts.
    return started.catch((error: unknown) => {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
      throw error;
    });
  }

  /** The incident closes with its document. */
  private async close({ output, operationId }: EndedRecovery): Promise<void> {
    const { status, step } = this.operation;
    await this.announce(
      'closed',
      output?.nothingToDo ?? `recovered to ${output?.outcome?.target.reached ?? 'unknown'}`,
    );
    const report = await untilRecorded(this.operation, 'write the incident document', (activities) =>
      activities.writeReport({ ...step, operationId, incident: step.workflowId }),
    );
    status.show('completed', null, `**Closed.** Report: ${report}`);
    await condition(allHandlersFinished);
  }

  /** The recovery was rejected or failed: a person has a new plan made, or ends the incident. */
  private async decideOnFailed(why: string): Promise<'again' | 'dismissed' | 'closed'> {
    const { status, step } = this.operation;
    await this.announce('undecided', why);
    status.show(
      'paused',
      `a person, because ${why}: \`reprise continue ${step.workflowId}\` makes a new plan, \`reprise incident close ${step.workflowId}\` ends it`,
    );
    for (;;) {
      await condition(() => this.decisions.length > 0 || this.notes.length > 0);
      await this.recordNotes();
      const decision = this.decisions.shift();
      if (!decision || decision.kind === 'confirmed') continue;
      if (decision.kind !== 'again') return this.endBy(decision.kind, decision);
      status.show('suspected');
      return 'again';
    }
  }

  private async endBy<K extends 'dismissed' | 'closed'>(kind: K, decision: IncidentDecision): Promise<K> {
    const { by, reason } = decision;
    const state = kind === 'closed' ? 'completed' : 'cancelled';
    await this.notify(kind, reason, by);
    await recordEnd(this.operation, state, () => this.record(kind, reason, decision));
    this.operation.status.show(state, null, `**${kind}** by ${by}: ${reason}`);
    return kind;
  }

  private async announce(state: IncidentState, text: string, decision?: IncidentDecision): Promise<void> {
    await this.notify(state, text, decision?.by);
    await this.record(state, text, decision);
  }

  private notify(state: IncidentState, text: string, by = this.input.requester): Promise<void> {
    const { scenario, firstFailedAt = null } = this.input;
    return this.operation.notifications.notify({ kind: 'incident', scenario, state, text, by, since: firstFailedAt });
  }

  private record(state: IncidentState, text: string, decision?: IncidentDecision): Promise<void> {
    const { by, sentBy } = decision ?? { by: this.input.requester };
    const { step } = this.operation;
    const { scenario } = this.input;
    return untilRecorded(this.operation, `record: ${state}`, (activities) =>
      activities.recordIncident({ ...step, scenario, state, text, by, sentBy }),
    );
  }

  private async recordNotes(): Promise<void> {
    const { step } = this.operation;
    for (const { by, text, sentBy } of this.notes.splice(0)) {
      const line = { ...step, step: 'note', text: `${by}: ${text}`, sentBy };
      await untilRecorded(this.operation, 'a line for the journal', (activities) => activities.journal(line));
    }
  }
}

/** What answers again where data was to be replaced may have been put there by hand: a person looks at it. */
function needsLook({ nothingToDo, plan }: RecoverOutput): boolean {
  return nothingToDo !== undefined && plan !== null && plan.binding.method !== 'restart';
}

function tooLate({ kind, by }: IncidentDecision, workflowId: string): Note {
  return {
    by,
    text: `${kind} has no effect: the recovery was approved and runs; \`reprise reject ${workflowId}\` ends it between its steps`,
  };
}

function diagnosisText({ answers, layer, reason, dataDirectory, walReadable }: Diagnosis): string {
  const answer = answers ? 'yes' : `no (${layer ?? 'unknown'}: ${reason})`;
  return `answers: ${answer}; data directory ${dataDirectory}; old WAL ${walReadable ? 'readable' : 'not readable'}`;
}

function unknownBecause(error: unknown): string {
  if (isCancelled(error)) throw error;
  return `the diagnosis failed: ${sentence(error)}`;
}

function noteOf(raw: unknown): Note {
  const parsed = parseNote(raw);
  return 'problem' in parsed ? { by: 'unnamed', text: `a note is not valid: ${parsed.problem}` } : parsed;
}
