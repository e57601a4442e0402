import { setTimeout as sleep } from 'node:timers/promises';
import type { ApprovablePlan } from '../domain/plan/plan.js';
import type { TemporalSession } from '../client/connect.js';
import { waitingPlan } from '../client/decide.js';
import { isFinal, statusOf } from '../client/status.js';

/** `--detach` waits so long for the plan, which needs a worker; the work itself does not depend on it. */
const PLAN_WAIT_MS = 60_000;

/** The plan once it is made; null when it is not in time, or the work is over without one. */
export async function planWhenMade<P extends ApprovablePlan>(
  session: TemporalSession,
  workflowId: string,
  isOurs: (plan: ApprovablePlan) => plan is P,
  withinMs = PLAN_WAIT_MS,
): Promise<P | null> {
  const until = performance.now() + withinMs;
  while (performance.now() < until) {
    const plan = await waitingPlan(session, workflowId).catch(() => null);
    if (plan !== null && isOurs(plan)) return plan;
    if (isFinal((await statusOf(session, workflowId, { jobs: false })).state)) return null;
    await sleep(500);
  }
  return null;
}

/** People who wait at a terminal see the plan as soon as it is there. */
export async function planToShow<P extends ApprovablePlan>(
  session: TemporalSession,
  workflowId: string,
  isOurs: (plan: ApprovablePlan) => plan is P,
  textOf: (plan: P) => string,
  withinMs?: number,
): Promise<string | null> {
  const plan = await planWhenMade(session, workflowId, isOurs, withinMs).catch(() => null);
  return plan === null ? null : `\n${textOf(plan)}\n`;
}
