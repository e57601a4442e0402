import { type Workflow, makeContinueAsNewFunc, workflowInfo } from '@temporalio/workflow';

/** A run whose build was pinned by a person is told of the newer one again in each run: it must not begin one after another. */
const LEAST_RUN_MS = 10 * 60_000;

/** Whether a workflow that never ends begins its next run now: its history is long, or a newer build runs workflows. */
export function isNewRunDue(): boolean {
  const { continueAsNewSuggested, targetWorkerDeploymentVersionChanged, runStartTime } = workflowInfo();
  return (
    continueAsNewSuggested ||
    (targetWorkerDeploymentVersionChanged && Date.now() - runStartTime.getTime() > LEAST_RUN_MS)
  );
}

/** Begins the next run, on the current build: within a run a workflow stays with the build that began it. */
export function continueOnCurrentBuild<W extends Workflow>(...args: Parameters<W>): Promise<never> {
  return makeContinueAsNewFunc<W>({ initialVersioningBehavior: 'AUTO_UPGRADE' })(...args);
}
