import {
  condition,
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  patched,
  setHandler,
  upsertMemo,
} from '@temporalio/workflow';
import type { HoldRequest } from '../../activities/api.js';
import { parseRejection, readRejection } from '../../domain/approval/parse-decisions.js';
import { waitingLabel } from '../../domain/approval/approval-policy.js';
import { queryNames, signalNames, updateNames } from '../../domain/operation/names.js';
import type { Rejection, SentBy } from '../../domain/plan/plan.js';
import type { HoldOutcome, HoldPlan } from '../../domain/table/hold.js';
import {
  approveHoldCommand,
  heldDetails,
  holdApprovalDetails,
  holdDetails,
  holdOutcomeText,
  holdWaiting,
  releaseCommand,
} from '../../domain/table/hold-text.js';
import { markdownText } from '../../domain/text/markdown.js';
import type { HoldInput, HoldOutput, HoldView } from '../api.js';
import { hostActivitiesFor, readActivities } from '../operation/activity-proxies.js';
import { conditionWithSummary } from '../operation/approval-inbox.js';
import {
  ApprovedOperation,
  type ApprovedSteps,
  type PlanWords,
  rejectedOutput,
} from '../operation/approved-operation.js';
import { tellBlocked } from '../operation/confirm-incident.js';
import { Operation } from '../operation/open-operation.js';
import { failureOf, refusal, runOperation } from '../operation/operation-status.js';
import { shapeValidator } from '../operation/step-people.js';
import { whileWritesAreBlocked } from './block-writes.js';

const PERSON = '{"by":"<your name>","reason":"<why>"}';

/**
 * Keeps a table frozen: waits for the approval, runs the hooks, blocks writes, and takes all of it back when somebody releases it or its
 * time is over. It locks nothing: repairs of the table go on beside it.
 */
export function holdTable(input: HoldInput): Promise<HoldOutput> {
  const operation = new Operation('table-freeze', input);
  const approved = new ApprovedOperation<HoldPlan, HoldOutcome>(operation);
  operation.action = 'table-repair';
  const steps = new HoldSteps(input, approved);
  return runOperation(operation.status, () => steps.run());
}

class HoldSteps implements ApprovedSteps<HoldPlan, HoldOutcome> {
  readonly slot = null;
  readonly words: PlanWords<HoldPlan> = {
    what: 'table freeze',
    details: holdDetails,
    approvalDetails: holdApprovalDetails,
    waiting: holdWaiting,
    command: approveHoldCommand,
    notice: (_plan, waitingFor) => ({
      ...{ kind: 'paused', event: 'waiting-approval', waitingFor, action: this.operation.action },
    }),
    policy: null,
  };
  private view: HoldView;
  /** `early`: nothing is begun; `over`: nothing is blocked any more. */
  private state: 'early' | 'blocking' | 'frozen' | 'over' = 'early';
  private released: Rejection | null = null;
  /** Why it could not be opened. */
  private failure: unknown = null;

  constructor(
    private readonly input: HoldInput,
    private readonly approved: ApprovedOperation<HoldPlan, HoldOutcome>,
  ) {
    const { database, table } = input.order;
    this.view = { database, table, since: null, until: null };
    setHandler(defineQuery<HoldView>(queryNames.held), () => this.view, {
      description: 'the table, since when it is frozen, and until when',
    });
    setHandler(
      defineSignal<[unknown]>(signalNames.release),
      (raw) => this.letGo(readRejection(raw), { signal: signalNames.release }),
      { description: `open the table for writes again: ${PERSON}` },
    );
    setHandler(defineUpdate<{ released: true }, [unknown]>(updateNames.releaseTable), (raw) => this.answer(raw), {
      description: `open the table for writes again, with a result: ${PERSON}`,
      validator: shapeValidator(parseRejection, PERSON),
    });
  }

  async run(): Promise<HoldOutput> {
    const { status } = this.operation;
    const ending = await this.approved.run(this);
    if (ending.state === 'rejected') return rejectedOutput(status, ending);
    const { plan, outcome } = ending;
    const ended = outcome === null ? '**Only the plan was asked for.**' : markdownText(holdOutcomeText(outcome));
    status.show('completed', null, `${holdDetails(plan)}\n\n${ended}`);
    return { state: 'completed', plan, outcome };
  }

