import { homeOf } from '../../domain/plan/layout.js';
import { type ApprovablePlan, isExecutablePlan, type Plan, type PlanBinding } from '../../domain/plan/plan.js';
import { type BlockingPlan, isBlockingPlan } from '../../domain/table/hold.js';
import type { EngineContext } from '../../engines/engine.js';
import { type Service, serviceOf } from '../../postgres/server/service.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { PlannedStep } from '../api.js';
import { type AuthorizeOptions, authorize, authorizePlan } from '../approval/authorize.js';
import {
  type ClusterContext,
  clusterLocks,
  engineContext,
  engineFor,
  forBackup,
  openClusterContext,
  policyOf,
  postgresBinOf,
} from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A step waits so long for an attempt that is still at it; then it fails, and names that attempt. */
const LOCK_TIMEOUT_MS = 600_000;
/** How often a step at work says so. */
const ACTIVE_EVERY_MS = 20_000;

/** Everything a destructive step needs, opened only after the host has authorized it. */
export interface AuthorizedStep {
  readonly clusterContext: ClusterContext;
  readonly plan: Plan;
  readonly dataDir: string;
  /** Where the data directory really is: old data, saved WAL and tablespaces are kept beside it. */
  readonly home: string;
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
  options: AuthorizeOptions = {},
): Promise<AuthorizedStep> {
  const opened = await openClusterContext(deps, step.cluster);
  const plan = await authorize(opened, step, options);
  await followAttempt(opened, step, run);
  const { binding } = plan;
  const inPlace = binding.into === 'in-place';
  const clusterContext = inPlace ? opened : await forPlanned(opened, plan);
  const dataDir = binding.dataDir ?? clusterContext.cluster.dataDir ?? '';
  return {
    clusterContext,
    plan,
    dataDir,
    home: homeOf({ ...binding, dataDir }),
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

/** Authorizes a step that runs a hook: one of a recovery, or of what blocks writes to a table. */
export async function openHookStep(
  deps: HostDependencies,
  step: PlannedStep,
  run: ActivityRun,
  options: AuthorizeOptions = {},
): Promise<HookStep> {
  const clusterContext = await openClusterContext(deps, step.cluster);
  const { binding } = await authorizePlan(clusterContext, step, runsHooks, options);
  await followAttempt(clusterContext, step, run);
  return { clusterContext, binding, signal: run.signal };
}

export interface HookStep extends Pick<AuthorizedStep, 'clusterContext' | 'signal'> {
  readonly binding: Pick<PlanBinding, 'hooks' | 'undoHooks'>;
}

const runsHooks = (plan: ApprovablePlan): plan is Plan | BlockingPlan => isExecutablePlan(plan) || isBlockingPlan(plan);

/** With the programs for the backup that is recovered beside, perhaps of the time before an upgrade. */
async function forPlanned(clusterContext: ClusterContext, { binding }: Plan): Promise<ClusterContext> {
  const { backups } = await clusterContext.catalogue.state();
  const planned = backups.find(({ id }) => id === binding.backups[0]?.id);
  return planned === undefined ? clusterContext : forBackup(clusterContext, planned);
}

/**
 * The ledger of this host learns when an attempt begins, that it is still at work, and how it ends: what the report says
 * comes from there.
 */
async function followAttempt({ host }: ClusterContext, step: PlannedStep, run: ActivityRun): Promise<void> {
  const { operationId, plan, retry = 0 } = step;
  const name = 'hook' in step && typeof step.hook === 'string' ? step.hook : run.name;
  const ledger = openOperationLedger(host.stateDir);
  const note = (what: 'begun' | 'done' | 'failed', result?: unknown): Promise<void> =>
    ledger.note(operationId, { at: new Date().toISOString(), plan, step: name, what, retry, result });
  await note('begun');
  const state = openHostState(host.stateDir);
  const active = setInterval(() => void state.markActive(plan).catch(() => undefined), ACTIVE_EVERY_MS);
  run.atEnd(async (end) => {
    clearInterval(active);
    await state.markActive(plan);
    await (end.ok ? note('done', end.result) : note('failed'));
  });
}

/** The first change that cannot be undone begins: from here on the plan is carried through, however long that takes. */
export function beginChange({ clusterContext, plan }: AuthorizedStep): Promise<void> {
  return openHostState(clusterContext.host.stateDir).markBegun(plan.digest);
}

/**
 * Does a step once for a plan; later calls return the recorded result. Done again after a Reset, a step meant for the
 * old server would stop the recovered one, or move the recovered data away.
 */
export async function once<T>(
  work: AuthorizedStep,
  step: PlannedStep,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  const state = openHostState(work.clusterContext.host.stateDir);
  const done = await state.onceDone<T>(step.operationId, name, step.plan);
  if (done) return done.result;
  const result = await run();
  await state.recordDone(step.operationId, name, result ?? null, step.plan);
  return result;
}

/**
 * The same once in an operation, whichever of its plans it was for: what clears the place is not done again for a second
 * plan, made because a backup was damaged. It would take what was restored for the old data.
 */
export async function onceInOperation<T>(
  { clusterContext }: AuthorizedStep,
  { operationId }: PlannedStep,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  const state = openHostState(clusterContext.host.stateDir);
  const done = await state.onceDone<T>(operationId, name);
  if (done) return done.result;
  const result = await run();
  await state.recordDone(operationId, name, result ?? null);
  return result;
}

/** {@link onceInOperation} for a step without a job, under a lock: an attempt that was taken for dead must not disturb the next one. */
export function onceUnderLock<T>(
  work: AuthorizedStep,
  step: PlannedStep,
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  return underOperationLock(work, step, () => onceInOperation(work, step, name, run));
}

/** Runs while no other attempt of a step of this operation does. */
export function underOperationLock<T>(
  { clusterContext, signal }: Pick<AuthorizedStep, 'clusterContext' | 'signal'>,
  { operationId }: PlannedStep,
  run: () => Promise<T>,
): Promise<T> {
  return waitForLock(clusterContext.host.stateDir, `operation-${operationId}`, run, {
    signal,
    timeoutMs: LOCK_TIMEOUT_MS,
  });
}

/** Whether {@link once} has done a step for this plan, or {@link onceInOperation} in this operation. */
export async function isDone(work: AuthorizedStep, step: PlannedStep, name: string): Promise<boolean> {
  return (await openHostState(work.clusterContext.host.stateDir).onceDone(step.operationId, name, step.plan)) !== null;
}
