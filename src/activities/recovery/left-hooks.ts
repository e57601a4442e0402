import { isRepriseError } from '../../domain/errors.js';
import { type Finding, warning } from '../../domain/findings.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import { isRecoveryPlan } from '../../domain/plan/plan.js';
import { isBlockingPlan } from '../../domain/table/hold.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { planDigest } from '../../records/digest.js';
import { openFrozenTables } from '../../records/frozen-tables.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { openRunHooks, type RunHook } from '../../records/run-hooks.js';
import type { HostActivities } from '../api.js';
import { type ClusterContext, record } from '../cluster-context.js';
import { hostOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import type { HasClosed } from '../workflow-closed.js';
import { hookLedger, isGivenUp, runsTheSame, takeBack } from './hooks.js';

/** So often the sweep tries to take a hook back, with pauses that double up to the longest. */
const MOST_TRIES = 10;
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 1_800_000;
/** A hook that is left to people is shown for so long. */
const SHOWN_MS = 7 * 86_400_000;
const LOCK_TIMEOUT_MS = 600_000;

/** Steps of a recovery after which applications no longer find what they worked with: a person starts them. */
const TOUCHING: ReadonlySet<string> = new Set<keyof HostActivities>([
  'stopServer',
  'putAside',
  'restoreMedia',
  'promoteServer',
  'swapDatabases',
]);

const isDue = (one: RunHook): boolean =>
  isGivenUp(one)
    ? Date.parse(one.at) + SHOWN_MS < Date.now()
    : one.nextAt === null || Date.parse(one.nextAt) <= Date.now();

/** Hooks of operations that have ended, which are to be taken back now. */
export async function hooksOver(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly string[]> {
  const over: string[] = [];
  for (const one of await openRunHooks(hostOf(deps).stateDir).all())
    if (isDue(one) && (await hasClosed(one)) === true) over.push(`${one.hook} of ${one.operationId}`);
  return over;
}

/**
 * Takes back the hooks of a cluster's operations that have ended without doing so, the last first; returns the operations. A table that
 * such an operation still keeps frozen is opened before.
 */
export async function sweepHooks(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host, cluster } = clusterContext;
  const hooks = openRunHooks(host.stateDir);
  const left = (await hooks.all())
    .filter((one) => one.cluster === cluster.name && isDue(one))
    .toSorted((one, other) => (one.at < other.at ? 1 : -1));
  const released: string[] = [];
  for (const one of left) {
    if ((await hasClosed(one)) !== true) continue;
    if ((await openFrozenTables(host.stateDir).of(one.operationId)) !== null) continue;
    if (isGivenUp(one)) await hooks.remove(one.operationId, one.hook);
    else if (await sweepHook(clusterContext, one)) released.push(one.operationId);
  }
  return released;
}

/** True where it was taken back. What keeps it from that is kept for `doctor` and `check`. */
async function sweepHook(clusterContext: ClusterContext, one: RunHook): Promise<boolean> {
  const { host } = clusterContext;
  const hooks = openRunHooks(host.stateDir);
  const { operationId, hook, undo } = one;
  const refusal = await whyNot(clusterContext, one);
  if (refusal !== null) {
    await journal(clusterContext, one, `hook ${hook} is not taken back: ${refusal}`);
    await hooks.save({ ...one, problem: refusal, nextAt: null });
    return false;
  }
  try {
    await waitForLock(host.stateDir, `operation-${operationId}`, () => undoOf(clusterContext, one), {
      timeoutMs: LOCK_TIMEOUT_MS,
    });
    return true;
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    const tries = one.tries + 1;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** one.tries, LONGEST_PAUSE_MS);
    const nextAt = tries < MOST_TRIES ? new Date(Date.now() + pause).toISOString() : null;
    await hooks.save({ ...one, tries, nextAt, problem: `${undo}: ${error.message}` });
    return false;
  }
}

/** Commands come from the configuration of this host, and only those of a plan that was approved and used here. */
async function whyNot({ host, cluster }: ClusterContext, one: RunHook): Promise<string | null> {
  const state = openHostState(host.stateDir);
  const plan = await state.readPlan(one.plan).catch(() => null);
  if (plan === null || planDigest(plan.binding) !== one.plan || !(isRecoveryPlan(plan) || isBlockingPlan(plan)))
    return 'its plan is not known here';
  const { binding } = plan;
  const isOurs = binding.operationId === one.operationId && binding.cluster === cluster.name;
  if (!isOurs || (await state.usedBy(one.plan))?.operationId !== one.operationId)
    return 'its plan was not carried out here';
  if (!binding.hooks.includes(one.hook) || undoHookOf(binding, one.hook) !== one.undo)
    return 'its plan names another hook';
  if (!runsTheSame(cluster, one))
    return `hook ${one.undo} of the configuration has changed since the plan was approved`;
  if (!isRecoveryPlan(plan)) return null;
  const events = await openOperationLedger(host.stateDir).events(one.operationId);
  return events.some(({ step, what }) => what === 'begun' && TOUCHING.has(step))
    ? 'the recovery has touched the live data: check the data first'
    : null;
}

/** Repeated after a line of the journal could not be written, it writes that line. */
async function undoOf(clusterContext: ClusterContext, one: RunHook): Promise<void> {
  const { hook, undo, operationId, workflowId } = one;
  // One that was refused never ran.
  const wasBegun = await hookLedger(clusterContext, operationId).wasBegun(hook);
  const done = await takeBack(clusterContext, one, { signal: new AbortController().signal });
  if (wasBegun && done === 'done')
    await journal(clusterContext, one, `${workflowId} has ended without taking back ${hook}: ${undo} was run`);
  await openRunHooks(clusterContext.host.stateDir).remove(operationId, hook);
}

function journal(clusterContext: ClusterContext, one: RunHook, text: string): Promise<unknown> {
  const { operationId, workflowId, hook, at } = one;
  const body = { kind: 'journal' as const, workflowId, step: 'sweep', text };
  return record(clusterContext, { operationId }, `sweep-hook/${hook}/${at}`, body);
}

/** Hooks that could not be taken back. */
export async function hookFindings({ host, cluster }: ClusterContext): Promise<readonly Finding[]> {
  const hooks = await openRunHooks(host.stateDir).all();
  return hooks
    .filter(({ cluster: of, problem }) => of === cluster.name && problem !== null)
    .map((one) => {
      const { hook, undo, workflowId, problem, nextAt, at } = one;
      const next = nextAt === null ? 'nothing tries it again' : `it is tried again at ${nextAt.slice(0, 16)}Z`;
      return warning(
        `cluster/${cluster.name}/left-hooks/${one.operationId}/${hook}`,
        `hook ${hook}, which ${workflowId} ran at ${at.slice(0, 16)}Z, is not taken back: ${problem ?? ''}; ${next}`,
        `do by hand what hook ${undo} of the configuration does`,
      );
    });
}
