import type { WorkflowExecutionDescription } from '@temporalio/client';
import { isPausedStatus } from '../domain/operation/executions.js';
import { CONTROL_QUEUE, queryNames, searchAttributes, webUiLink } from '../domain/operation/names.js';
import { buildsWithWorker, livingPollers } from '../domain/operation/pollers.js';
import type { JobView, Progress } from '../domain/operation/progress.js';
import type { HeartbeatDetails, PhaseTime, OperationState, OperationStatusView } from '../domain/operation/status.js';
import { markdownSentence } from '../domain/text/markdown.js';
import { runInspection } from './inspect.js';
import type { TemporalSession } from './connect.js';
import { isWithoutPoller, toRepriseError } from './errors.js';
import { describePollers, hasPoller, waitingSteps, workerHint } from './pollers.js';

/** One operation as `status` shows it; the JSON other people's scripts rely on. */
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
  /** The incident that it is a part of; absent: none. */
  readonly incident?: string;
  /** It was terminated: it has said nothing of its end, and took nothing back itself. */
  readonly terminated?: true;
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
  'kept-drop',
  'release',
  'storage-apply',
  'drill',
  'drill-overdue',
  'table-compare',
  'table-locate',
  'table-blast-radius',
  'table-repair',
  'table-freeze',
  'daily-check',
  'explore',
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
  const { view: answered, isLate } = await query(session, workflowId, closed !== undefined);
  const said = answered ?? withoutAnswer(workflowId);
  const heartbeats = heartbeatsOf(session, description);
  const recorded = options.jobs ? await recordedJobs(session, said.cluster, operationOf(description, answered)) : [];
  const paused = pausedInTemporal(description);
  const missing =
    closed === undefined && paused === null ? await workerWaitedFor(session, description, answered, isLate) : null;
  return {
    workflowId,
    kind: said.kind,
    cluster: said.cluster,
    state: missing?.isGone === true ? 'waiting-worker' : stateOf(description, answered, closed),
    waitingFor: paused ?? missing?.text ?? (closed === undefined ? said.waitingFor : null),
    plan: said.plan,
    phase: said.phase,
    phases: said.phases,
    progress: progressOf(heartbeats),
    retrying: retryOf(description),
    jobs: uniqueByKey([...jobsOf(heartbeats), ...recorded]),
    webUi: webUiLink(session.settings, workflowId, description.runId),
    startedAt: description.startTime.toISOString(),
    finishedAt: description.closeTime?.toISOString() ?? null,
    ...incidentOf(description),
    ...(description.status.name === 'TERMINATED' && { terminated: true as const }),
  };
}

function incidentOf({ parentExecution }: WorkflowExecutionDescription): Pick<StatusView, 'incident'> {
  const parent = parentExecution?.workflowId ?? '';
  return parent.startsWith('incident/') ? { incident: parent } : {};
}

/** Query that Temporal's SDK answers in every workflow. */
const METADATA = '__temporal_workflow_metadata';

/** What the Web UI shows of a workflow as Current Details (Markdown); null where it says nothing, or nobody answers for it. */
export async function detailsOf(session: TemporalSession, workflowId: string): Promise<string | null> {
  if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return null;
  try {
    const handle = session.client.workflow.getHandle(workflowId);
    const { currentDetails } = await session.connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
      handle.query<{ readonly currentDetails?: string }>(METADATA),
    );
    return currentDetails === undefined || currentDetails === '' ? null : currentDetails;
  } catch (error) {
    if (isUnanswered(error) || isQueryFailure(error)) return null;
    throw error;
  }
}

/** Why a workflow that has ended failed (Markdown), by the last event of its history: the server says it without any worker. Null: it has not failed. */
export async function failureIn(session: TemporalSession, workflowId: string): Promise<string | null> {
  try {
    await session.client.workflow.getHandle(workflowId).result();
    return null;
  } catch (error) {
    if ((error as Error).name !== 'WorkflowFailedError') throw error;
    const { message, code, hint } = toRepriseError(error);
    return [`${message} (${code})`, ...(hint === undefined ? [] : [`HINT: ${hint}`])]
      .map(markdownSentence)
      .join('\n\n');
  }
}

/** What the id alone says, where no worker answers for the workflow. */
function withoutAnswer(
  workflowId: string,
): Pick<StatusView, 'kind' | 'cluster' | 'waitingFor' | 'plan' | 'phase' | 'phases'> {
  return {
    kind: kindFromId(workflowId),
    cluster: clusterFromId(workflowId),
    waitingFor: null,
    plan: null,
    phase: null,
    phases: [],
  };
}

/** Whether nothing more will happen in this state. */
export function isFinal(state: OperationState): boolean {
  return state === 'completed' || state === 'failed' || state === 'rejected' || state === 'cancelled';
}

/** `isLate`: workers seem to be there, and none has answered in time. */
async function query(
  session: TemporalSession,
  workflowId: string,
  closed: boolean,
): Promise<{ readonly view: OperationStatusView | null; readonly isLate: boolean }> {
  // Without a worker a query waits for its whole deadline: ask first.
  if (!(await hasPoller(session, CONTROL_QUEUE, 'workflow'))) return { view: null, isLate: false };
  try {
    const handle = session.client.workflow.getHandle(workflowId);
    const view = await session.connection.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
      handle.query<OperationStatusView>(queryNames.status),
    );
    return { view, isLate: false };
  } catch (error) {
    // A worker that has just died, or a closed workflow of another version: the server's own view is still true.
    if (closed || isUnanswered(error) || isQueryFailure(error)) return { view: null, isLate: isUnanswered(error) };
    throw error;
  }
}

