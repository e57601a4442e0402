import type { DrillOutcome, RegisterEntry } from '../domain/drill/drill.js';
import type { LostEvidence } from '../domain/drill/evidence.js';
import { RepriseError } from '../domain/errors.js';
import { OPEN_EXECUTIONS } from '../domain/operation/executions.js';
import { workflowTypes } from '../domain/operation/names.js';
import type { TemporalSession } from './connect.js';
import { runInspection } from './inspect.js';
import { listedState } from './running-operations.js';
import { type StatusView, statusOf } from './status.js';

/** A drill that has not ended. */
export interface OpenDrill {
  readonly drillId: string;
  readonly workflowId: string;
  readonly startedAt: string;
  /** As `status` has it, e.g. `waiting-sign-off`. */
  readonly state: string;
}

/** Drills of a cluster, or of all. */
export interface Drills {
  readonly drills: readonly DrillOutcome[];
  readonly running: readonly OpenDrill[];
  readonly register: readonly RegisterEntry[];
  /** Evidence that records or the chain tell of, and that is missing or another one. */
  readonly lostEvidence: readonly (LostEvidence & { readonly cluster: string })[];
}

export async function listDrills(session: TemporalSession, cluster?: string): Promise<Drills> {
  const [{ drills, register, lost = [] }, running] = await Promise.all([
    runInspection<'drills'>(session, { kind: 'drills', ...(cluster === undefined ? {} : { cluster }) }),
    openDrills(session, cluster),
  ]);
  // Of a cluster that is drilled on another host, both may tell.
  return {
    drills: eachOnce(drills, ({ cluster, drillId }) => `${cluster}/${drillId}`),
    running,
    register: eachOnce(register, ({ cluster, id }) => `${cluster}/${id}`),
    lostEvidence: eachOnce(lost, ({ cluster, text }) => `${cluster}/${text}`),
  };
}

function eachOnce<T>(list: readonly T[], key: (one: T) => string): readonly T[] {
  return [...new Map(list.map((one) => [key(one), one])).values()];
}

/** By the server's list, which lags behind by about a second. */
async function openDrills(session: TemporalSession, cluster?: string): Promise<readonly OpenDrill[]> {
  const found: OpenDrill[] = [];
  const query = `WorkflowType = '${workflowTypes.drill}' AND ${OPEN_EXECUTIONS}`;
  for await (const execution of session.client.workflow.list({ query })) {
    const { workflowId, memo, startTime } = execution;
    const [, of, ...rest] = workflowId.split('/');
    const { operationId = rest.join('/') } = (memo ?? {}) as { operationId?: string };
    if (cluster === undefined || of === cluster)
      found.push({
        drillId: operationId,
        workflowId,
        startedAt: startTime.toISOString(),
        state: listedState(execution),
      });
  }
  return found;
}

/**
 * One drill, by its id or the id of its workflow: what it came to or, while it runs, its status.
 * @throws RepriseError `not-found`
 */
export async function findDrill(
  session: TemporalSession,
  id: string,
): Promise<{ readonly outcome: DrillOutcome } | { readonly open: OpenDrill; readonly status: StatusView }> {
  const { drills, running } = await listDrills(session);
  const isIt = (one: { readonly drillId: string; readonly workflowId: string }): boolean =>
    one.drillId === id || one.workflowId === id;
  // While staging is kept it has ended, and the server's list says for a second that it runs.
  const outcome = drills.findLast(isIt);
  if (outcome) return { outcome };
  const open = running.find(isIt);
  if (open) return { open, status: await statusOf(session, open.workflowId, { jobs: false }) };
  throw new RepriseError('not-found', `there is no drill "${id}"`, 'list the drills: reprise drill list');
}

/** The workflow of a drill that is running. @throws RepriseError `not-found`, `conflict` for one that has ended */
export async function workflowOfDrill(session: TemporalSession, id: string): Promise<string> {
  if (id.includes('/')) return id;
  const found = await findDrill(session, id);
  if ('open' in found) return found.open.workflowId;
  const { verdict, finishedAt } = found.outcome;
  throw new RepriseError(
    'conflict',
    `drill ${id} ended at ${finishedAt} (${verdict}): it takes no sign-off any more`,
    `see what it came to: reprise drill show ${id}`,
  );
}
