import type { WorkflowHandle } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../domain/errors.js';
import type { WatchPause } from '../domain/approval/parse-decisions.js';
import { isClosedStatus } from '../domain/operation/executions.js';
import { CONTROL_QUEUE, queryNames, signalNames, updateNames, watchWorkflowId } from '../domain/operation/names.js';
import type { Approval, ApprovablePlan, Rejection } from '../domain/plan/plan.js';
import type { RecoveryTarget } from '../domain/target/target.js';
import type { TemporalSession } from './connect.js';
import { toRepriseError } from './errors.js';
import { hasPoller, rejectWithoutWorker, workerHint } from './pollers.js';
import { statusOf } from './status.js';
import { toTheSecond } from '../domain/text/text.js';

/** An update is answered by a worker; one that restarts has this long. */
const ANSWER_MS = 60_000;
const POLL_MS = 250;
const KEPT = ': the decision was sent and is kept; it is recorded when that worker runs';

/**
 * The workflow that takes the decision: for an incident its recovery, or the repair of its table, that is under way, else the block of
 * writes that waits for approval.
 * @throws `not-found` when an incident has none.
 */
export async function recoveryOf(session: TemporalSession, workflowId: string): Promise<string> {
  if (!workflowId.startsWith('incident/')) return workflowId;
  const description = await session.client.workflow.getHandle(workflowId).describe();
  const children = (description.raw.pendingChildren ?? []).flatMap(({ workflowId: id }) => id ?? []);
  const child = children.find((id) => id.startsWith('recover/') || id.startsWith('table-repair/'));
  if (child !== undefined) return child;
  // One that was approved keeps the table frozen: nobody means that by the incident.
  for (const id of children.filter((one) => one.startsWith('table-freeze/')))
    if ((await statusOf(session, id, { jobs: false })).state === 'waiting-approval') return id;
  throw new RepriseError(
    'not-found',
    `${workflowId} has no running recovery or repair`,
    `see what it waits for: \`reprise status ${workflowId}\``,
  );
}

/** The plan now waiting for its decision; null while none is made. @throws RepriseError `conflict` for what has ended */
export async function waitingPlan(session: TemporalSession, workflowId: string): Promise<ApprovablePlan | null> {
  await needWorker(session);
  const plan = await queryPlan(session, workflowId);
  const ended = plan === null ? await endOf(session, workflowId) : null;
  if (ended !== null) throw ended;
  return plan;
}

function queryPlan(session: TemporalSession, workflowId: string): Promise<ApprovablePlan | null> {
  const handle = session.client.workflow.getHandle(workflowId);
  return session.connection.withDeadline(Date.now() + ANSWER_MS, () =>
    handle.query<ApprovablePlan | null>(queryNames.plan),
  );
}

/** @throws what the policy refuses with: `approval-refused`, `plan-stale`, `plan-expired`, `approval-used`... */
export async function approve(
  session: TemporalSession,
  workflowId: string,
  approval: Approval,
): Promise<{ accepted: true; missing: number }> {
  await untilPlanWaits(session, workflowId);
  return update(session, workflowId, updateNames.approve, approval);
}

export async function reject(
  session: TemporalSession,
  workflowId: string,
  rejection: Rejection,
): Promise<{ rejected: true }> {
  return update(session, workflowId, updateNames.reject, rejection);
}

/** Opens what was recovered for writes. @throws `approval-refused` where it is not this person's to decide, or nothing waits for it */
export async function promote(session: TemporalSession, workflowId: string, decision: Rejection): Promise<void> {
  await update(session, workflowId, updateNames.promote, decision);
}

/** Goes on to another target. @throws as {@link promote} */
export async function retarget(
  session: TemporalSession,
  workflowId: string,
  decision: Rejection & { target: RecoveryTarget },
): Promise<void> {
  await update(session, workflowId, updateNames.retarget, decision);
}

/**
 * A person's word on what a drill restored, or on a repaired table.
 * @throws RepriseError `conflict` while nothing waits for it; `approval-refused` for somebody who is not named
 */
export async function signOff(
  session: TemporalSession,
  workflowId: string,
  said: { readonly verdict: 'pass' | 'fail'; readonly by: string; readonly remarks?: string; readonly keep?: string },
): Promise<void> {
  const kind = await requireWaitingForSignOff(session, workflowId);
  const name = kind === 'table-repair' ? updateNames.signOffRepair : updateNames.signOff;
  await update(session, workflowId, name, said);
}

/** What kind of operation waits. @throws RepriseError `conflict` while it does not wait for a sign-off; `host-without-worker` where none could take it */
export async function requireWaitingForSignOff(session: TemporalSession, workflowId: string): Promise<string> {
  await needWorker(session);
  const { kind, state, phase } = await statusOf(session, workflowId, { jobs: false });
  if (state !== 'waiting-sign-off')
    throw new RepriseError(
      'conflict',
      `${workflowId} does not wait for a sign-off: ${state}${phase === null ? '' : `, ${phase}`}`,
      `see what it does: reprise status ${workflowId}`,
    );
  return kind;
}