/** No worker has answered in time, or the server knows of none of the workflow's own build. */
function isUnanswered(error: unknown): boolean {
  const wrapping = error as GrpcError & { readonly cause?: GrpcError };
  const { code, details } = wrapping.code === undefined ? (wrapping.cause ?? {}) : wrapping;
  return code === 4 || code === 1 || isWithoutPoller({ code, details });
}

interface GrpcError {
  readonly code?: unknown;
  readonly details?: unknown;
}

function isQueryFailure(error: unknown): boolean {
  return error instanceof Error && ['QueryNotRegisteredError', 'QueryRejectedError'].includes(error.name);
}

/** A worker that an operation waits for. `isGone`: none polls the queue; else one may be busy, or has just died. */
interface WaitedFor {
  readonly isGone: boolean;
  readonly text: string;
}

/** So long a step may wait for a worker that seems to be there, before it is said. */
const TAKEN_UP_MS = 10_000;

/** The worker that nothing goes on without, unless the operation itself says what it waits for; null: none is missing. */
async function workerWaitedFor(
  session: TemporalSession,
  description: WorkflowExecutionDescription,
  answered: OperationStatusView | null,
  isLate: boolean,
): Promise<WaitedFor | null> {
  if (answered !== null) return answered.waitingFor === null ? untakenStep(session, description) : null;
  const missing = await missingControlWorker(session, description);
  if (missing !== null) return { isGone: true, text: missing };
  if (!isLate) return null;
  const text = `an answer of a worker on the queue ${CONTROL_QUEUE}: none came within ${QUERY_TIMEOUT_MS / 1000} s, so it is busy or gone; ${workerHint(CONTROL_QUEUE)}`;
  return { isGone: false, text };
}

/** A step that no worker has taken up, of an operation that says nothing of it. */
async function untakenStep(session: TemporalSession, { raw }: WorkflowExecutionDescription): Promise<WaitedFor | null> {
  let untaken: WaitedFor | null = null;
  for (const { queue, scheduledMs } of waitingSteps(raw.pendingActivities)) {
    if (!(await hasPoller(session, queue, 'activity')))
      return { isGone: true, text: `a worker on the queue ${queue}: ${workerHint(queue)}` };
    // It counts as polled for a while after its last worker has died.
    if (scheduledMs < Date.now() - TAKEN_UP_MS)
      untaken ??= {
        isGone: false,
        text: `a worker that takes up a step from the queue ${queue}: none has within ${TAKEN_UP_MS / 1000} s, so they are busy or gone; ${workerHint(queue)}`,
      };
  }
  return untaken;
}

async function missingControlWorker(
  session: TemporalSession,
  { raw }: WorkflowExecutionDescription,
): Promise<string | null> {
  const pollers = await describePollers(session, CONTROL_QUEUE, 'workflow');
  if (livingPollers(pollers, Date.now()).length === 0)
    return `a worker on the queue ${CONTROL_QUEUE}: ${workerHint(CONTROL_QUEUE)}`;
  const { versioningOverride, deploymentVersion } = raw.workflowExecutionInfo?.versioningInfo ?? {};
  const build = versioningOverride?.pinned?.version?.buildId ?? deploymentVersion?.buildId;
  if (typeof build !== 'string' || build === '' || buildsWithWorker(pollers, Date.now()).includes(build)) return null;
  return `a worker of build ${build}, which began it: a worker of the current build continues it within two minutes`;
}

/** What is paused in Temporal answers no query: only the server knows why nothing happens. */
function pausedInTemporal({ status, workflowId }: WorkflowExecutionDescription): string | null {
  if (!isPausedStatus(status.name)) return null;
  return `the workflow to be unpaused, it was paused in Temporal: \`temporal workflow unpause --workflow-id ${workflowId}\``;
}

/** Closed on the server outweighs what the workflow said last, except that a rejection ends as completed. */
function stateOf(
  description: WorkflowExecutionDescription,
  answered: OperationStatusView | null,
  closed: OperationState | undefined,
): OperationState {
  const said = answered?.state ?? attributeState(description);
  if (isPausedStatus(description.status.name)) return 'paused';
  if (closed === undefined) return said ?? 'running';
  return closed === 'completed' && said !== undefined && isFinal(said) ? said : closed;
}

function attributeState(description: WorkflowExecutionDescription): OperationState | undefined {
  const pair = description.typedSearchAttributes.getAll().find(({ key }) => key.name === searchAttributes.state);
  return pair?.value as OperationState | undefined;
}

function heartbeatsOf(session: TemporalSession, description: WorkflowExecutionDescription): HeartbeatDetails[] {
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
    return (await runInspection<'jobs'>(session, { kind: 'jobs', cluster, operationId })).jobs;
  } catch {
    return [];
  }
}

function operationOf(description: WorkflowExecutionDescription, answered: OperationStatusView | null): string {
  if (answered?.operationId !== undefined) return answered.operationId;
  const memo = description.memo?.['operationId'];
  if (typeof memo === 'string') return memo;
  const { workflowId } = description;
  const own = /^(?:(?:recover|media|kept-drop|release|storage-apply|drill)\/[^/]+|incident\/[^/]+\/[^/]+)\/(.+)$/.exec(
    workflowId,
  )?.[1];
  // What a workflow started by a schedule calls itself.
  return own ?? `${workflowId}@${description.startTime.toISOString()}`;
}

function progressOf(heartbeats: readonly HeartbeatDetails[]): StatusView['progress'] {
  const progress = heartbeats.find((beat) => beat.progress !== undefined)?.progress;
  if (progress === undefined) return null;
  const { done, total, unit, etaSeconds } = progress;
  return { done, unit, total, etaSeconds };
}

function jobsOf(heartbeats: readonly HeartbeatDetails[]): readonly JobView[] {
  return heartbeats.flatMap(({ job, progress }) => [job, progress?.job].filter((one) => one !== undefined));
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
