import { dirname, join } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import type { ConnectionConfig, DrillConfig } from '../../domain/config.js';
import type { DrillPlan, PlannedRestore } from '../../domain/drill/drill.js';
import { RepriseError } from '../../domain/errors.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import type { BoundBackup, EngineContext } from '../../engines/engine.js';
import { linkTarget } from '../../postgres/server/layout.js';
import { scratchConnection } from '../../postgres/server/scratch-cluster.js';
import type { StagingDirectory } from '../../postgres/server/staging-place.js';
import { sha256Hex } from '../../records/digest.js';
import { type DrillFolder, openDrillFolder } from '../../records/drill-folder.js';
import { openTemporaryInstances, type TemporaryInstance } from '../../records/temporary-instances.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { DrillStep, StepInput } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  forBackup,
  openClusterContext,
  policyOf,
} from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A drill's cluster on its staging host. */
export interface DrillContext {
  readonly clusterContext: ClusterContext;
  readonly drill: DrillConfig;
  readonly place: StagingDirectory;
  readonly folder: DrillFolder;
}

/** A step of a drill whose plan this host has made, and whose place it has. */
export interface DrillWork extends DrillContext {
  readonly plan: DrillPlan;
  readonly instance: TemporaryInstance;
}

/** @throws RepriseError `not-found` where the configuration has no drill of this cluster on this host */
export async function openDrillContext(
  deps: HostDependencies,
  { cluster: name, operationId }: Pick<StepInput, 'cluster' | 'operationId'>,
): Promise<DrillContext> {
  const clusterContext = await openClusterContext(deps, name);
  const { cluster, host, user } = clusterContext;
  const { drill } = cluster;
  if (drill === undefined)
    throw new RepriseError(
      'not-found',
      `cluster ${name} has no drill in the configuration`,
      `add clusters.${name}.drill; if reprise.yml has it: restart the worker, which has read an older one`,
    );
  if (drill.host !== deps.host)
    throw new RepriseError(
      'not-found',
      `drills of ${name} run on host ${drill.host}, and this worker is of ${deps.host}`,
      'restart the worker, which has read an older reprise.yml',
    );
  // Links above it are the file system's; one in its own place is refused.
  const dataDir = join(await linkTarget(dirname(drill.dataDir)), drill.dataDir.slice(dirname(drill.dataDir).length));
  const place = { cluster: name, host: deps.host, dataDir, port: drill.port, owner: user };
  return { clusterContext, drill, place, folder: openDrillFolder(host.stateDir, operationId) };
}

/** @throws RepriseError `plan-unknown`, `conflict`, `approval-refused` */
export async function openDrillWork(deps: HostDependencies, step: DrillStep): Promise<DrillWork> {
  const context = await openDrillContext(deps, step);
  await requireOwnOperation(context.clusterContext, step);
  const plan = await context.folder.plan();
  if (plan === null || plan.digest !== step.plan || plan.operationId !== step.operationId)
    throw new RepriseError(
      'plan-unknown',
      `this host holds no plan ${step.plan.slice(0, 12)} of drill ${step.operationId}`,
      `start another drill: reprise drill run ${step.cluster}`,
    );
  const { stateDir } = context.clusterContext.host;
  const instance = await openTemporaryInstances(stateDir).at(context.place.dataDir);
  if (instance === null || instance.operationId !== step.operationId)
    throw new RepriseError(
      'conflict',
      `the staging directory ${context.place.dataDir} is ${instance === null ? 'released' : `in use by ${instance.workflowId ?? instance.operationId}`}`,
      `start another drill: reprise drill run ${step.cluster}`,
      { workflowId: instance?.workflowId ?? null },
    );
  return { ...context, plan, instance };
}

/** One restore of the plan. */
export function restoreOf({ plan }: Pick<DrillWork, 'plan'>, index: number): PlannedRestore {
  const planned = plan.restores[index];
  if (planned) return planned;
  throw new RepriseError('plan-unknown', `the drill has no restore ${index}: it has ${plan.restores.length}`);
}

/** Operation of one restore into the directory as it was emptied last: its jobs are not those of what was there before. */
export function restoreOperation(
  { instance: { operationId, generation } }: Pick<DrillWork, 'instance'>,
  index: number,
): string {
  return `${operationId}/restore-${index}-${generation}`;
}

/** What the engine of a restore works with. */
export async function restoreContext(
  work: DrillWork,
  step: StepInput,
  index: number,
  run: ActivityRun,
): Promise<EngineContext> {
  const { clusterContext, plan } = work;
  const policy = policyOf(clusterContext, restoreOf(work, index).policy);
  const planned = await plannedBackups(work, index, run);
  const [first] = planned;
  const own = first === undefined ? clusterContext : forBackup(clusterContext, first);
  return engineContext(own, policy, run, restoreOperation(work, index), [], {
    planDigest: plan.digest,
    retry: step.retry,
  });
}

/**
 * The backups of a restore as they are listed now.
 * @throws RepriseError `no-usable-backup` for one that is gone or was quarantined since
 */
export async function plannedBackups(work: DrillWork, index: number, run: ActivityRun): Promise<readonly Backup[]> {
  const { policy, backups } = restoreOf(work, index);
  const known = await currentBackups(work.clusterContext, run, [policyOf(work.clusterContext, policy)]);
  return backups.map(({ id }) => {
    const backup = known.find((one) => one.id === id);
    if (backup !== undefined && ['complete', 'quarantined'].includes(backup.status)) return backup;
    throw new RepriseError(
      'no-usable-backup',
      `backup ${id} of the drill is ${backup?.status ?? 'gone'}`,
      `list the backups: reprise backup list ${work.plan.cluster}`,
    );
  });
}

/**
 * The same with what is bound of each: what has changed since the plan is not restored.
 * @throws RepriseError `backup-corrupt`
 */
export async function boundBackups(
  work: DrillWork,
  index: number,
  context: EngineContext,
  run: ActivityRun,
): Promise<readonly BoundBackup[]> {
  const { policy, backups } = restoreOf(work, index);
  const engine = engineFor(work.clusterContext, policyOf(work.clusterContext, policy));
  const known = await currentBackups(work.clusterContext, run, [policyOf(work.clusterContext, policy)]);
  const bound: BoundBackup[] = [];
  for (const backup of await plannedBackups(work, index, run)) {
    const content = await engine.bindBackup(context, backup, known);
    if (contentDigest(content) !== backups.find(({ id }) => id === backup.id)?.content)
      throw new RepriseError(
        'backup-corrupt',
        `backup ${backup.id} is not what it was when the drill was planned`,
        `see who changed it; verify it: reprise backup verify ${backup.id}`,
        { damagedBackup: backup.id },
      );
    bound.push({ backup, content });
  }
  return bound;
}

/** One digest for all that is bound of a backup. */
export function contentDigest(content: BoundBackup['content']): string {
  return sha256Hex(canonicalJson(content));
}

/** How the steps of a drill reach its server: by a socket that only its owner can use. */
export function stagingConnection(
  { clusterContext, place, plan }: Pick<DrillWork, 'clusterContext' | 'place' | 'plan'>,
  index: number,
): ConnectionConfig {
  const isPhysical = restoreOf({ plan }, index).method === 'data-directory';
  // Of a fresh cluster it is the role that initdb makes.
  const role = isPhysical ? clusterContext.cluster.connection.user : 'postgres';
  return scratchConnection({ dataDir: place.dataDir, port: place.port, role });
}
