import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import type { ObservedColdFiles } from '../../domain/plan/thaw.js';
import type { ColdObject, WritableStorage } from '../../storage/storage.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities } from '../api.js';
import { knownPlan, recoveryPlan, requireApproved } from '../approval/authorize.js';
import { repositoryOf } from '../config-lookup.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import {
  type ClusterContext,
  currentBackups,
  engineFor,
  openClusterContext,
  policyOf,
  readContext,
  record,
  storageOf,
} from '../cluster-context.js';

/** Asking for files that are in a cold class, and looking whether they can be read. */
export function thawingActivities(deps: HostDependencies): Pick<HostActivities, 'requestThaw' | 'lookAtThaw'> {
  return {
    requestThaw: wrapActivity('requestThaw', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { binding } = await requireApproved(clusterContext, step);
      const { thaw } = binding;
      if (thaw === undefined) return;
      const policy = policyOf(clusterContext, binding.policy);
      const { storage, keys } = await filesOf(clusterContext, policy, binding.backups, run, step.operationId);
      await storage.requestThaw?.(keys, thaw.tier, thaw.days);
      const text = `requested the thaw of ${keys.length} files, tier ${thaw.tier}, readable for ${thaw.days} days`;
      await record(clusterContext, step, `journal/thaw/${step.plan}`, {
        kind: 'journal',
        workflowId: step.workflowId,
        step: 'thaw',
        text,
      });
    }),
    lookAtThaw: wrapActivity('lookAtThaw', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { binding } = recoveryPlan(await knownPlan(openHostState(clusterContext.host.stateDir), step.plan));
      const policy = policyOf(clusterContext, binding.policy);
      const { cold } = await coldFiles(clusterContext, policy, binding.backups, run, step.operationId);
      return { objects: cold.length, bytes: sum(cold) };
    }),
  };
}

/** Files of these backups, chains included, that cannot be read before they are thawed. */
export async function observeColdFiles(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  run: ActivityRun,
  operationId: string,
): Promise<ObservedColdFiles> {
  let notSeen: string | null = null;
  const { storage, cold } = await coldFiles(clusterContext, policy, backups, run, operationId).catch(
    (error: unknown) => {
      // Our own look at the storage of another tool: where it fails, the tool itself may still succeed.
      if (engineFor(clusterContext, policy).toolStore === undefined || run.signal.aborted) throw error;
      notSeen = (error as Error).message;
      return { storage: storageOf(clusterContext, policy), cold: [] };
    },
  );
  return {
    files: cold.map(({ storageClass, sizeBytes }) => ({ storageClass, sizeBytes })),
    defaults: storage.thaw ?? { tier: 'Standard', days: 7 },
    prices: repositoryOf(clusterContext.deps.config, policy.repository).prices,
    notSeen,
  };
}

async function coldFiles(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  run: ActivityRun,
  operationId: string,
): Promise<{ storage: WritableStorage; cold: readonly ColdObject[] }> {
  const { storage, keys } = await filesOf(clusterContext, policy, backups, run, operationId);
  return { storage, cold: (await storage.coldObjects?.(keys)) ?? [] };
}

/** Keys of what the recovery will read and may have to be thawed, chains included, and the storage that has them. */
async function filesOf(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  run: ActivityRun,
  operationId: string,
): Promise<{ storage: WritableStorage; keys: readonly string[] }> {
  const { storedFiles, toolStore } = engineFor(clusterContext, policy);
  const context = await readContext(clusterContext, policy, run, operationId);
  const known = await currentBackups(clusterContext, run, [policy]);
  const labels = [
    ...new Set(
      backups.flatMap(({ label }) => [label, ...(known.find((backup) => backup.label === label)?.dependsOn ?? [])]),
    ),
  ];
  const described = (await toolStore?.describe(context)) ?? null;
  const own = described === null ? null : clusterContext.deps.openDescribed(described);
  const filesOfOne = async (label: string): Promise<readonly string[]> => {
    if (toolStore === undefined || own === null) return (await storedFiles?.(context, label)) ?? [];
    return toolStore.coldFiles(context, own, {
      label,
      walStart: known.find((backup) => backup.label === label)?.wal?.start ?? null,
    });
  };
  const keys = await Promise.all(labels.map(filesOfOne));
  return { storage: own ?? storageOf(clusterContext, policy), keys: [...new Set(keys.flat())] };
}

function sum(objects: readonly ColdObject[]): number {
  return objects.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
}
