import {
  CancellationScope,
  allHandlersFinished,
  condition,
  currentUpdateInfo,
  defineSignal,
  defineUpdate,
  log,
  setHandler,
} from '@temporalio/workflow';
import type { ApprovalAnswer } from '../../activities/api.js';
import { type SignOffMessage, UNFILLED_REMARKS, parseSignOff } from '../../domain/approval/parse-decisions.js';
import type { SignOff } from '../../domain/drill/drill.js';
import { signalNames, updateNames } from '../../domain/operation/names.js';
import type { SentBy } from '../../domain/plan/plan.js';
import { acceptedOrRefusal, refusedIfCheckFails } from '../operation/approval-inbox.js';
import { refusal } from '../operation/operation-status.js';
import { shapeValidator } from '../operation/step-people.js';

/** The JSON that a person pastes into the Web UI. */
const SIGN_OFF_JSON = `{"verdict":"pass","by":"<your name>","remarks":"${UNFILLED_REMARKS}"}`;

/** Checks and keeps a sign-off on the staging host; given by the drill, because only it knows the host and the plan. */
export interface SignOffRecords {
  check(signOff: SignOff, sentBy: SentBy): Promise<ApprovalAnswer>;
  /** A line of the journal. */
  note(text: string, sentBy?: SentBy): Promise<void>;
}

/** What counts: the first sign-off that the host accepted. */
export type AcceptedSignOff = SignOff & Pick<SignOffMessage, 'keepSeconds'>;

/**
 * Where people's word on a drill arrives. Handlers are set before the workflow's first await, so that an early signal is kept until the
 * sign-off is asked for; a malformed one is noted, and the drill goes on waiting.
 */
export class SignOffInbox {
  accepted: AcceptedSignOff | null = null;
  private state: 'early' | 'asked' | 'closed' = 'early';
  private readonly early: unknown[] = [];

  constructor(private readonly records: SignOffRecords) {
    setHandler(defineSignal<[unknown]>(signalNames.signOff), (raw) => this.onSignal(raw), {
      description: `sign off what was restored: ${SIGN_OFF_JSON}, or "fail"; "keep":"4h" keeps staging so long`,
    });
    setHandler(defineUpdate<{ accepted: true }, [unknown]>(updateNames.signOff), (raw) => this.onUpdate(raw), {
      description: `sign off what was restored, with a result: ${SIGN_OFF_JSON}`,
      validator: shapeValidator(parseSignOff, SIGN_OFF_JSON),
    });
  }

  /** The sign-off is asked for from now on: what came early is considered now. */
  open(): void {
    this.state = 'asked';
    for (const raw of this.early.splice(0)) void this.onSignal(raw);
  }

  /** It is not waited for any more. Handlers that still run have two minutes: a host that is gone must not keep the workflow open. */
  async close(): Promise<void> {
    this.state = 'closed';
    for (const raw of this.early.splice(0)) await this.onSignal(raw);
    if (!(await condition(allHandlersFinished, '2m')))
      log.warn("the last sign-off was not answered: the host's worker is not running");
  }

  private async onSignal(raw: unknown): Promise<void> {
    const said = parseSignOff(raw);
    if ('problem' in said) return this.records.note(`a sign-off is not valid: ${said.problem}`);
    if (this.state === 'early') this.early.push(raw);
    else await this.consider(said, { signal: signalNames.signOff });
  }

  private async onUpdate(raw: unknown): Promise<{ accepted: true }> {
    const sentBy = { update: currentUpdateInfo()?.id ?? '' };
    await condition(() => this.state !== 'early');
    const said = parseSignOff(raw);
    if ('problem' in said) throw refusal('approval-refused', said.problem);
    acceptedOrRefusal(await this.consider(said, sentBy));
    return { accepted: true };
  }

  private async consider({ keepSeconds, ...said }: SignOffMessage, sentBy: SentBy): Promise<ApprovalAnswer> {
    const { by, verdict } = said;
    if (this.state !== 'asked' || this.accepted !== null) {
      await this.records.note(`the sign-off of ${by} (${verdict}) has no effect: nothing was waiting for it`, sentBy);
      return {
        accepted: false,
        missing: 0,
        code: 'approval-refused',
        reason: 'the sign-off has no effect: nothing is waiting for it',
        hint: 'see what it waits for: reprise status',
      };
    }
    const signOff = { ...said, at: new Date().toISOString() };
    const answer = await refusedIfCheckFails(() => this.records.check(signOff, sentBy));
    if (answer.accepted) this.accepted ??= { ...signOff, keepSeconds };
    // A signal gets no answer: the journal has it.
    else if ('signal' in sentBy)
      await CancellationScope.nonCancellable(() =>
        this.records.note(`the sign-off of ${by} was refused: ${answer.reason ?? 'no reason is known'}`, sentBy),
      );
    return answer;
  }
}