/** Has the watch of a cluster look at nothing, until a time or until it is resumed. @throws `not-found` where nothing watches it */
export async function pauseWatch(session: TemporalSession, cluster: string, pause: WatchPause): Promise<WatchPause> {
  return update<WatchPause>(session, await watchOf(session, cluster), updateNames.pauseWatch, pause);
}

/** `resumed`: it was paused. @throws `not-found` where nothing watches it */
export async function resumeWatch(
  session: TemporalSession,
  cluster: string,
  decision: Rejection,
): Promise<{ resumed: boolean }> {
  return update(session, await watchOf(session, cluster), updateNames.resumeWatch, decision);
}

/** The watch of a cluster that is running. */
async function watchOf(session: TemporalSession, cluster: string): Promise<string> {
  const workflowId = watchWorkflowId(cluster);
  const described = await session.client.workflow
    .getHandle(workflowId)
    .describe()
    .catch((error: unknown) => {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
      throw error;
    });
  if (described !== null && !isClosedStatus(described.status.name)) return workflowId;
  throw new RepriseError(
    'not-found',
    `nothing watches ${cluster}`,
    `reprise schedule apply starts the watches of the configuration`,
  );
}

/** Decisions that need no answer; kept by the server until a worker reads them. */
export async function signal(
  session: TemporalSession,
  workflowId: string,
  name: 'continue' | 'pause' | 'confirm' | 'dismiss' | 'close',
  decision: Rejection,
): Promise<void> {
  await unlessEnded(session, workflowId, (handle) => handle.signal(signalNames[name], decision));
}

export async function note(
  session: TemporalSession,
  workflowId: string,
  entry: { by: string; text: string; cause?: true },
): Promise<void> {
  await unlessEnded(session, workflowId, (handle) => handle.signal(signalNames.note, entry));
}

/** Temporal answers for what has ended as for what never was. @throws RepriseError `conflict`, with how it ended */
async function unlessEnded<T>(
  session: TemporalSession,
  workflowId: string,
  send: (handle: WorkflowHandle) => Promise<T>,
): Promise<T> {
  try {
    return await send(session.client.workflow.getHandle(workflowId));
  } catch (error) {
    if (toRepriseError(error).code !== 'not-found') throw error;
    throw (await endOf(session, workflowId)) ?? error;
  }
}

/** How it ended, for whoever decides too late; null where it has not, or where nobody says. */
async function endOf(session: TemporalSession, workflowId: string): Promise<RepriseError | null> {
  const view = await statusOf(session, workflowId, { jobs: false }).catch(() => null);
  if (view?.finishedAt == null) return null;
  return new RepriseError(
    'conflict',
    `${workflowId} ended at ${toTheSecond(view.finishedAt)} (${view.state}): it takes no decision any more`,
    `see what it did: \`reprise status ${workflowId}\``,
  );
}

/**
 * Waits until the plan waits for its decision, or the workflow has ended: the update that follows says which. An update
 * sent before would hang until the plan is made, and say nothing.
 */
async function untilPlanWaits(session: TemporalSession, workflowId: string): Promise<void> {
  await needWorker(session);
  const handle = session.client.workflow.getHandle(workflowId);
  const deadline = Date.now() + ANSWER_MS;
  while (Date.now() < deadline) {
    const { status } = await handle.describe();
    if (status.name !== 'RUNNING') return;
    const plan = await queryPlan(session, workflowId).catch(() => undefined);
    // What has no such plan refuses the update in its own words.
    if (plan !== null) return;
    await sleep(POLL_MS);
  }
}

/**
 * Sends an update. A workflow that was going on just then refuses it as `busy`: it is sent again. One whose host has no worker
 * keeps it, and answers when the worker runs: that is said within seconds.
 * @param answerMs so long its answer may take
 */
export async function update<T>(
  session: TemporalSession,
  workflowId: string,
  name: string,
  decision: unknown,
  answerMs = ANSWER_MS,
): Promise<T> {
  await needWorker(session);
  const deadline = Date.now() + answerMs;
  const ended = new AbortController();
  const alone = rejectWithoutWorker(session, workflowId, ended.signal, KEPT);
  alone.catch(() => undefined);
  try {
    for (;;) {
      const answer = session.connection.withDeadline(deadline, () =>
        unlessEnded(session, workflowId, (handle) => handle.executeUpdate<T, [unknown]>(name, { args: [decision] })),
      );
      answer.catch(() => undefined);
      try {
        return await Promise.race([answer, alone]);
      } catch (error) {
        if (toRepriseError(error).code !== 'busy' || Date.now() + POLL_MS > deadline) throw error;
        await sleep(POLL_MS);
      }
    }
  } finally {
    ended.abort();
  }
}

/** @throws `host-without-worker` when no worker runs workflows; `otherwise` says what that means. */
export async function needWorker(
  session: TemporalSession,
  otherwise = 'the decision cannot be delivered',
): Promise<void> {
  if (await hasPoller(session, CONTROL_QUEUE, 'workflow')) return;
  throw new RepriseError(
    'host-without-worker',
    `no worker polls the queue ${CONTROL_QUEUE}: ${otherwise}`,
    workerHint(CONTROL_QUEUE),
  );
}
