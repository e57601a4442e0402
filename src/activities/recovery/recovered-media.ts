import { RepriseError, isRepriseError } from '../../domain/errors.js';
import type { Plan } from '../../domain/plan/plan.js';
import { type PlannedMedia, plannedMediaInWords } from '../../domain/plan/planned-media.js';
import { sizeInWords } from '../../domain/text/text.js';
import { countMissing } from '../../media/missing.js';
import { withNamedKeys } from '../../postgres/content/named-keys.js';
import { openHostState } from '../../records/host-state.js';
import type { CheckResult, HostActivities, PlanRequest, PlannedStep } from '../api.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { applyApproved, objectsIn } from '../media/apply.js';
import { countAll, makeMediaPlan } from '../media/plan.js';
import { mediaOf, openPlace, placesOf, workOf } from '../media/places.js';
import { newDatabaseName, connectionAt } from '../../domain/plan/recovery-place.js';
import { type AuthorizedStep, beginChange, openAuthorizedStep, once } from './authorized-step.js';
import { type ClusterContext, record } from '../cluster-context.js';

/** Name of the step in the host's ledger: of this very plan, because another one of the same recovery has another instant. */
const restored = ({ digest }: PlannedMedia): string => `media-${digest}`;

interface AtInstant extends Pick<PlanRequest, 'cluster' | 'operationId' | 'workflowId' | 'requester'> {
  readonly name: string;
  readonly instant: string;
}

/** The plan of media that go to the instant of a database. */
export function mediaPlanAt(
  clusterContext: ClusterContext,
  { cluster, operationId, workflowId, requester, name, instant }: AtInstant,
  run: ActivityRun,
) {
  return makeMediaPlan(
    clusterContext,
    { cluster, operationId, workflowId, requester, order: { media: name, task: taskOf({ instant }) } },
    run,
  );
}

const taskOf = ({ instant }: Pick<PlannedMedia, 'instant'>) =>
  ({ kind: 'recover', to: instant, later: 'keep' }) as const;

/** Media back to the instant of the database that was restored, under the approval of the recovery's plan. */
export function recoveredMedia(deps: HostDependencies): Pick<HostActivities, 'restoreMedia'> {
  return {
    restoreMedia: wrapActivity('restoreMedia', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      const planned = work.plan.binding.media;
      if (!planned) throw new RepriseError('plan-stale', 'media are not part of the plan');
      await beginChange(work);
      await once(work, step, restored(planned), () => restorePlannedMedia(work, step, planned, run));
    }),
  };
}

interface Restored {
  /** Changes that a scan afterwards found still to be made: 0, unless something wrote meanwhile. */
  readonly left: number;
}

async function restorePlannedMedia(
  { clusterContext, plan }: AuthorizedStep,
  step: PlannedStep,
  planned: PlannedMedia,
  run: ActivityRun,
): Promise<Restored> {
  const { scansFirst } = await beginOnce(clusterContext, step, plan, planned, run);
  const work = mediaWork(clusterContext, planned);
  const bounds = { scannedAt: plan.createdAt, most: { ...planned.counts, remove: { objects: 0, bytes: 0 } } };
  await applyApproved(clusterContext, { name: planned.name, work, bounds, scansFirst }, run).catch((error: unknown) => {
    // `plan-stale` would end a recovery whose database is restored: it waits for a person instead.
    if (!isRepriseError(error) || error.code !== 'plan-stale') throw error;
    throw new RepriseError(
      'conflict',
      `media ${planned.name}: ${error.message}`,
      `stop the applications that write there and try again; to leave them and the recovery as they are: reprise reject, then reprise media recover ${planned.name} --to ${planned.instant}`,
    );
  });
  const left = objectsIn((await countAll(work, run)).counts);
  await record(clusterContext, step, restored(planned), {
    kind: 'journal',
    workflowId: step.workflowId,
    step: 'media',
    text: `media ${planned.name} as of ${planned.instant}: ${plannedMediaInWords(planned, sizeInWords)}, done; ${left} changes left`,
  });
  return { left };
}

/**
 * What was approved is compared once, before the first change: afterwards what is done is no longer to be done. The
 * database is restored by then, so a person decides instead of the plan being lost: tried again (`continue`), what was
 * approved is changed and no more, and what was written since the plan stays as it is.
 */
async function beginOnce(
  clusterContext: ClusterContext,
  step: PlannedStep,
  { binding }: Plan,
  planned: PlannedMedia,
  run: ActivityRun,
): Promise<{ readonly scansFirst: boolean }> {
  const state = openHostState(clusterContext.host.stateDir);
  const begun = `${restored(planned)}-begun`;
  if (await state.onceDone(step.operationId, begun, step.plan)) return { scansFirst: true };
  const now = await mediaPlanAt(clusterContext, { ...step, requester: binding.requester, ...planned }, run);
  const same = now.digest === planned.digest;
  if (!same && !step.retry) {
    throw new RepriseError(
      'conflict',
      `media ${planned.name} were written to since the plan was approved`,
      'stop the applications that write there and try again: objects written since the plan are not changed, and are counted as left',
    );
  }
  await state.recordDone(step.operationId, begun, { digest: now.digest }, step.plan);
  return { scansFirst: !same };
}

function mediaWork(clusterContext: ClusterContext, planned: PlannedMedia) {
  const task = taskOf(planned);
  return workOf(clusterContext, {
    task,
    media: planned.name,
    ...placesOf(clusterContext, mediaOf(clusterContext, planned.name), task),
  });
}

/** Whether the media are as planned, and whether what rows name is there; `beside`: the databases are not swapped in yet. */
export async function checkMedia(
  { clusterContext, plan }: AuthorizedStep,
  step: PlannedStep,
  planned: PlannedMedia,
  beside: boolean,
): Promise<CheckResult> {
  const name = `media/${planned.name}`;
  const done = await openHostState(clusterContext.host.stateDir).onceDone<Restored>(
    step.operationId,
    restored(planned),
    step.plan,
  );
  const left = done?.result.left ?? 0;
  const state = `as of ${planned.instant} (${plannedMediaInWords(planned, sizeInWords)})${left > 0 ? `, but ${left} changes are left: objects were written in the meantime` : ''}`;
  const status = left > 0 ? 'failed' : 'passed';
  const media = mediaOf(clusterContext, planned.name);
  if (!media.objectsQuery)
    return { name, status, detail: `${state}; no objects_query is configured, so missing objects are not counted` };
  const { database, query } = media.objectsQuery;
  const isRestored = plan.binding.backups.some((backup) => backup.database === database);
  try {
    const connection = connectionAt(clusterContext.cluster, plan.binding);
    const seen = await withNamedKeys(
      { connection, checksRole: clusterContext.cluster.checksRole },
      beside && isRestored ? newDatabaseName(database, step.operationId) : database,
      query,
      (keys) => countMissing(keys, openPlace(clusterContext, media)),
    );
    const missing =
      seen.missingRows === 0
        ? 'all objects that they name exist'
        : `${seen.missingRows} of them name ${seen.missing} objects that do not exist`;
    return {
      name,
      status: seen.missingRows > 0 ? 'failed' : status,
      detail: `${state}; ${seen.rows} rows checked, ${missing}`,
    };
  } catch (error) {
    // What the server said may quote rows, and stays in its log.
    const sqlState = isRepriseError(error) ? error.details['sqlState'] : undefined;
    const problem =
      sqlState === undefined
        ? error instanceof Error
          ? error.message
          : String(error)
        : `the objects_query failed (SQLSTATE ${String(sqlState)})`;
    return { name, status: 'failed', detail: `${state}; ${problem}` };
  }
}
