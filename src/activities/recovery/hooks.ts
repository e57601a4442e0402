import type { HookConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { undoHookOf } from '../../domain/plan/hooks.js';
import { runProgram } from '../../process/exec/run-program.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import type { HostActivities } from '../api.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { openClusterContext } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { openHookStep, underOperationLock } from './authorized-step.js';

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
      const ledger = ledgerOf(clusterContext, step.operationId);
      if (undoHookOf(binding, step.hook) !== null) await ledger.begin(step.hook);
      await runHook(clusterContext, step.hook, run);
      // Hooks that this one undoes are undone now.
      for (const hook of hooks) if (undoHookOf(binding, hook) === step.hook) await ledger.undone(hook);
    }),
    undoHook: wrapActivity('undoHook', async (step, run) => {
      const ledger = ledgerOf(await openClusterContext(deps, step.cluster), step.operationId);
      // A hook that was refused, and so never ran, is not undone.
      if (!(await ledger.isPending(step.hook))) return;
      const work = await openHookStep(deps, step, run, { takesBack: true });
      const undo = undoHookOf(work.binding, step.hook);
      if (undo === null) throw notOfThePlan(`undo of ${step.hook}`);
      await underOperationLock(work, step, async () => {
        if (!(await ledger.isPending(step.hook))) return;
        await runHook(work.clusterContext, undo, run);
        await ledger.undone(step.hook);
      });
    }),
  };
}

async function runHook({ cluster }: ClusterContext, name: string, { signal }: ActivityRun): Promise<void> {
  const hook: HookConfig | undefined = cluster.hooks[name];
  if (!hook) throw notOfThePlan(name);
  await runProgram(hook.argv, { timeoutMs: hook.timeoutSeconds * 1000, signal, leavesProcesses: true });
}

function notOfThePlan(hook: string): RepriseError {
  return new RepriseError('plan-stale', `hook "${hook}" is not part of the plan`);
}

/** Hooks begun and taken back, counted: after a Reset one may be begun again, and is taken back again. */
function ledgerOf({ host }: ClusterContext, operationId: string) {
  const state: HostState = openHostState(host.stateDir);
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
    async begin(hook: string): Promise<void> {
      if (await isPending(hook)) return;
      await state.recordDone(operationId, begun(hook, (await timesBegun(hook)) + 1), null);
    },
    async undone(hook: string): Promise<void> {
      if (await isPending(hook)) await state.recordDone(operationId, undone(hook, await timesBegun(hook)), null);
    },
  };
}
