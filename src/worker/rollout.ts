import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NativeConnection, Runtime } from '@temporalio/worker';
import { DEPLOYMENT, takesOver } from '../domain/operation/builds.js';
import { OPEN_EXECUTIONS } from '../domain/operation/executions.js';
import { CONTROL_QUEUE } from '../domain/operation/names.js';
import { buildsWithWorker, type DescribedPoller, taskQueueTypes } from '../domain/operation/pollers.js';

/** How often workflows of builds without a worker are looked for. */
const SWEEP_MS = 30_000;
/** The server knows a build some time after its first poll. */
const REGISTERED_MS = 500;
/** After so many failures in a row it is told. */
const TRIES = 20;
const PAGE = 200;
/** Codes of gRPC: UNIMPLEMENTED and PERMISSION_DENIED. */
const WITHOUT_DEPLOYMENTS = [12, 7];

/** Where a build of the workflows runs. */
export interface Rollout {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly buildId: string;
  readonly identity: string;
}

/** Whether this server has Worker Deployments and lets us use them; without them all workers share all workflows. */
export async function hasDeployments(connection: NativeConnection, namespace: string): Promise<boolean> {
  try {
    await connection.workflowService.listWorkerDeployments({ namespace, pageSize: 1 });
    return true;
  } catch (error) {
    // Any other failure ends the start: an unversioned worker beside versioned ones would be given nothing to do.
    if (WITHOUT_DEPLOYMENTS.includes((error as { code?: number }).code ?? 0)) return false;
    throw error;
  }
}

/**
 * Makes this build the current one where it is the newest, and has it continue the workflows of builds that no worker
 * runs any more: after an upgrade of a single machine nothing waits for a worker that is gone. Ends with `stop`.
 */
export async function rollOut(rollout: Rollout, stop: AbortSignal): Promise<void> {
  let failures = 0;
  while (!stop.aborted) {
    const why = await rollOutOnce(rollout).then(
      () => null,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    failures = why === null ? 0 : failures + 1;
    if (failures === TRIES) Runtime.instance().logger.warn(`build ${rollout.buildId} could not be rolled out: ${why}`);
    const pause = failures > 0 && failures < TRIES ? REGISTERED_MS : SWEEP_MS;
    await sleep(pause, undefined, { signal: stop }).catch(() => undefined);
  }
}

async function rollOutOnce(rollout: Rollout): Promise<void> {
  const { connection, namespace, buildId, identity } = rollout;
  const { workflowService } = connection;
  const deployment = await workflowService.describeWorkerDeployment({ namespace, deploymentName: DEPLOYMENT });
  const { routingConfig, versionSummaries } = deployment.workerDeploymentInfo ?? {};
  let current = routingConfig?.currentDeploymentVersion?.buildId ?? null;
  const living = await livingBuilds(rollout);
  if (takesOver(buildId, current, living)) {
    await workflowService.setWorkerDeploymentCurrentVersion({
      namespace,
      deploymentName: DEPLOYMENT,
      buildId,
      identity,
      ignoreMissingTaskQueues: true,
    });
    Runtime.instance().logger.info(`build ${buildId} runs new workflows from now on`);
    current = buildId;
  }
  if (current !== buildId) return;
  for (const { deploymentVersion } of versionSummaries ?? []) {
    const other = deploymentVersion?.buildId;
    if (typeof other === 'string' && other !== buildId && !living.includes(other)) await takeOver(rollout, other);
  }
}

/** Builds that a worker of the queue runs. One that was stopped is listed for a minute; on this machine we can look. */
async function livingBuilds({ connection, namespace }: Rollout): Promise<readonly string[]> {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: CONTROL_QUEUE },
    taskQueueType: taskQueueTypes.workflow,
  });
  return buildsWithWorker((pollers ?? []).filter(isNotOver), Date.now());
}

function isNotOver({ identity }: DescribedPoller): boolean {
  const [, pid = '', machine = ''] = /^(\d+)@(\S+)/.exec(identity ?? '') ?? [];
  if (machine !== hostname()) return true;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Has the current build continue what is pinned to one without a worker, now and after later upgrades. The history must
 * replay there: `patched` sees to that.
 */
async function takeOver({ connection, namespace, buildId }: Rollout, other: string): Promise<void> {
  const { workflowService } = connection;
  const { executions } = await workflowService.listWorkflowExecutions({
    namespace,
    query: `TemporalWorkerDeploymentVersion = '${DEPLOYMENT}:${other}' AND ${OPEN_EXECUTIONS}`,
    pageSize: PAGE,
  });
  for (const { execution } of executions ?? []) {
    await workflowService.updateWorkflowExecutionOptions({
      namespace,
      workflowExecution: execution ?? null,
      workflowExecutionOptions: { versioningOverride: { autoUpgrade: true } },
      updateMask: { paths: ['versioning_override'] },
    });
    Runtime.instance().logger.info(`build ${buildId} continues ${execution?.workflowId ?? ''}, begun by ${other}`);
  }
}
