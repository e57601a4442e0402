import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  allHandlersFinished,
  condition,
  defineSignal,
  setHandler,
  startChild,
  workflowInfo,
  ParentClosePolicy,
} from '@temporalio/workflow';
import { recoverWorkflowId, signalNames } from '../../domain/operation/names.js';
import { parseNote, parseRejection } from '../../domain/approval/parse-decisions.js';
import type { NoticeFacts } from '../../domain/notification/notices.js';
import type { Rejection } from '../../domain/plan/plan.js';
import type { Diagnosis } from '../../domain/operation/inspections.js';
import * as runbooks from '../../domain/plan/runbooks.js';
import type { IncidentInput, IncidentOutput, RecoverOutput } from '../api.js';
import { waitForHost } from '../lock/with-cluster-lock.js';
import { fewTriesHostActivities, controlActivities, hostActivities } from '../operation/activity-proxies.js';
import { APPROVAL, recover } from '../recovery/recover.js';
import { Notifications } from '../operation/notifications.js';
import { OperationStatus, runOperation, isCancelled, sentence } from '../operation/operation-status.js';

type IncidentState = Extract<NoticeFacts, { kind: 'incident' }>['state'];
type Said = {
  readonly kind: 'confirmed' | 'dismissed' | 'closed' | 'again';
  readonly by: string;
  readonly reason: string;
};