  async open(): Promise<void> {
    // For lists: the server gives it without a worker.
    upsertMemo({ held: this.view });
    await this.operation.lookUp();
    await this.approved.waitForHost();
  }

  plan(): Promise<HoldPlan> {
    return readActivities(this.operation.host, 'make the plan (reads only)').planHold(this.request);
  }

  planAgain({ digest }: HoldPlan): Promise<{ digest: string }> {
    return readActivities(this.operation.host, 'make the plan again').recheckHold({ ...this.request, plan: digest });
  }

  isEmpty(): boolean {
    return this.input.planOnly === true;
  }

  claim(): null {
    return null;
  }

  async execute(plan: HoldPlan): Promise<HoldOutcome | 'rejected'> {
    this.state = 'blocking';
    try {
      const kept = await whileWritesAreBlocked(this.approved, plan, holdDetails(plan), () => this.untilReleased(plan));
      return kept === 'rejected' ? kept : { ...kept, releasedAt: new Date().toISOString() };
    } catch (error) {
      this.failure = error;
      throw error;
    } finally {
      this.state = 'over';
      this.view = { ...this.view, since: null, until: null };
      upsertMemo({ held: this.view });
    }
  }

  release(): Promise<void> {
    const { host, step } = this.operation;
    return hostActivitiesFor(host, 'close the plan', '1d').closeHold(step);
  }

  /** Until somebody releases it, or its time is over. */
  private async untilReleased(plan: HoldPlan): Promise<Omit<HoldOutcome, 'releasedAt'> | 'rejected'> {
    const { status, step } = this.operation;
    const { database, table, forSeconds } = this.input.order;
    const since = new Date();
    const frozenAt = since.toISOString();
    const until = forSeconds === undefined ? null : new Date(since.getTime() + forSeconds * 1000).toISOString();
    this.state = 'frozen';
    this.view = { database, table, since: frozenAt, until };
    upsertMemo({ held: this.view });
    const time = until === null ? '' : `, or ${until.slice(0, 16)}Z`;
    status.show(
      'running',
      `somebody who releases the table${time}; it is frozen since ${frozenAt.slice(0, 16)}Z: \`${releaseCommand(step.workflowId)}\``,
      heldDetails(plan, this.view),
    );
    const { incident } = this.input;
    if (incident !== undefined && patched('tells-its-incident-of-the-block')) await tellBlocked(incident);
    const over = (): boolean => this.released !== null || this.approved.inbox.rejectedBecause !== null;
    const label = waitingLabel(`wait for the release of the table${time}`);
    await status.phase('keep the table frozen', () =>
      conditionWithSummary(label, over, forSeconds === undefined ? undefined : forSeconds * 1000),
    );
    status.show('running', null, holdDetails(plan));
    if (this.released === null && this.approved.inbox.rejectedBecause !== null) return 'rejected';
    const { by: releasedBy = null, reason = null } = this.released ?? {};
    return { database, table, frozenAt, releasedBy, reason };
  }

  /** Before the table is frozen it is the same as a rejection. */
  private async letGo(person: Rejection, sentBy: SentBy): Promise<void> {
    if (this.state === 'frozen') this.released ??= person;
    else this.approved.inbox.reject({ ...person, sentBy });
    await this.operation.recordMessage(`${person.by} releases the table: ${person.reason}`, sentBy);
  }

  /** Answers when the table takes writes again. */
  private async answer(raw: unknown): Promise<{ released: true }> {
    if (this.state === 'over')
      throw refusal('conflict', 'the table is not frozen any more', 'see what is: reprise status');
    const early = this.state === 'early';
    await this.letGo(readRejection(raw), { update: currentUpdateInfo()?.id ?? '' });
    await condition(() => early || this.state === 'over');
    if (this.failure === null) return { released: true };
    const { code, message, hint } = failureOf(this.failure);
    throw refusal(code, message, hint);
  }

  private get operation(): Operation {
    return this.approved.operation;
  }

  private get request(): HoldRequest {
    const { order, requester, incident } = this.input;
    return { ...this.operation.step, order, requester, incident };
  }
}
