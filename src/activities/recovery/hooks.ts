import type { ClusterConfig, HookConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import { canonicalJson } from '../../domain/text/canonical-json.js';
import { runProgram } from '../../process/exec/run-program.js';
import { waitForLock } from '../../process/jobs/file-lock.js';
import { sha256Hex } from '../../records/digest.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { openRunHooks, type RunHook } from '../../records/run-hooks.js';
import type { HostActivities, PlannedStep } from '../api.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { openHookStep, underOperationLock } from './authorized-step.js';

/** A hook waits so long for another one of its cluster; each has a limit of its own. */
const LOCK_TIMEOUT_MS = 600_000;

/**
 * Hooks of an approved plan. What takes one back is recorded before the hook acts, and runs once for each time it was
 * begun: neither a worker that dies nor a Reset starts applications twice, or leaves them stopped.
 */
export function hookActivities(deps: HostDependencies): Pick<HostActivities, 'runHook' | 'undoHook'> {
  return {
    runHook: wrapActivity('runHook', async (step, run) => {
      const { clusterContext, binding } = await openHookStep(deps, step, run);
      const { hooks } = binding;
      if (!hooks.includes(step.hook)) throw notOfThePlan(step.hook);
      const ledger = hookLedger(clusterContext, step.operationId);
      const undo = undoHookOf(binding, step.hook);
      await oneAtATime(clusterContext, run, async () => {
        if (undo !== null) {
          await keepForUndo(clusterContext, step, undo);
          await ledger.begin(step.hook);
        }
        await runHook(clusterContext, step.hook, run.signal);
      });
      // Hooks that this one undoes are undone now.
      for (const hook of hooks) if (undoHookOf(binding, hook) === step.hook) await ledger.undone(hook);
    }),
    undoHook: wrapActivity('undoHook', async (step, run) => {
      const opened = await openClusterContext(deps, step.cluster);
      const ledger = hookLedger(opened, step.operationId);
      // A hook that was refused, and so never ran, is not undone.
      if (!(await ledger.isPending(step.hook))) return;
      const known = await openRunHooks(opened.host.stateDir).of(step.operationId, step.hook);
      const isUnchanged = known !== null && runsTheSame(opened.cluster, known);
      const work = await openHookStep(deps, step, run, { takesBack: true, isUnchanged });
      const undo = undoHookOf(work.binding, step.hook);
      if (undo === null) throw notOfThePlan(`undo of ${step.hook}`);
      await underOperationLock(work, step, () => takeBack(work.clusterContext, { ...step, undo }, run));
    }),
  };
}

/** Recorded before it acts: whoever ends the operation, the sweep of this host knows what has to be taken back. */
async function keepForUndo({ host, cluster }: ClusterContext, step: PlannedStep & { hook: string }, undo: string) {
  const { operationId, workflowId, plan, hook } = step;
  const claim = await openOperationLedger(host.stateDir).claimOf(operationId);
  await openRunHooks(host.stateDir).save({
    ...{ cluster: cluster.name, operationId, workflowId, firstRunId: claim?.firstRunId ?? null, plan, hook, undo },
    undoDigest: commandDigest(cluster, undo),
    ...{ at: new Date().toISOString(), tries: 0, nextAt: null, problem: null },
  });
}

/** Of what a hook of the configuration runs. */
const commandDigest = ({ hooks }: ClusterConfig, name: string): string => sha256Hex(canonicalJson(hooks[name] ?? null));

/** Whether what takes a hook back still runs what it ran when the plan was approved. */
export const runsTheSame = (cluster: ClusterConfig, { undo, undoDigest }: RunHook): boolean =>
  cluster.hooks[undo] !== undefined && commandDigest(cluster, undo) === undoDigest;

/** Nothing of this program takes it back any more: people have to. */
export const isGivenUp = ({ problem, nextAt }: RunHook): boolean => problem !== null && nextAt === null;

/**
 * Runs what takes a hook back, once. Where another operation has run the same hook and goes on, that one takes it back: batches must not
 * start while it still needs them stopped.
 * @returns `left` where the other one does it
 */
export function takeBack(
  clusterContext: ClusterContext,
  { operationId, workflowId, hook, undo }: Pick<RunHook, 'operationId' | 'workflowId' | 'hook' | 'undo'>,
  run: Pick<ActivityRun, 'signal'>,
): Promise<'done' | 'left'> {
  const { host, cluster } = clusterContext;
  const ledger = hookLedger(clusterContext, operationId);
  return oneAtATime(clusterContext, run, async () => {
    if (!(await ledger.isPending(hook))) return 'done';
    for (const other of await openRunHooks(host.stateDir).all()) {
      if (other.cluster !== cluster.name || other.operationId === operationId || other.hook !== hook) continue;
      if (isGivenUp(other)) continue;
      const text = `hook ${hook} is not taken back yet: ${other.workflowId} has run it too, and does it at its end`;
      const body = { kind: 'journal' as const, workflowId, step: 'hooks', text };
      await record(clusterContext, { operationId }, `hook-left/${hook}/${other.operationId}`, body);
      await ledger.undone(hook);
      return 'left';
    }
    await runHook(clusterContext, undo, run.signal);
    await ledger.undone(hook);
    return 'done';
  });
}

/** Of two operations with the same hook, one must not start what the other is about to stop. */
function oneAtATime<T>(
  { host, cluster }: ClusterContext,
  { signal }: Pick<ActivityRun, 'signal'>,
  run: () => Promise<T>,
): Promise<T> {
  return waitForLock(host.stateDir, `hooks-${cluster.name}`, run, { signal, timeoutMs: LOCK_TIMEOUT_MS });
}

async function runHook({ cluster }: ClusterContext, name: string, signal: AbortSignal): Promise<void> {
  const hook: HookConfig | undefined = cluster.hooks[name];
  if (!hook) throw notOfThePlan(name);
  await runProgram(hook.argv, { timeoutMs: hook.timeoutSeconds * 1000, signal, leavesProcesses: true });
}

function notOfThePlan(hook: string): RepriseError {
  return new RepriseError('plan-stale', `hook "${hook}" is not part of the plan`);
}

/** Hooks begun and taken back, counted: after a Reset one may be begun again, and is taken back again. */
export function hookLedger({ host }: ClusterContext, operationId: string) {
  const state = openHostState(host.stateDir);
  const begun = (hook: string, count: number): string => `hook ${hook} ${count}`;
  const undone = (hook: string, count: number): string => `undo of hook ${hook} ${count}`;
  const isDone = async (name: string): Promise<boolean> => (await state.onceDone(operationId, name)) !== null;
  const timesBegun = async (hook: string): Promise<number> => {
    let count = 0;
    while (await isDone(begun(hook, count + 1))) count += 1;
    return count;
  };
  const isPending = async (hook: string): Promise<boolean> => {
    const count = await timesBegun(hook);
    return count > 0 && !(await isDone(undone(hook, count)));
  };
  return {
    isPending,
    wasBegun: async (hook: string): Promise<boolean> => (await timesBegun(hook)) > 0,
    async begin(hook: string): Promise<void> {
      if (await isPending(hook)) return;
      await state.recordDone(operationId, begun(hook, (await timesBegun(hook)) + 1), null);
    },
    async undone(hook: string): Promise<void> {
      if (await isPending(hook)) await state.recordDone(operationId, undone(hook, await timesBegun(hook)), null);
      await openRunHooks(host.stateDir).remove(operationId, hook);
    },
  };
}