/** The loss of an instance from suspicion to report: qualify, plan and decide in a child, close with the document (S1–S5). */
export async function incident(input: IncidentInput): Promise<IncidentOutput> {
  const { cluster, scenario, operationId } = input;
  const work = new OperationStatus('incident', cluster);
  const step = { cluster, operationId, workflowId: workflowInfo().workflowId };
  const teller = new Notifications(step);
  const said: Said[] = [];
  const notes: { by: string; text: string }[] = [];
  const hear = (name: string, kind: Said['kind'], description: string) =>
    setHandler(defineSignal<[unknown]>(name), (raw) => void said.push({ kind, ...person(raw) }), { description });
  hear(signalNames.confirm, 'confirmed', 'it is a real incident: {"by":"...","reason":"..."}');
  hear(signalNames.dismiss, 'dismissed', 'it is a false alarm, stop here: {"by":"...","reason":"..."}');
  hear(
    signalNames.close,
    'closed',
    'close an incident whose recovery was rejected or failed: {"by":"...","reason":"..."}',
  );
  hear(signalNames.continue, 'again', 'make a new plan after a failed one: {"by":"...","reason":"..."}');
  setHandler(defineSignal<[unknown]>(signalNames.note), (raw) => void notes.push(noted(raw)), {
    description: 'a line for the journal: {"by":"...","text":"..."}',
  });
  setHandler(
    defineSignal(signalNames.clusterAnswers),
    () => void notes.push({ by: 'watch', text: `${cluster} answers again` }),
    { description: 'sent by the watch' },
  );

  return runOperation(work, async () => {
    work.show(
      'suspected',
      null,
      `**${cluster} does not answer.** ${input.finding ? `${input.finding.layer}: ${input.finding.reason}` : ''}`,
    );
    const described = await controlActivities.describeCluster({ cluster });
    const { host } = described;
    teller.configure(described);
    const tell = (state: IncidentState, text: string, by = input.requester) =>
      teller.notify({ kind: 'incident', scenario, state, text, by, since: input.firstFailedAt ?? null });
    const record = (state: IncidentState, text: string, by = input.requester) =>
      hostActivities(host, `note: ${state}`).recordIncident({ ...step, scenario, state, text, by });
    /** People first: the record may have to wait for its host. */
    const announce = async (...what: Parameters<typeof record>) => {
      await tell(...what);
      await record(...what);
    };
    const opened = input.finding ? `layer ${input.finding.layer}: ${input.finding.reason}` : 'opened by hand';
    await tell('suspected', opened);
    await waitForHost(work, host);
    await record('suspected', opened);

    work.show('suspected');
    // What cannot be found out ends no incident: the plan says the same again, to a person.
    const found = await work.phase('qualify', () =>
      fewTriesHostActivities(host, 'find out what is left').diagnose({ cluster }).then(diagnosed, unknownBecause),
    );
    await record('suspected', found);

    for (let attempt = 1; ; attempt++) {
      const recovery = await recoverOnce(attempt);
      if (recovery === 'dismissed' || recovery === 'closed') return { state: recovery, recovery: null };
      if (recovery.state === 'completed') {
        await announce('closed', `recovered to ${recovery.outcome?.target.reached ?? 'unknown'}`);
        const report = await hostActivities(host, 'write the incident document').writeReport({
          ...step,
          operationId: recovery.operationId,
          incident: step.workflowId,
        });
        work.show('completed', null, `**Closed.** Report: ${report}`);
        await condition(allHandlersFinished);
        return { state: 'closed', recovery: recovery.workflowId };
      }
      const next = await undecided(recovery.why);
      if (next !== 'again') return { state: next, recovery: recovery.workflowId };
    }

    /** One child recovery, with the journal kept while it runs. */
    async function recoverOnce(
      attempt: number,
    ): Promise<
      'dismissed' | 'closed' | (Partial<RecoverOutput> & { workflowId: string; operationId: string; why: string })
    > {
      const childOperation = attempt === 1 ? operationId : `${operationId}-${attempt}`;
      const workflowId = recoverWorkflowId(cluster, childOperation);
      const scope = new CancellationScope();
      // The scope, so that a dismissal cancels it.
      const child = await scope.run(() =>
        startChild(recover, {
          workflowId,
          // An incident that is terminated or Reset must not stop a recovery half way.
          parentClosePolicy: ParentClosePolicy.ABANDON,
          staticSummary: `recover ${cluster} after the loss of its instance`,
          staticDetails: runbooks.recovery(cluster, 'in-place').details,
          args: [
            {
              cluster,
              order: { target: { kind: 'latest' as const }, into: 'in-place', pause: false },
              operationId: childOperation,
              requester: input.requester,
              incident: step.workflowId,
              firstFailedAt: input.firstFailedAt,
            },
          ],
        }).catch(unlessStarted),
      );
      if (!child)
        return {
          workflowId,
          operationId: childOperation,
          why: `${workflowId} was started before: what is under way there goes on`,
        };
      work.show('suspected', `the decision on ${workflowId}: \`reprise approve ${workflowId} --reason ...\``);
      let result: Partial<RecoverOutput> | null = null;
      let why = '';
      let approved = false;
      const ended = child.result().then(
        (output) => {
          result = output;
          why = output.rejectedBecause ?? '';
        },
        (error: unknown) => {
          result = {};
          why = sentence(error);
        },
      );
      for (;;) {
        await condition(() => result !== null || said.length > 0 || notes.length > 0);
        await keepNotes();
        const word = result === null ? said.shift() : undefined;
        if (word && approved && (word.kind === 'dismissed' || word.kind === 'closed')) {
          notes.push({
            by: word.by,
            text: `${word.kind} has no effect: the recovery was approved and runs; \`reprise reject ${workflowId}\` ends it between its steps`,
          });
        } else if (word?.kind === 'confirmed') {
          approved ||= word.by === APPROVAL;
          await announce('confirmed', word.reason, word.by);
          work.show('running', `the decision on ${workflowId}`);
        } else if (word?.kind === 'dismissed' || word?.kind === 'closed') {
          scope.cancel();
          await ended;
          await announce(word.kind, word.reason, word.by);
          work.show(
            word.kind === 'closed' ? 'completed' : 'cancelled',
            null,
            `**${word.kind}** by ${word.by}: ${word.reason}`,
          );
          return word.kind;
        }
        if (result !== null)
          return { ...(result as Partial<RecoverOutput>), workflowId, operationId: childOperation, why };
      }
    }

    async function undecided(why: string): Promise<'again' | 'dismissed' | 'closed'> {
      await announce('undecided', why);
      work.show(
        'paused',
        `a person, because ${why}: \`reprise continue ${step.workflowId}\` plans again, \`reprise incident close ${step.workflowId}\` ends it`,
      );
      for (;;) {
        await condition(() => said.length > 0 || notes.length > 0);
        await keepNotes();
        const word = said.shift();
        if (!word || word.kind === 'confirmed') continue;
        if (word.kind === 'again') {
          work.show('suspected');
          return 'again';
        }
        await announce(word.kind, word.reason, word.by);
        work.show(
          word.kind === 'closed' ? 'completed' : 'cancelled',
          null,
          `**${word.kind}** by ${word.by}: ${word.reason}`,
        );
        return word.kind;
      }
    }

    async function keepNotes(): Promise<void> {
      for (const note of notes.splice(0)) {
        await hostActivities(host, 'a line for the journal').journal({
          ...step,
          step: 'note',
          text: `${note.by}: ${note.text}`,
        });
      }
    }
  });
}

/** After a Reset the recovery is there already: a person says whether it counts. */
function unlessStarted(error: unknown): null {
  if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
  throw error;
}

function diagnosed({ answers, layer, reason, dataDirectory, walReadable }: Diagnosis): string {
  const answer = answers ? 'yes' : `no (${layer ?? 'unknown'}: ${reason})`;
  return `answers: ${answer}; data directory ${dataDirectory}; old WAL ${walReadable ? 'readable' : 'not readable'}`;
}

function unknownBecause(error: unknown): string {
  if (isCancelled(error)) throw error;
  return `what is left could not be found out: ${sentence(error)}`;
}

function noted(raw: unknown): { by: string; text: string } {
  const parsed = parseNote(raw);
  return 'problem' in parsed ? { by: 'unnamed', text: `a note could not be read: ${parsed.problem}` } : parsed;
}

function person(raw: unknown): Rejection {
  const parsed = parseRejection(raw);
  return 'problem' in parsed ? { by: 'unnamed', reason: 'none given' } : parsed;
}
