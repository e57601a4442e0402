import { setTimeout as sleep } from 'node:timers/promises';
import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { statusOf } from '../client/status.js';
import { RepriseError } from '../domain/errors.js';
import type { OperationState } from '../domain/operation/status.js';
import type { Narrator } from './narrator.js';
import { APPROVER } from './settings.js';

export interface DecisionOptions {
  readonly yes: boolean;
  /** A person can be asked at this terminal. */
  readonly interactive: boolean;
  readonly signal: AbortSignal;
}

/** What a person is asked, and what is sent for the answer. */
export interface Question {
  readonly workflowId: string;
  /** In which the workflow waits for the answer. */
  readonly state: OperationState;
  readonly waitsFor: string;
  /** For whoever sits at the terminal: yes or no. */
  readonly message: string;
  /** What `--yes` sends. */
  readonly sends: string;
  /** Without a terminal: where it is answered, and by which command. */
  readonly instead: string;
  readonly command: string;
  readonly agree: (reason: string) => Promise<void>;
  readonly decline: (reason: string) => Promise<void>;
}

/** Gets the answer: by `--yes`, at the terminal, or from wherever somebody sends it. */
export async function decide(
  session: TemporalSession,
  narrator: Narrator,
  question: Question,
  how: DecisionOptions,
): Promise<void> {
  narrator.say(`waiting for ${question.waitsFor}. Web UI: ${await operationLink(session, question.workflowId)}`);
  if (how.yes) {
    narrator.say(`--yes: sending ${question.sends} as "${APPROVER}"`);
    return question.agree('reprise demo --yes');
  }
  if (!how.interactive) {
    narrator.say(question.instead);
    narrator.block(question.command);
    return untilDecided(session, question, how.signal);
  }
  // Somebody may decide in the Web UI while the question is shown here: what comes first counts.
  const settled = new AbortController();
  const stop = AbortSignal.any([settled.signal, how.signal]);
  const elsewhere = untilDecided(session, question, stop);
  const here = askHere(question, stop);
  try {
    await Promise.race([elsewhere, here]);
  } finally {
    settled.abort();
    await Promise.allSettled([elsewhere, here]);
  }
}

async function askHere({ message, agree, decline }: Question, signal: AbortSignal): Promise<void> {
  const { confirm } = await import('@inquirer/prompts');
  const agreed = await confirm({ message, default: false }, { signal, output: process.stderr }).catch(
    (error: unknown) => {
      throw interrupted(error);
    },
  );
  return agreed ? agree('confirmed at the terminal') : decline('declined at the terminal');
}

async function untilDecided(
  session: TemporalSession,
  { workflowId, state: waiting }: Question,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { state } = await statusOf(session, workflowId, { jobs: false });
    if (state === 'rejected')
      throw new RepriseError(
        'approval-refused',
        `${workflowId} was rejected, so the demo ends here`,
        'run it again, or use --yes',
      );
    if (state !== waiting) return;
    await sleep(500, undefined, { signal });
  }
}

/** Ctrl-C at the question closes the prompt with an error of its own. */
function interrupted(error: unknown): unknown {
  return error instanceof Error && ['ExitPromptError', 'AbortPromptError'].includes(error.name)
    ? new RepriseError('interrupted', 'the demo was interrupted', 'run it again')
    : error;
}
