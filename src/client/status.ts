import type { WorkflowExecutionDescription } from '@temporalio/client';
import { CONTROL_QUEUE, queryNames, searchAttributes } from '../domain/operation/names.js';
import type { JobView, Progress } from '../domain/operation/progress.js';
import type { HeartbeatDetails, PhaseTime, OperationState, OperationStatusView } from '../domain/operation/status.js';
import { inspect } from './inspect.js';
import { webUiLink } from './connect.js';
import type { TemporalSession } from './connect.js';
import { hasPoller, workerHint } from './pollers.js';

/** One piece of work as `status` shows it; the JSON other people's scripts rely on. */
export interface StatusView {
  readonly workflowId: string;
  readonly kind: OperationStatusView['kind'];
  readonly cluster: string;
  readonly state: OperationState;
  readonly waitingFor: string | null;
  readonly plan: string | null;
  readonly phase: string | null;
  readonly phases: readonly PhaseTime[];
  readonly progress: Pick<Progress, 'done' | 'total' | 'unit' | 'etaSeconds'> | null;
  /** A step that has failed and is tried again; null where nothing is. */
  readonly retrying: { readonly attempt: number; readonly reason: string } | null;
  readonly jobs: readonly JobView[];
  readonly webUi: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

const QUERY_TIMEOUT_MS = 5000;
const closedAs: Readonly<Record<string, OperationState>> = {
  COMPLETED: 'completed',
  FAILED: 'failed',
  TIMED_OUT: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'cancelled',
};
const kinds: readonly OperationStatusView['kind'][] = [
  'backup',
  'rotate',
  'verify',
  'adopt',
  'recover',
  'media',
  'verify-media',
  'incident',
  'watch',
  'archive',
  'notify',
];

/**
 * Status of one workflow. It answers without a worker too, from what the server knows; then it says that one is missing.
 * @throws `not-found` (as `WorkflowNotFoundError`).
 */
export async function statusOf(
  session: TemporalSession,
  workflowId: string,
  options: { jobs: boolean },
): Promise<StatusView> {
  const handle = session.client.workflow.getHandle(workflowId);
  const description = await handle.describe();
  const closed = closedAs[description.status.name];
  const answered = await query(session, workflowId, closed !== undefined);
  const heartbeats = await heartbeatsOf(session, description);
  const cluster = answered?.cluster ?? clusterFromId(workflowId);
  const seen = heartbeats.flatMap((beat) => [beat.job, beat.progress?.job].filter((job) => job !== undefined));
  const jobs = options.jobs ? await recordedJobs(session, cluster, operationOf(description, answered)) : [];
  const progress = heartbeats.find((beat) => beat.progress !== undefined)?.progress;
  const missing = closed === undefined && answered === null ? await missingControlWorker(session) : null;
  return {
    workflowId,
    kind: answered?.kind ?? kindFromId(workflowId),
    cluster,
    state: missing === null ? stateOf(description, answered, closed) : 'waiting-worker',
    waitingFor: missing ?? (closed === undefined ? (answered?.waitingFor ?? null) : null),
    plan: answered?.plan ?? null,
    phase: answered?.phase ?? null,
    phases: answered?.phases ?? [],
    progress: progress === undefined ? null : figures(progress),
    retrying: retryOf(description),
    jobs: uniqueByKey([...seen, ...jobs]),
    webUi: webUiLink(session.settings, workflowId),
    startedAt: description.startTime.toISOString(),
    finishedAt: description.closeTime?.toISOString() ?? null,
  };
}

/** Whether nothing more will happen in this state. */
export function isFinal(state: OperationState): boolean {
  return state === 'completed' || state === 'failed' || state === 'rejected' || state === 'cancelled';
}

async function query(
  session: TemporalSession,
  workflowId: string,
  closed: boolean,
): Promise<OperationStatusView | null> {
  // Without a worker a query waits for its whole deadline: ask first.
  if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return null;
  try {
    const handle = session.client.workflow.getHandle(workflowId);
    return await session.connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
      handle.query<OperationStatusView>(queryNames.status),
    );
  } catch (error) {
    // A worker that has just died, or a closed workflow of another version: the server's own view is still true.
    if (closed || isDeadline(error) || isQueryFailure(error)) return null;
    throw error;
  }
}

