import type { Config } from '../../domain/config.js';
import { OPEN_EXECUTIONS, isClosedStatus } from '../../domain/operation/executions.js';
import { archiveWorkflowId, CONTROL_QUEUE, watchWorkflowId, workflowTypes } from '../../domain/operation/names.js';
import { priorityOf } from '../../domain/operation/priorities.js';
import type { ArchiveInput, WatchInput } from '../../workflows/api.js';
import type { TemporalSession } from '../connect.js';
import { manyAtOnce } from '../many-at-once.js';
import { ownerOf } from './apply-schedules.js';

/** What would be, or was, done to one workflow that never ends: a cluster's watch, the receiving of its WAL. */
export interface WatchChange {
  readonly workflowId: string;
  readonly action: 'start' | 'stop' | 'none' | 'leave';
  readonly reasons: readonly string[];
}

/** A workflow that the config wants to run all the time. */
interface PermanentWorkflow {
  readonly workflowId: string;
  readonly type: string;
  readonly input: WatchInput | ArchiveInput;
  readonly summary: string;
  readonly reason: string;
}

async function wantedWorkflows(config: Config): Promise<readonly PermanentWorkflow[]> {
  // Engines are loaded with it, and the command line starts without them.
  const { receivingPolicies } = await import('../../config/receivers.js');
  const watched = Object.values(config.clusters).filter(({ watch }) => watch !== undefined);
  return [
    ...watched.map(({ name: cluster }) => ({
      workflowId: watchWorkflowId(cluster),
      type: workflowTypes.watch,
      input: { cluster },
      summary: `Watch of ${cluster}: opens an incident when it stops answering`,
      reason: 'the config watches this cluster',
    })),
    ...receivingPolicies(config).map(({ cluster, policy }) => ({
      workflowId: archiveWorkflowId(cluster, policy),
      type: workflowTypes.archive,
      input: { cluster, policy },
      summary: `WAL of ${cluster} is received for policy ${policy}`,
      reason: 'the config has WAL received for this policy',
    })),
  ];
}

/** Compares the watches and receivers of the config with those running; changes nothing. */
export async function planWatches(session: TemporalSession, config: Config): Promise<readonly WatchChange[]> {
  const wanted = await wantedWorkflows(config);
  const running = await runningWorkflows(
    session,
    wanted.map(({ workflowId }) => workflowId),
  );
  const changes: WatchChange[] = wanted.map(({ workflowId, reason }) =>
    running.has(workflowId)
      ? { workflowId, action: 'none', reasons: [] }
      : { workflowId, action: 'start', reasons: [reason] },
  );
  const wantedIds = new Set(wanted.map((one) => one.workflowId));
  for (const [workflowId, owner] of running) {
    if (wantedIds.has(workflowId)) continue;
    const [kind, cluster = ''] = workflowId.split('/');
    const mine = owner === ownerOf(config) || (owner !== undefined && config.clusters[cluster] !== undefined);
    changes.push(
      mine
        ? {
            workflowId,
            action: 'stop',
            reasons: [kind === 'watch' ? 'no longer watched in the config' : 'WAL is no longer received in the config'],
          }
        : { workflowId, action: 'leave', reasons: [`started from another configuration: ${owner ?? 'unknown'}`] },
    );
  }
  return changes;
}

/** Starts the watches and receivers the config asks for and stops those of ours it no longer has. */
export async function applyWatches(session: TemporalSession, config: Config): Promise<readonly WatchChange[]> {
  const changes = await planWatches(session, config);
  const wanted = new Map((await wantedWorkflows(config)).map((one) => [one.workflowId, one]));
  await manyAtOnce(changes, async ({ workflowId, action, reasons }) => {
    const missing = wanted.get(workflowId);
    if (action === 'start' && missing !== undefined) await startWorkflow(session, config, missing);
    if (action !== 'stop') return;
    const handle = session.client.workflow.getHandle(workflowId);
    // A receiver's program has to end with it: a cancellation reaches the host.
    if (workflowId.startsWith('archive/')) await handle.cancel();
    else await handle.terminate(reasons[0]);
  });
  return changes;
}

async function startWorkflow(
  session: TemporalSession,
  config: Config,
  { workflowId, type, input, summary }: PermanentWorkflow,
): Promise<void> {
  await session.client.workflow.start(type, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    memo: { owner: ownerOf(config) },
    // Two people who apply at once must not start two.
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: summary,
    priority: priorityOf(type),
  });
}

/** What runs with its owner; wanted ones are asked for by name, because the list lags behind. */
async function runningWorkflows(
  session: TemporalSession,
  wanted: readonly string[],
): Promise<Map<string, string | undefined>> {
  const ids = new Set(wanted);
  const query = `WorkflowType IN ('${workflowTypes.watch}', '${workflowTypes.archive}') AND ${OPEN_EXECUTIONS}`;
  for await (const { workflowId } of session.client.workflow.list({ query })) ids.add(workflowId);
  const running = new Map<string, string | undefined>();
  await manyAtOnce([...ids], async (id) => {
    const description = await session.client.workflow
      .getHandle(id)
      .describe()
      .catch((error: unknown) => {
        if (error instanceof Error && error.name === 'WorkflowNotFoundError') return undefined;
        throw error;
      });
    if (!description || isClosedStatus(description.status.name)) return;
    const owner = description.memo?.['owner'];
    running.set(id, typeof owner === 'string' ? owner : undefined);
  });
  return running;
}
