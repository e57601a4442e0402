import type { WorkflowHandle } from '@temporalio/client';
import { RepriseError } from '../domain/errors.js';
import { connectionText, type OpenedInstance } from '../domain/explore/instance.js';
import { isClosedStatus, OPEN_EXECUTIONS } from '../domain/operation/executions.js';
import { exploreWorkflowId, queryNames, updateNames, workflowTypes } from '../domain/operation/names.js';
import { formatTarget } from '../domain/target/target.js';
import type { ExploreView } from '../workflows/api.js';
import type { TemporalSession } from './connect.js';
import { update } from './decide.js';
import { manyAtOnce } from './many-at-once.js';

/** A temporary instance as `explore` shows it; the JSON other people's scripts rely on. */
export interface Exploration {
  readonly id: string;
  readonly workflowId: string;
  readonly cluster: string;
  readonly host: string | null;
  /** Asserted. */
  readonly requester: string | null;
  readonly state: 'restoring' | 'open' | 'unknown';
  readonly target: { readonly requested: string | null; readonly reached: string | null };
  readonly policy: string | null;
  readonly backups: readonly string[];
  readonly databases: readonly string[];
  readonly startedAt: string;
  /** UTC ISO-8601; null until it runs. */
  readonly expiresAt: string | null;
  /** As libpq reads it, without a password; null until it runs. */
  readonly connection: string | null;
}

/** An instance that has not ended, and its workflow. */
export interface OpenExploration {
  readonly id: string;
  readonly workflowId: string;
  readonly cluster: string;
  readonly startedAt: string;
}

const QUERY_MS = 10_000;
/** A move replays WAL. */
const MOVE_MS = 24 * 3_600_000;

/** Those that have not ended, by the server's list, which lags behind by about a second. */
export async function listExplorations(session: TemporalSession, cluster?: string): Promise<readonly Exploration[]> {
  const open: OpenExploration[] = [];
  const query = `WorkflowType = '${workflowTypes.explore}' AND ${OPEN_EXECUTIONS}`;
  for await (const { workflowId, startTime } of session.client.workflow.list({ query })) {
    const [, of = '', ...rest] = workflowId.split('/');
    if (cluster === undefined || of === cluster)
      open.push({ id: rest.join('/'), workflowId, cluster: of, startedAt: startTime.toISOString() });
  }
  return manyAtOnce(open, (one) => lookAt(session, one));
}

/** How it is now; without a worker, what its id says. */
export async function lookAt(session: TemporalSession, open: OpenExploration): Promise<Exploration> {
  const view = await viewOf(session, session.client.workflow.getHandle(open.workflowId)).catch(() => null);
  return explorationOf(open, view);
}

/** The query of a workflow. */
export function viewOf(session: TemporalSession, handle: WorkflowHandle): Promise<ExploreView> {
  return session.connection.withDeadline(Date.now() + QUERY_MS, () => handle.query<ExploreView>(queryNames.instance));
}

export function explorationOf(open: OpenExploration, view: ExploreView | null): Exploration {
  const { id, workflowId, cluster, startedAt } = open;
  return {
    ...{ id, workflowId, cluster, startedAt },
    host: view?.host || null,
    requester: view?.requester ?? null,
    ...foundOf(view?.instance ?? null, view?.requested ?? null),
    ...(view === null ? { state: 'unknown' } : {}),
  };
}

function foundOf(
  instance: OpenedInstance | null,
  requested: string | null,
): Pick<Exploration, 'state' | 'target' | 'policy' | 'backups' | 'databases' | 'expiresAt' | 'connection'> {
  if (instance === null)
    return {
      state: 'restoring',
      target: { requested, reached: null },
      ...{ policy: null, backups: [], databases: [], expiresAt: null, connection: null },
    };
  const { restore, reached, databases, expiresAt } = instance;
  return {
    state: 'open',
    target: { requested: formatTarget(restore.target), reached: reached.reached },
    policy: restore.policy,
    backups: restore.backups.map((backup) => backup.id),
    ...{ databases, expiresAt, connection: connectionText(instance) },
  };
}

/**
 * One that has not ended, by its id or the id of its workflow.
 * @throws RepriseError `not-found`; `conflict` for one that has ended
 */
export async function findExploration(
  session: TemporalSession,
  id: string,
  clusters: readonly string[],
): Promise<OpenExploration> {
  const candidates = id.includes('/') ? [id] : clusters.map((cluster) => exploreWorkflowId(cluster, id));
  for (const workflowId of candidates.filter((one) => one.startsWith('explore/'))) {
    const described = await session.client.workflow
      .getHandle(workflowId)
      .describe()
      .catch((error: unknown) => {
        if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
        throw error;
      });
    if (described === null) continue;
    if (isClosedStatus(described.status.name))
      throw new RepriseError(
        'conflict',
        `the temporary instance ${id} is gone since ${described.closeTime?.toISOString() ?? 'its end'}`,
        'open another one: reprise explore start CLUSTER --to TARGET',
      );
    const [, cluster = '', ...rest] = workflowId.split('/');
    return { id: rest.join('/'), workflowId, cluster, startedAt: described.startTime.toISOString() };
  }
  throw new RepriseError('not-found', `there is no temporary instance "${id}"`, 'list them: reprise explore list');
}

interface Sender {
  readonly by: string;
}

/** It stays for so long (`2h`) from now on. @throws RepriseError `conflict` where it stays longer already */
export function extendExploration(
  session: TemporalSession,
  { workflowId }: OpenExploration,
  said: Sender & { readonly ttl: string },
): Promise<ExploreView> {
  return update(session, workflowId, updateNames.extendInstance, said);
}

/** On to a later target. @throws RepriseError `target-before-backup` for an earlier one; what does not lead there */
export function moveExploration(
  session: TemporalSession,
  { workflowId }: OpenExploration,
  said: Sender & { readonly to: string },
): Promise<ExploreView> {
  return update(session, workflowId, updateNames.moveInstance, said, MOVE_MS);
}

/** How to get in; who asked is written down. */
export async function connectExploration(
  session: TemporalSession,
  { workflowId }: OpenExploration,
  said: Sender,
): Promise<OpenedInstance> {
  const { instance } = await update<ExploreView>(session, workflowId, updateNames.connectInstance, said, MOVE_MS);
  if (instance !== null) return instance;
  throw new RepriseError('not-found', 'the temporary instance is gone', 'list them: reprise explore list');
}

/** Answers when it is gone. */
export async function dropExploration(
  session: TemporalSession,
  { workflowId }: Pick<OpenExploration, 'workflowId'>,
  said: Sender,
): Promise<void> {
  await update(session, workflowId, updateNames.dropInstance, said, MOVE_MS);
}
