import type { Plan } from '../../domain/plan/plan.js';
import type { EngineContext } from '../../engines/engine.js';
import { type Service, serviceOf } from '../../postgres/server/service.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { openHostState } from '../../records/host-state.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { PlannedStep } from '../api.js';
import { authorize } from '../approval/authorize.js';
import {
  type ClusterContext,
  clusterLocks,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  postgresBinOf,
} from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A step waits so long for an attempt that is still at it; then it fails, and names that attempt. */
const LOCK_TIMEOUT_MS = 600_000;

/** Everything a destructive step needs, opened only after the host has authorized it. */
export interface AuthorizedStep {
  readonly clusterContext: ClusterContext;
  readonly plan: Plan;
  readonly dataDir: string;
  readonly inPlace: boolean;
  readonly signal: AbortSignal;
  service(): Promise<Service>;
  context(): Promise<EngineContext>;
  engine(): ReturnType<typeof engineFor>;
}

/** Authorizes a step on this host, then opens what it works with. */
export async function openAuthorizedStep(
  deps: HostDependencies,
  step: PlannedStep,
  run: ActivityRun,
): Promise<AuthorizedStep> {
  const clusterContext = await openClusterContext(deps, step.cluster);
  const plan = await authorize(clusterContext, step);
  const { binding } = plan;
  const inPlace = binding.into === 'in-place';
  const dataDir = binding.dataDir ?? clusterContext.cluster.dataDir ?? '';
  return {
    clusterContext,
    plan,
    dataDir,
    inPlace,
    signal: run.signal,
    service: async () => {
      // A clone is started by pg_ctl; only the cluster itself has a service of its own.
      const service = inPlace
        ? (clusterContext.cluster.service ?? { kind: 'pg_ctl' as const })
        : { kind: 'pg_ctl' as const };
      return serviceOf({ dataDir, service }, await postgresBinOf(clusterContext), clusterContext.user);
    },
    context: () =>
      engineContext(
        clusterContext,
        policyOf(clusterContext, binding.policy),
        run,
        step.operationId,
        clusterLocks.recovery(clusterContext.cluster.name),
        { planDigest: plan.digest, retry: step.retry },
      ),
    engine: () => engineFor(clusterContext, policyOf(clusterContext, binding.policy)),
  };
}

/**
 * Does a step once in an operation; later calls return the recorded result. Done again after a Reset, a step meant for the
 * old server would stop the recovered one, or move the recovered data away.
 */
export async function once<T>(
  work: AuthorizedStep,
  step: PlannedStep,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  const state = openHostState(work.clusterContext.host.stateDir);
  const done = await state.onceDone<T>(step.operationId, name);
  if (done) return done.result;
  const result = await run();
  await state.recordDone(step.operationId, name, result ?? null);
  return result;
}

/** The same for a step without a job, under a lock: an attempt that was taken for dead must not disturb the next one. */
export function onceUnderLock<T>(
  work: AuthorizedStep,
  step: PlannedStep,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  return underOperationLock(work, step, () => once(work, step, name, run));
}

/** Runs while no other attempt of a step of this operation does. */
export function underOperationLock<T>(
  { clusterContext, signal }: AuthorizedStep,
  { operationId }: PlannedStep,
  run: () => Promise<T>,
): Promise<T> {
  return waitForLock(clusterContext.host.stateDir, `operation-${operationId}`, run, {
    signal,
    timeoutMs: LOCK_TIMEOUT_MS,
  });
}

/** Whether {@link once} has done a step of this operation. */
export async function isDone(work: AuthorizedStep, step: PlannedStep, name: string): Promise<boolean> {
  return (await openHostState(work.clusterContext.host.stateDir).onceDone(step.operationId, name)) !== null;
}
