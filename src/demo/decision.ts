import { setTimeout as sleep } from 'node:timers/promises';
import { approve, reject } from '../client/decide.js';
import { operationLink } from '../client/connect.js';
import type { TemporalSession } from '../client/connect.js';
import { statusOf } from '../client/status.js';
import { shortDigest } from '../domain/approval/approval-policy.js';
import { RepriseError } from '../domain/errors.js';
import { planText } from '../domain/plan/plan-text.js';
import type { Plan } from '../domain/plan/plan.js';
import type { Narrator } from './narrator.js';
import type { Scratch } from './scratch.js';
import { commandLine } from './servers.js';
import { APPROVER } from './settings.js';

export interface DecisionOptions {
  readonly yes: boolean;
  /** A person can be asked at this terminal. */
  readonly interactive: boolean;
  readonly signal: AbortSignal;
}

/** Shows the plan and gets its approval: by `--yes`, at the terminal, or from wherever somebody sends it. */
export async function decide(
  session: TemporalSession,
  scratch: Scratch,
  recovery: string,
  plan: Plan,
  narrator: Narrator,
  how: DecisionOptions,
): Promise<void> {
  narrator.block(planText(plan));
  narrator.say(`waiting for confirm-restore. Web UI: ${await operationLink(session, recovery)}`);
  if (how.yes) {
    narrator.say(`--yes: sending approve as "${APPROVER}"`);
    return send(session, recovery, plan, 'reprise demo --yes');
  }
  if (!how.interactive) {
    narrator.say('approve it in the Web UI, or from another terminal:');
    narrator.block(
      `${commandLine(scratch)} approve ${recovery} --plan ${shortDigest(plan)} --by ${APPROVER} --reason "demo"`,
    );
    return untilDecided(session, recovery, how.signal);
  }
  // Somebody may decide in the Web UI while the question is shown here: what comes first counts.
  const settled = new AbortController();
  const stop = AbortSignal.any([settled.signal, how.signal]);
  const elsewhere = untilDecided(session, recovery, stop);
  const here = askHere(session, recovery, plan, stop);
  try {
    await Promise.race([elsewhere, here]);
  } finally {
    settled.abort();
    await Promise.allSettled([elsewhere, here]);
  }
}

async function askHere(session: TemporalSession, recovery: string, plan: Plan, signal: AbortSignal): Promise<void> {
  const { confirm } = await import('@inquirer/prompts');
  const message = `Recover ${plan.binding.cluster} as planned (${shortDigest(plan)})?`;
  const agreed = await confirm({ message, default: false }, { signal, output: process.stderr }).catch(
    (error: unknown) => {
      throw interrupted(error);
    },
  );
  if (!agreed) return declined(session, recovery);
  return send(session, recovery, plan, 'confirmed at the terminal');
}

async function send(session: TemporalSession, recovery: string, plan: Plan, reason: string): Promise<void> {
  await approve(session, recovery, { plan: plan.digest, by: APPROVER, reason });
}

async function declined(session: TemporalSession, recovery: string): Promise<never> {
  await reject(session, recovery, { by: APPROVER, reason: 'declined at the terminal' });
  throw new RepriseError(
    'approval-refused',
    'the recovery was declined, so the demo ends here',
    'run it again and answer yes, or use --yes',
  );
}

async function untilDecided(session: TemporalSession, recovery: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const { state } = await statusOf(session, recovery, { jobs: false });
    if (state === 'rejected')
      throw new RepriseError(
        'approval-refused',
        'the recovery was rejected, so the demo ends here',
        'run it again, or use --yes',
      );
    if (state !== 'waiting-approval') return;
    await sleep(500, undefined, { signal });
  }
}

/** Ctrl-C at the question closes the prompt with an error of its own. */
function interrupted(error: unknown): unknown {
  return error instanceof Error && ['ExitPromptError', 'AbortPromptError'].includes(error.name)
    ? new RepriseError('interrupted', 'the demo was interrupted', 'run it again')
    : error;
}
