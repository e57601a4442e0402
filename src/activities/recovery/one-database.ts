/**
 * One database of a physical backup to an instant: the whole cluster is restored into a temporary instance, the database is dumped there, and
 * goes on as any dump does. The other databases of the cluster are not touched.
 */
import type { PlannedRestore } from '../../domain/drill/drill.js';
import { isRepriseError, isRetryable, RepriseError } from '../../domain/errors.js';
import type { Plan } from '../../domain/plan/plan.js';
import { sizeInWords } from '../../domain/text/text.js';
import type { BoundBackup, EngineContext, LogicalRestore } from '../../engines/engine.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { freeBytes } from '../../postgres/server/disk.js';
import { isLeaving } from '../../process/jobs/jobs.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { InstanceStep, PlannedStep, ReachedTarget, StepInput } from '../api.js';
import { type ClusterContext, policyOf } from '../cluster-context.js';
import { DUMPS, instanceDumpContext } from '../temporary/instance-dump.js';
import { ofLatest, PhysicalSource } from '../temporary/instance-source.js';
import { contentDigest } from '../temporary/planned-restore.js';
import {
  closeInstance,
  holdInstance,
  instanceWorkOf,
  openInstance,
  readableInstance,
} from '../temporary/temporary-instance.js';
import type { AuthorizedStep } from './authorized-step.js';

const INSTANCE = 'database';
const stepOf = ({ cluster, operationId, workflowId, retry }: StepInput): InstanceStep => ({
  ...{ cluster, operationId, workflowId, retry },
  instance: INSTANCE,
});

/** A dump of the database as it was, and how it is restored. */
export interface DatabaseSource {
  readonly context: EngineContext;
  readonly logical: LogicalRestore;
  readonly bound: BoundBackup;
  readonly reached: ReachedTarget;
}

/**
 * Runs with a dump of the plan's database at its target. The instance goes with the step, unless another attempt goes on with it.
 * @throws RepriseError `not-found` for a database that was not there then
 */
export async function withDatabaseAt<T>(
  work: AuthorizedStep,
  step: PlannedStep,
  run: ActivityRun,
  restore: (source: DatabaseSource) => Promise<T>,
): Promise<T> {
  const { clusterContext } = work;
  const own = stepOf(step);
  try {
    const result = await restore(await dumpAt(work, own, run));
    await closeInstance(clusterContext, own, false);
    return result;
  } catch (error) {
    const goesOn = isLeaving(run) || (isRepriseError(error) && isRetryable(error));
    // Where this fails too, the end of the operation does it.
    if (!goesOn) await closeInstance(clusterContext, own, false).catch(() => undefined);
    throw error;
  }
}

/** What a recovery that ended in the middle has left. */
export async function closeDatabaseInstance(clusterContext: ClusterContext, step: StepInput): Promise<void> {
  await closeInstance(clusterContext, stepOf(step), false);
}

async function dumpAt(work: AuthorizedStep, own: InstanceStep, run: ActivityRun): Promise<DatabaseSource> {
  const { clusterContext, plan } = work;
  const { binding, createdAt } = plan;
  const database = binding.backups[0]?.database ?? '';
  await holdInstance(clusterContext, own, async () => ({
    ...{ instance: INSTANCE, purpose: 'step', requester: binding.requester, ttlSeconds: null, openedAt: null },
    ...{ neededBytes: plan.observed.neededBytes, freeBytes: 0, warnings: [] },
    restore: await restoreOf(work, run),
  }));
  const { reached, databases } = await openInstance(clusterContext, own, run);
  if (!databases.includes(database))
    throw new RepriseError(
      'not-found',
      `there was no database ${JSON.stringify(database)} then: there were ${databases.join(', ')}`,
      'nothing was changed; choose another target: reprise recover',
    );
  const { connection } = await readableInstance(clusterContext, own, { database, table: null }, run);
  await requireRoom(clusterContext, connection, database);
  const instance = await instanceWorkOf(clusterContext, own);
  const dumping = await instanceDumpContext(instance, { name: 'dump', databases: [database] }, run);
  const engine = clusterContext.deps.engineOf(DUMPS);
  const { logical } = engine;
  const [made] = await engine.backup(dumping, { type: 'full', startedAt: createdAt });
  if (made === undefined || logical === undefined)
    throw new RepriseError('internal', 'the dump of the temporary instance left no backup');
  const backup = { ...made, proven: null, heldUntil: null, status: 'complete' as const };
  const content = await engine.bindBackup(dumping, backup, [backup]);
  const { policy, storage } = dumping;
  return { context: { ...(await work.context()), policy, storage }, logical, bound: { backup, content }, reached };
}

/** What the plan binds, in the terms of a temporary instance: nothing else is restored. */
async function restoreOf({ clusterContext, plan }: AuthorizedStep, run: ActivityRun): Promise<PlannedRestore> {
  const { binding, observed } = plan;
  return {
    ...{ policy: binding.policy, engine: binding.engine, method: 'data-directory', chosen: 'asked', predicted: null },
    target: binding.target,
    backups: binding.backups.map(({ id, label, finishedAt, content }) => {
      if (content === undefined) throw noContent(id);
      return { id, label, finishedAt, database: null, sizeBytes: null, content: contentDigest(content) };
    }),
    recovery: await recoveryOf(clusterContext, plan, run),
    lastCommitAt: observed.lastCommitAt ?? null,
  };
}

/** `latest` is the last commit that is archived when it is carried out, and does not move then. */
async function recoveryOf(
  clusterContext: ClusterContext,
  { binding }: Plan,
  run: ActivityRun,
): Promise<NonNullable<PlannedRestore['recovery']>> {
  const { target, stopsAt = target, timeline } = binding;
  if (target.kind !== 'latest') return { stopsAt, timeline };
  const policy = policyOf(clusterContext, binding.policy);
  const operationId = `${binding.operationId}/${INSTANCE}`;
  const source = await PhysicalSource.open({ clusterContext, run, operationId, policy }, binding.backups[0]?.id);
  return { stopsAt: (await ofLatest(source, timeline ?? undefined)).target, timeline };
}

function noContent(id: string): RepriseError {
  return new RepriseError(
    'plan-stale',
    `the plan does not say which content backup ${id} has to have`,
    'make a new plan: reprise recover',
  );
}

/** The dump is beside the instance. @throws RepriseError `disk-full` */
async function requireRoom(
  { host }: ClusterContext,
  connection: Parameters<typeof withClient>[0],
  database: string,
): Promise<void> {
  const size = await withClient(connection, database, async (client) => {
    const { rows } = await client.query<{ bytes: string }>(
      'SELECT pg_catalog.pg_database_size(pg_catalog.current_database())::text AS bytes',
    );
    return Number(rows[0]?.bytes ?? 0);
  });
  const free = await freeBytes(host.scratchDir);
  if (free >= size) return;
  throw new RepriseError(
    'disk-full',
    `the dump of database ${JSON.stringify(database)} needs up to ${sizeInWords(size)}, and ${sizeInWords(free)} are free in ${host.scratchDir}`,
    `nothing was changed; free space there, or name a larger directory: hosts.${host.name}.scratch_dir`,
  );
}
