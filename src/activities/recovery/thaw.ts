import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { thawPrice } from '../../domain/storage/storage-usage.js';
import { thawTiers } from '../../domain/plan/thaw.js';
import type { ObservedThaw, PlannedThaw } from '../../domain/plan/thaw.js';
import type { ThawTier } from '../../domain/storage/storage-classes.js';
import type { ColdObject, WritableStorage } from '../../storage/storage.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities } from '../api.js';
import { knownPlan, recoveryPlan, requireApproved } from './approvals.js';
import { repositoryOf } from '../control/repositories.js';
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

/** Asking for files that lie in a cold class, and looking whether they can be read (F13). */
export function thawingActivities(deps: HostDependencies): Pick<HostActivities, 'requestThaw' | 'lookAtThaw'> {
  return {
    requestThaw: wrapActivity('requestThaw', async (step, run) => {
      const session = await openClusterContext(deps, step.cluster);
      const { binding } = await requireApproved(session, step);
      const { thaw } = binding;
      if (thaw === undefined) return;
      const policy = policyOf(session, binding.policy);
      const { storage, keys } = await filesOf(session, policy, binding.backups, run, step.operationId);
      await storage.requestThaw?.(keys, thaw.tier, thaw.days);
      const text = `asked for the thaw of ${keys.length} files, tier ${thaw.tier}, readable for ${thaw.days} days`;
      await record(session, step, `journal/thaw/${step.plan}`, {
        kind: 'journal',
        workflowId: step.workflowId,
        step: 'thaw',
        text,
      });
    }),
    lookAtThaw: wrapActivity('lookAtThaw', async (step, run) => {
      const session = await openClusterContext(deps, step.cluster);
      const { binding } = recoveryPlan(await knownPlan(openHostState(session.host.stateDir), step.plan));
      const policy = policyOf(session, binding.policy);
      const { cold } = await coldFiles(session, policy, binding.backups, run, step.operationId);
      return { objects: cold.length, bytes: sum(cold) };
    }),
  };
}

interface ThawRequest {
  readonly tier?: ThawTier | undefined;
  readonly approved?: PlannedThaw | undefined;
  readonly warn?: (text: string) => void;
}

/**
 * What has to be thawed for a plan; null where everything can be read. `approved`: a thaw that was approved already, and
 * stays what the plan says when its files have become readable. `warn` is told where nobody could look.
 *
 * @throws RepriseError `usage` for a tier that the class does not know
 */
export async function thawOf(
  session: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  { tier: wanted, approved, warn }: ThawRequest,
  run: ActivityRun,
  operationId: string,
): Promise<{ planned: PlannedThaw; observed: ObservedThaw | null } | null> {
  const { storage, cold } = await coldFiles(session, policy, backups, run, operationId).catch((error: unknown) => {
    // Our own look at another tool's storage: where it fails, the tool may be better off.
    if (engineFor(session, policy).toolStore === undefined || run.signal.aborted) throw error;
    warn?.(
      `whether files of the backup lie in a storage class that has to be thawed could not be looked at: ${(error as Error).message}`,
    );
    return { storage: storageOf(session, policy), cold: [] };
  });
  if (cold.length === 0) return approved === undefined ? null : { planned: approved, observed: null };
  const classes = [...new Set(cold.map(({ storageClass }) => storageClass))].sort();
  const possible = thawTiers(classes);
  const defaults = storage.thaw ?? { tier: 'Standard', days: 7 };
  const tier = wanted ?? defaults.tier;
  if (!possible.some((one) => one.tier === tier)) {
    throw new RepriseError(
      'usage',
      `${classes.join(', ')} cannot be thawed with the tier ${tier}`,
      `name one of them: --thaw-tier ${possible.map((one) => one.tier).join(' | ')}`,
    );
  }
  const { prices } = repositoryOf(session.deps.config, policy.repository);
  const priceOf = (one: ThawTier): number | null =>
    cold.reduce<number | null>((price, { storageClass, sizeBytes }) => {
      const more = thawPrice(prices, storageClass, one, sizeBytes);
      return price === null || more === null ? null : price + more;
    }, 0);
  const choices = possible.map((one) => ({ ...one, price: priceOf(one.tier) }));
  return {
    planned: { tier, days: defaults.days },
    observed: {
      objects: cold.length,
      bytes: sum(cold),
      storageClasses: classes,
      choices,
      currency: prices?.currency ?? null,
    },
  };
}

async function coldFiles(
  session: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  run: ActivityRun,
  operationId: string,
): Promise<{ storage: WritableStorage; cold: readonly ColdObject[] }> {
  const { storage, keys } = await filesOf(session, policy, backups, run, operationId);
  return { storage, cold: (await storage.coldObjects?.(keys)) ?? [] };
}

/** Keys of what the recovery will read and may have to be thawed, chains included, and the storage that has them. */
async function filesOf(
  session: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Pick<Backup, 'label'>[],
  run: ActivityRun,
  operationId: string,
): Promise<{ storage: WritableStorage; keys: readonly string[] }> {
  const { storedFiles, toolStore } = engineFor(session, policy);
  const context = await readContext(session, policy, run, operationId);
  const known = await currentBackups(session, run, [policy]);
  const labels = [
    ...new Set(
      backups.flatMap(({ label }) => [label, ...(known.find((backup) => backup.label === label)?.dependsOn ?? [])]),
    ),
  ];
  const described = (await toolStore?.describe(context)) ?? null;
  const own = described === null ? null : session.deps.openDescribed(described);
  const filesOfOne = async (label: string): Promise<readonly string[]> => {
    if (toolStore === undefined || own === null) return (await storedFiles?.(context, label)) ?? [];
    return toolStore.coldFiles(context, own, {
      label,
      walStart: known.find((backup) => backup.label === label)?.wal?.start ?? null,
    });
  };
  const keys = await Promise.all(labels.map(filesOfOne));
  return { storage: own ?? storageOf(session, policy), keys: [...new Set(keys.flat())] };
}

function sum(objects: readonly ColdObject[]): number {
  return objects.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
}
