import type { Config } from '../domain/config.js';
import { CONTROL_QUEUE, watchWorkflowId, workflowTypes } from '../domain/names.js';
import type { WatchInput } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { ownerOf } from './schedules.js';

/** What would be, or was, done to one cluster's watch. */
export interface WatchChange {
  readonly workflowId: string;
  readonly action: 'start' | 'stop' | 'none' | 'leave';
  readonly reasons: readonly string[];
}

/** Compares the watches of the config with those running; changes nothing. */
export async function planWatches(session: TemporalSession, config: Config): Promise<readonly WatchChange[]> {
  const wanted = Object.values(config.clusters).filter(({ watch }) => watch !== undefined).map(({ name }) => watchWorkflowId(name));
  const running = await runningWatches(session, wanted);
  const changes: WatchChange[] = wanted.map((workflowId) =>
    running.has(workflowId)
      ? { workflowId, action: 'none', reasons: [] }
      : { workflowId, action: 'start', reasons: ['the config watches this cluster'] },
  );
  for (const [workflowId, owner] of running) {
    if (wanted.includes(workflowId)) continue;
    const cluster = workflowId.slice('watch/'.length);
    const mine = owner === ownerOf(config) || (owner !== undefined && config.clusters[cluster] !== undefined);
    changes.push(
      mine
        ? { workflowId, action: 'stop', reasons: ['no longer watched in the config'] }
        : { workflowId, action: 'leave', reasons: [`started from another configuration: ${owner ?? 'unknown'}`] },
    );
  }
  return changes;
}

/** Starts the watches the config asks for and stops those of ours it no longer has. */
export async function applyWatches(session: TemporalSession, config: Config): Promise<readonly WatchChange[]> {
  const changes = await planWatches(session, config);
  for (const { workflowId, action } of changes) {
    if (action === 'start') await startWatch(session, config, workflowId);
    if (action === 'stop') await session.client.workflow.getHandle(workflowId).terminate('no longer watched in the config');
  }
  return changes;
}

async function startWatch(session: TemporalSession, config: Config, workflowId: string): Promise<void> {
  const cluster = workflowId.slice('watch/'.length);
  const input: WatchInput = { cluster };
  await session.client.workflow.start(workflowTypes.watch, {
    workflowId,
    taskQueue: CONTROL_QUEUE,
    args: [input],
    memo: { owner: ownerOf(config) },
    // Two people who apply at once must not start two.
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `Watch of ${cluster}: opens an incident when it stops answering`,
  });
}

/** Running watches with their owner; wanted ones are asked for by name, because the list lags behind. */
async function runningWatches(session: TemporalSession, wanted: readonly string[]): Promise<Map<string, string | undefined>> {
  const ids = new Set(wanted);
  const query = `WorkflowType = '${workflowTypes.watch}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of session.client.workflow.list({ query })) ids.add(workflowId);
  const running = new Map<string, string | undefined>();
  for (const id of ids) {
    const description = await session.client.workflow.getHandle(id).describe().catch((error: unknown) => {
      if (error instanceof Error && error.name === 'WorkflowNotFoundError') return undefined;
      throw error;
    });
    if (description?.status.name !== 'RUNNING') continue;
    const owner = description.memo?.['owner'];
    running.set(id, typeof owner === 'string' ? owner : undefined);
  }
  return running;
}
