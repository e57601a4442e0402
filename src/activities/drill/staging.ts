import { dirname, join } from 'node:path';
import type { ConnectionConfig, DrillConfig } from '../../domain/config.js';
import type { DrillPlan, PlannedRestore } from '../../domain/drill/drill.js';
import { RepriseError } from '../../domain/errors.js';
import { linkTarget } from '../../postgres/server/layout.js';
import type { StagingDirectory } from '../../postgres/server/staging-place.js';
import { type DrillFolder, openDrillFolder } from '../../records/drill-folder.js';
import { openTemporaryInstances, type TemporaryInstance } from '../../records/temporary-instances.js';
import type { DrillStep, StepInput } from '../api.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { instanceConnection, type InstanceWork } from '../temporary/planned-restore.js';

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

/** One restore of the plan, as all temporary instances are restored. */
export function instanceWork(work: DrillWork, index: number, { retry }: Pick<StepInput, 'retry'>): InstanceWork {
  const { clusterContext, plan, instance, place } = work;
  return {
    ...{ clusterContext, instance, retry },
    planned: restoreOf(work, index),
    port: place.port,
    restoreId: restoreOperation(work, index),
    planDigest: plan.digest,
  };
}

/** How the steps of a drill reach its server: by a socket that only its owner can use. */
export function stagingConnection(
  { clusterContext, place, plan }: Pick<DrillWork, 'clusterContext' | 'place' | 'plan'>,
  index: number,
): ConnectionConfig {
  const { dataDir, port } = place;
  return instanceConnection({ clusterContext, planned: restoreOf({ plan }, index), instance: { dataDir }, port });
}
