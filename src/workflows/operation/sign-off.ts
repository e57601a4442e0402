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
import type { SignOff, SignOffPolicy } from '../../domain/drill/drill.js';
import { signalNames } from '../../domain/operation/names.js';
import type { SentBy } from '../../domain/plan/plan.js';
import { acceptedOrRefusal, refusedIfCheckFails } from './approval-inbox.js';
import type { Operation } from './open-operation.js';
import { refusal } from './operation-status.js';
import { shapeValidator } from './step-people.js';

/** The JSON that a person pastes into the Web UI. */
const SIGN_OFF_JSON = `{"verdict":"pass","by":"<your name>","remarks":"${UNFILLED_REMARKS}"}`;

/** Checks and keeps a sign-off on the host; given by the operation, because only it knows the host and the plan. */
export interface SignOffRecords {
  /** Of the update that brings one. */
  readonly updateName: string;
  /** What is signed off, and what stays for the time of `keep`. */
  readonly what: string;
  readonly kept: string;
  check(signOff: SignOff, sentBy: SentBy): Promise<ApprovalAnswer>;
  /** A line of the journal. */
  note(text: string, sentBy?: SentBy): Promise<void>;
}

/** What counts: the first sign-off that the host accepted. */
export type AcceptedSignOff = SignOff & Pick<SignOffMessage, 'keepSeconds'>;

/**
 * Where people's word on what was restored or repaired arrives. Handlers are set before the workflow's first await, so that an early signal is kept until the
 * sign-off is asked for; a malformed one is noted, and the drill goes on waiting.
 */
export class SignOffInbox {
  accepted: AcceptedSignOff | null = null;
  private state: 'early' | 'asked' | 'closed' = 'early';
  private readonly early: unknown[] = [];

  constructor(private readonly records: SignOffRecords) {
    setHandler(defineSignal<[unknown]>(signalNames.signOff), (raw) => this.onSignal(raw), {
      description: `sign off ${records.what}: ${SIGN_OFF_JSON}, or "fail"; "keep":"4h" keeps ${records.kept} so long`,
    });
    setHandler(defineUpdate<{ accepted: true }, [unknown]>(records.updateName), (raw) => this.onUpdate(raw), {
      description: `sign off ${records.what}, with a result: ${SIGN_OFF_JSON}`,
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

/** When people are told again, as parts of the time that they have. */
const TOLD_AGAIN = [
  { stage: 'reminder', after: 0.5 },
  { stage: 'escalation', after: 0.8 },
] as const;

/** What is asked of people, and how. */
export interface AskedForSignOff {
  readonly policy: SignOffPolicy;
  /** What the operation shows. */
  show(until: string): { readonly waitingFor: string; readonly details: string };
  tell(stage: 'asked' | 'reminder' | 'escalation', until: string): Promise<void>;
  /** Waits for the word, or for whoever ends the operation, at most so long. */
  wait(summary: string, forMs: number): Promise<void>;
  isOver(): boolean;
}

/**
 * Waits for people's word: told at once, reminded, escalated.
 * @returns until when it was waited for, UTC ISO-8601
 */
export async function askForSignOff(
  { status }: Operation,
  inbox: SignOffInbox,
  { policy: { by, withinSeconds }, show, tell, wait, isOver }: AskedForSignOff,
): Promise<string> {
  const began = Date.now();
  const end = began + withinSeconds * 1000;
  const until = new Date(end).toISOString();
  const who = by.join(' or ');
  const waitUntil = async (at: number, summary: string): Promise<void> => {
    const ms = at - Date.now();
    if (ms > 0) await wait(summary, ms);
  };
  const { waitingFor, details } = show(until);
  status.show('waiting-sign-off', waitingFor, details);
  inbox.open();
  await status.phase('wait for the sign-off', async () => {
    await tell('asked', until);
    for (const { stage, after } of TOLD_AGAIN) {
      await waitUntil(began + withinSeconds * 1000 * after, `the sign-off of ${who}: ${stage} next`);
      if (!isOver()) await tell(stage, until);
    }
    await waitUntil(end, `the sign-off of ${who}`);
  });
  return until;
}
