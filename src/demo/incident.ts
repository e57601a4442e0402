import { setTimeout as sleep } from 'node:timers/promises';
import { recoveryOf, waitingPlan } from '../client/decide.js';
import type { TemporalSession } from '../client/connect.js';
import { isFinal, statusOf } from '../client/status.js';
import type { StatusView } from '../client/status.js';
import { RepriseError } from '../domain/errors.js';
import { watchWorkflowId } from '../domain/operation/names.js';
import type { OperationState } from '../domain/operation/status.js';
import { type Plan, isRecoveryPlan } from '../domain/plan/plan.js';
import { CLUSTER } from './settings.js';

const LOOK_MS = 250;
const OPENED_WITHIN_MS = 60_000;
const PLANNED_WITHIN_MS = 120_000;
/** No step of this small recovery takes long: one that does is an activity tried again and again. */
const STEP_WITHIN_MS = 180_000;

/** Waits until the watch has opened its incident; `before` are those of earlier passes. */
export async function untilIncident(
  session: TemporalSession,
  before: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<string> {
  const watch = session.client.workflow.getHandle(watchWorkflowId(CLUSTER));
  return poll(signal, OPENED_WITHIN_MS, 'the watch opened no incident', async () => {
    const { raw } = await watch.describe();
    const ids = (raw.pendingChildren ?? []).map(({ workflowId }) => workflowId ?? '');
    return ids.find((id) => id.startsWith('incident/') && !before.has(id));
  });
}

/** Waits until the incident's recovery has a plan and waits for its approval. */
export async function untilPlan(
  session: TemporalSession,
  incident: string,
  signal: AbortSignal,
): Promise<{ recovery: string; plan: Plan }> {
  return poll(signal, PLANNED_WITHIN_MS, `${incident} has no plan`, async () => {
    const recovery = await recoveryOf(session, incident).catch((error: unknown) => {
      if (error instanceof RepriseError && error.code === 'not-found') return null;
      throw error;
    });
    if (recovery === null) return undefined;
    const view = await statusOf(session, recovery, { jobs: false });
    if (isFinal(view.state))
      throw new RepriseError(
        'check-failed',
        `${recovery} ended as ${view.state} before it had a plan`,
        `See ${view.webUi}.`,
      );
    if (view.state !== 'waiting-approval') return undefined;
    const plan = await waitingPlan(session, recovery);
    return plan === null || !isRecoveryPlan(plan) ? undefined : { recovery, plan };
  });
}

/**
 * Calls `onPhase` for every step that begins, until the work is over or comes to the state `until`. `told`: steps that were told
 * before.
 * @throws `check-failed` where it ends in another state than completed, or stops and waits for a person; `timeout` where
 * a step makes no end.
 */
export async function followPhases(
  session: TemporalSession,
  workflowId: string,
  onPhase: (name: string) => void,
  signal: AbortSignal,
  { until, told = 0 }: { readonly until?: OperationState; readonly told?: number } = {},
): Promise<StatusView> {
  let since = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const view = await statusOf(session, workflowId, { jobs: false });
    for (const { name } of view.phases.slice(told)) onPhase(name);
    if (view.phases.length > told) since = performance.now();
    told = view.phases.length;
    if (view.state === 'completed' || view.state === until) return view;
    if (isFinal(view.state) || view.state === 'paused') {
      throw new RepriseError(
        'check-failed',
        `${workflowId} is ${view.state}: ${view.waitingFor ?? 'see its page'}`,
        `See ${view.webUi}.`,
      );
    }
    if (performance.now() - since > STEP_WITHIN_MS) {
      throw new RepriseError(
        'timeout',
        `${workflowId} is at "${view.phase ?? 'its beginning'}" for ${STEP_WITHIN_MS / 1000} s`,
        `See ${view.webUi}.`,
      );
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function poll<T>(
  signal: AbortSignal,
  withinMs: number,
  otherwise: string,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) {
      throw new RepriseError(
        'timeout',
        `${otherwise} within ${withinMs / 1000} s`,
        'Run the demo with --keep and look at the Web UI and worker.log.',
      );
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}