function isDeadline(error: unknown): boolean {
  const code =
    (error as { code?: unknown; cause?: { code?: unknown } }).code ??
    (error as { cause?: { code?: unknown } }).cause?.code;
  return code === 4 || code === 1;
}

function isQueryFailure(error: unknown): boolean {
  return error instanceof Error && ['QueryNotRegisteredError', 'QueryRejectedError'].includes(error.name);
}

async function missingControlWorker(session: TemporalSession): Promise<string | null> {
  if (await hasPoller(session, CONTROL_QUEUE, 'workflow')) return null;
  return `a worker on the queue ${CONTROL_QUEUE}: ${workerHint(CONTROL_QUEUE)}`;
}

/** Closed on the server outweighs what the workflow said last, except that a rejection ends as completed. */
function stateOf(
  description: WorkflowExecutionDescription,
  answered: OperationStatusView | null,
  closed: OperationState | undefined,
): OperationState {
  const said = answered?.state ?? attributeState(description);
  if (closed === undefined) return said ?? 'running';
  return closed === 'completed' && said !== undefined && isFinal(said) ? said : closed;
}

function attributeState(description: WorkflowExecutionDescription): OperationState | undefined {
  const pair = description.typedSearchAttributes.getAll().find(({ key }) => key.name === searchAttributes.state);
  return pair?.value as OperationState | undefined;
}

async function heartbeatsOf(
  session: TemporalSession,
  description: WorkflowExecutionDescription,
): Promise<HeartbeatDetails[]> {
  const { payloadConverter } = session.client.options.loadedDataConverter;
  return (description.raw.pendingActivities ?? []).flatMap((activity) => {
    const payload = activity.heartbeatDetails?.payloads?.[0];
    return payload ? [payloadConverter.fromPayload<HeartbeatDetails>(payload)] : [];
  });
}

function retryOf(description: WorkflowExecutionDescription): StatusView['retrying'] {
  for (const { attempt, lastFailure } of description.raw.pendingActivities ?? []) {
    if (lastFailure?.message && (attempt ?? 1) > 1) return { attempt: attempt ?? 1, reason: lastFailure.message };
  }
  return null;
}

/** Jobs of an operation as their host recorded them; without a worker there, what heartbeats said must do. */
async function recordedJobs(
  session: TemporalSession,
  cluster: string,
  operationId: string,
): Promise<readonly JobView[]> {
  if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return [];
  try {
    return (await inspect<'jobs'>(session, { kind: 'jobs', cluster, operationId })).jobs;
  } catch {
    return [];
  }
}

function operationOf(description: WorkflowExecutionDescription, answered: OperationStatusView | null): string {
  if (answered?.operationId !== undefined) return answered.operationId;
  const memo = description.memo?.['operationId'];
  if (typeof memo === 'string') return memo;
  const { workflowId } = description;
  const own = /^(?:(?:recover|media)\/[^/]+|incident\/[^/]+\/[^/]+)\/(.+)$/.exec(workflowId)?.[1];
  // What a workflow started by a schedule calls itself.
  return own ?? `${workflowId}@${description.startTime.toISOString()}`;
}

function figures({ done, total, unit, etaSeconds }: Progress): StatusView['progress'] {
  return { done, unit, ...(total === undefined ? {} : { total }), ...(etaSeconds === undefined ? {} : { etaSeconds }) };
}

/** Later entries come from the records, which know more than the last heartbeat. */
function uniqueByKey(jobs: readonly JobView[]): JobView[] {
  return [...new Map(jobs.map((job) => [job.key, job])).values()];
}

function kindFromId(workflowId: string): OperationStatusView['kind'] {
  const first = workflowId.split('/')[0];
  return kinds.find((kind) => kind === first) ?? 'backup';
}

function clusterFromId(workflowId: string): string {
  const second = workflowId.split('/')[1] ?? '';
  return workflowId.startsWith('verify/') ? (second.split(':')[0] ?? '') : second;
}
