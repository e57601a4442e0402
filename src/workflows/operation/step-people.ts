import { condition, defineSignal, defineUpdate, setHandler, sleep } from '@temporalio/workflow';
import { askedText, parseRejection } from '../../domain/approval/parse-decisions.js';
import { signalNames, updateNames } from '../../domain/operation/names.js';
import type { Decision, Rejection, SentBy } from '../../domain/plan/plan.js';
import { refusal } from './operation-status.js';

/** What comes of the wait after a failed attempt: the time is over, a person wants it now, or wants something else. */
export type AfterWait = 'elapsed' | 'again' | 'rejected' | Decision;

/** People who are asked while a step fails. */
export interface StepPeople {
  /** Set where somebody rejected the operation, or asked it to make way. */
  readonly rejectedBecause: Rejection | null;
  /** Waits after a failure, for `forMs` at most; absent: for a person. `accepts`: decisions that end it too. */
  afterFailure(summary: string, accepts: readonly Decision['kind'][], forMs?: number): Promise<AfterWait>;
}

/** For what is taken back whatever people decided: the time until the next attempt is waited for, and nobody is asked. */
export const unattended: StepPeople = {
  rejectedBecause: null,
  async afterFailure(summary, _accepts, forMs = 0) {
    await sleep(forMs, { summary });
    return 'elapsed';
  },
};

const makeWay = defineSignal<[unknown]>(signalNames.makeWay);
const again = defineSignal<[unknown]>(signalNames.continue);
const reject = defineSignal<[unknown]>(signalNames.reject);
const rejectWithAnswer = defineUpdate<{ rejected: true }, [unknown]>(updateNames.reject);
const PERSON = '{"by":"...","reason":"..."}';

/**
 * Who is asked by an operation without a plan. What is rejected ends when its step fails, never while it runs. A recovery that was
 * approved and waits for the cluster asks it to make way: what only waits for its next attempt then ends.
 */
export class StepInbox implements StepPeople {
  private rejection: Rejection | null = null;
  private continued = 0;

  /** `note` writes a line of the journal about a message that somebody sent. */
  constructor(note: (text: string, sentBy: SentBy) => Promise<void>) {
    const onContinue = async (raw: unknown): Promise<void> => {
      this.continued += 1;
      await note(askedText(signalNames.continue, raw), { signal: signalNames.continue });
    };
    setHandler(again, onContinue, {
      description: `try a failed step again now: ${PERSON}`,
    });
    setHandler(reject, (raw) => void (this.rejection ??= personOf(raw)), {
      description: `end an operation whose step fails: ${PERSON}`,
    });
    setHandler(
      rejectWithAnswer,
      (raw) => {
        this.rejection ??= personOf(raw);
        return { rejected: true as const };
      },
      {
        description: `end an operation whose step fails, with a result: ${PERSON}`,
        validator: shapeValidator(parseRejection, PERSON),
      },
    );
    setHandler(makeWay, (raw) => void (this.rejection ??= personOf(raw)), {
      description: 'end instead of waiting for a next attempt; sent by a recovery that waits for the cluster',
    });
  }

  get rejectedBecause(): Rejection | null {
    return this.rejection;
  }

  async afterFailure(_summary: string, _accepts: readonly Decision['kind'][], forMs: number): Promise<AfterWait> {
    const before = this.continued;
    if (!(await condition(() => this.rejection !== null || this.continued > before, forMs))) return 'elapsed';
    return this.rejection === null ? 'again' : 'rejected';
  }
}

/** Validator of an update: checks the shape only; the policy is checked later, on the host. */
export function shapeValidator(parse: (raw: unknown) => object, json: string): (raw: unknown) => void {
  return (raw) => {
    const parsed = parse(raw);
    if ('problem' in parsed) throw refusal('approval-refused', String(parsed.problem), `send ${json}`);
  };
}

function personOf(raw: unknown): Rejection {
  const parsed = parseRejection(raw);
  return 'problem' in parsed ? { by: 'unnamed', reason: 'none given' } : parsed;
}
