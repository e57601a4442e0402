import { Context } from '@temporalio/activity';
import { tsToMs } from '@temporalio/common/lib/time.js';
import type { Backup } from '../../domain/backup/backup.js';
import { orphansAmong } from '../../domain/backup/previous-names.js';
import type { PolicyConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import type { RotationOrder } from '../../domain/operation/orders.js';
import { policyClaim } from '../../domain/operation/locks.js';
import { rotationOrder } from '../../domain/operation/orders.js';
import { boundedOutput, planRetention } from '../../domain/retention/retention.js';
import type { RetentionDecision, RotateOutput } from '../../domain/retention/retention.js';
import type { Kept, StillNeeded } from '../../engines/engine.js';
import { withHostLock } from '../../process/jobs/file-lock.js';
import { operationsInUse, pruneJobs } from '../../process/jobs/supervisor.js';
import { forgetUploadOrders } from '../../process/jobs/upload-order.js';
import { openHostState } from '../../records/host-state.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import { claimOperation } from '../approval/own-operation.js';
import type { HostActivities, OrderedStep, StepInput } from '../api.js';
import {
  type ClusterContext,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  readContext,
  record,
  storageOf,
} from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { requireGrant } from '../lock-grant.js';
import { sweepCluster } from '../sweep.js';
import { closedAsToldBy } from '../workflow-closed.js';
import { removeConfiguration } from './configuration.js';

const JOBS_KEPT_MS = 30 * 24 * 3600 * 1000;
/** The upload of a big backup may not touch its scratch files for days. */
const LEFTOVERS_KEPT_MS = 7 * 24 * 3600 * 1000;

export function rotatingActivities(deps: HostDependencies): Pick<HostActivities, 'rotateBackups'> {
  return {
    rotateBackups: wrapActivity(
      'rotateBackups',
      withOrder(rotationOrder, async (step, run) => {
        const ahead = await clockAhead();
        const clusterContext = await openClusterContext(deps, step.cluster);
        await claimOperation(clusterContext, step);
        await requireOwnGrant(clusterContext, step);
        // A pin that nobody holds any more would keep its backup, and all WAL from there, until the disk is full.
        await sweepCluster(clusterContext, closedAsToldBy(Context.current()));
        const rotation = await rotate(clusterContext, step, run, ahead);
        await pruneOldJobs(clusterContext, step.order.policy);
        return boundedOutput({ ...rotation, ...(await orphansOf(clusterContext)) });
      }),
    ),
  };
}

/** What retention keeps and what it removes, with reasons; reads only. */
export async function planRotation(
  clusterContext: ClusterContext,
  policyName: string,
  run: ActivityRun,
  aheadMs: number | null = null,
  failed: readonly string[] = [],
) {
  const policy = policyOf(clusterContext, policyName);
  const backups = (await currentBackups(clusterContext, run, [policy])).filter(
    (backup) => backup.policy === policy.name,
  );
  const pinned = (await clusterContext.catalogue.state()).pinnedBackups();
  const request = { backups, retention: policy.retention, now: new Date(), aheadMs, pinned, failed };
  const plan = planRetention(request);
  // Asked only for backups that would be removed: an object lock costs a request for each file.
  const removable = backups.filter(({ id }) => plan.remove.some((one) => one.id === id));
  const locked = await objectLocks(clusterContext, policy, removable, run);
  return { backups, ...(locked.size === 0 ? plan : planRetention({ ...request, locked })) };
}

/** What a rotation of this moment would keep and remove; reads only. */
export async function previewRotation(
  clusterContext: ClusterContext,
  policyName: string,
  run: ActivityRun,
): Promise<Pick<RotateOutput, 'keep' | 'remove' | 'refused'>> {
  const { backups, keep, remove, refused } = await planRotation(clusterContext, policyName, run);
  const policy = policyOf(clusterContext, policyName);
  const { keptBehind } = engineFor(clusterContext, policy);
  if (refused || remove.length === 0 || keptBehind === undefined) return { keep, remove, refused };
  const context = await readContext(clusterContext, policy, run, 'dry-run');
  const labels = backups.filter(({ id }) => remove.some((one) => one.id === id)).map(({ label }) => label);
  const keeps = await keptBehind(context, labels, () => stillNeeded(clusterContext, backups));
  return { refused, ...withKept({ keep, remove }, backups, keeps) };
}

/** What the engine keeps of what retention would remove. */
function withKept(
  { keep, remove }: Pick<RotateOutput, 'keep' | 'remove'>,
  backups: readonly Backup[],
  keeps: Kept | null,
): Pick<RotateOutput, 'keep' | 'remove'> {
  const isKept = (id: string): boolean =>
    keeps?.labels.includes(backups.find((backup) => backup.id === id)?.label ?? '') === true;
  return {
    keep: [
      ...keep,
      ...remove.filter(({ id }) => isKept(id)).map(({ id }) => ({ id, reason: keeps?.because ?? 'in use' })),
    ],
    remove: remove.filter(({ id }) => !isKept(id)),
  };
}

/** Told by each rotation: what is left behind by a policy that was renamed or removed fills the disk unseen. */
export async function orphansOf({ cluster, catalogue }: ClusterContext): Promise<Pick<RotateOutput, 'orphans'>> {
  const orphans = orphansAmong(cluster, (await catalogue.state()).backups);
  return orphans.length === 0 ? {} : { orphans };
}

/** A backup rotates under its own lock. */
async function requireOwnGrant(clusterContext: ClusterContext, step: OrderedStep<RotationOrder>): Promise<void> {
  const kind = step.lock?.kind === 'backup' ? 'backup' : 'rotation';
  await requireGrant(clusterContext, step, policyClaim(kind, policyOf(clusterContext, step.order.policy)));
}

/** Removes what retention does not keep; pins, holds and the cluster lock are checked again right before each removal. */
async function rotate(
  clusterContext: ClusterContext,
  step: OrderedStep<RotationOrder>,
  run: ActivityRun,
  aheadMs: number | null,
): Promise<RotateOutput> {
  const { policy: name, failed } = step.order;
  const { backups, keep, remove, refused } = await planRotation(clusterContext, name, run, aheadMs, failed);

  const { done, begun } = await earlierRemovals(clusterContext, step, backups);
  const toRemove = [...begun, ...(refused ? [] : remove)];
  const removed = done.map(({ id }) => id);
  const output = {
    keep: keep.filter(({ id }) => !begun.some((one) => one.id === id)),
    remove: [...done, ...toRemove],
    removed,
    refused,
  };
  if (toRemove.length === 0) return output;

  const policy = policyOf(clusterContext, step.order.policy);
  const engine = engineFor(clusterContext, policy);
  const context = await engineContext(clusterContext, policy, run, step.operationId, []);
  const selected = toRemove
    .map(({ id }) => backups.find((backup) => backup.id === id))
    .filter((backup) => backup !== undefined);
  const needed = () => stillNeeded(clusterContext, backups);
  const plan = await engine.planRemoval(
    context,
    selected.map(({ label }) => label),
    needed,
  );
  const unexpected = plan.labels.filter((label) => !selected.some((backup) => backup.label === label));
  if (unexpected.length > 0) {
    throw new RepriseError(
      'rotation-refused',
      `removing ${selected.map(({ id }) => id).join(', ')} would also remove ${unexpected.join(', ')}`,
      'keep them all, or release the backup that needs the chain',
    );
  }
  const decided = withKept(output, selected, plan.keeps ?? null);
  const { stateDir } = clusterContext.host;
  const ordered = dependantsFirst(selected.filter(({ id }) => decided.remove.some((one) => one.id === id)));
  for (const batch of engine.capabilities.removesTogether ? [ordered] : ordered.map((backup) => [backup])) {
    const removedNow = await withHostLock(
      stateDir,
      `policy-${clusterContext.cluster.name}-${policy.name}`,
      'exclusive',
      async () => {
        // Checked again right before: since the plan a recovery may have pinned one, or a person may hold it.
        await requireOwnGrant(clusterContext, step);
        const { labels } = await needed();
        const unpinned = batch
          .filter(({ label }) => !labels.has(label))
          .map((backup) => ({ backup, reason: toRemove.find(({ id }) => id === backup.id)?.reason ?? 'retention' }));
        for (const { backup, reason } of unpinned)
          await openHostState(stateDir).recordDone(step.operationId, removalStepName(backup.id), { reason });
        if (unpinned.length > 0)
          await engine.remove(
            context,
            unpinned.map(({ backup }) => backup.label),
            needed,
          );
        return unpinned;
      },
    );
    for (const { backup, reason } of removedNow) {
      await removeConfiguration(clusterContext, policy, backup.label);
      await record(clusterContext, step, `removed/${backup.id}`, { kind: 'removed', backupId: backup.id, reason });
      removed.push(backup.id);
    }
  }
  return { ...output, ...decided };
}

/** Recorded before a removal begins, so that the next attempt can tell a removal that it has to finish from a lost backup. */
const removalStepName = (backupId: string): string => `removal of ${backupId}`;

/** What earlier attempts of this operation removed, and what they had begun to remove when their worker died. */
async function earlierRemovals(
  clusterContext: ClusterContext,
  { operationId }: StepInput,
  backups: readonly Backup[],
): Promise<{ done: readonly RetentionDecision[]; begun: readonly RetentionDecision[] }> {
  const own = (await clusterContext.catalogue.records()).filter((entry) => entry.operationId === operationId);
  const done = own.flatMap((entry) => (entry.kind === 'removed' ? [{ id: entry.backupId, reason: entry.reason }] : []));
  const begun: RetentionDecision[] = [];
  for (const { id } of backups.filter(({ status }) => status === 'missing')) {
    const recorded = await openHostState(clusterContext.host.stateDir).onceDone<{ reason: string }>(
      operationId,
      removalStepName(id),
    );
    if (recorded) begun.push({ id, reason: recorded.result.reason });
  }
  return { done, begun };
}

/** Records of jobs, and what an engine left on this host, of operations long over; one that still holds a pin is under way, however old. */
async function pruneOldJobs(clusterContext: ClusterContext, policy: string): Promise<void> {
  const { catalogue, host } = clusterContext;
  const { pins } = await catalogue.state();
  const inUse = new Set([...pins.keys(), ...(await operationsInUse(host.stateDir, LEFTOVERS_KEPT_MS))]);
  await engineFor(clusterContext, policyOf(clusterContext, policy)).removeLeftovers?.(host, inUse, LEFTOVERS_KEPT_MS);
  await pruneJobs(host.stateDir, JOBS_KEPT_MS, (operationId) => !pins.has(operationId));
  await forgetUploadOrders(host.stateDir);
}

function dependantsFirst(backups: readonly Backup[]): readonly Backup[] {
  return [...backups].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** What pins and holds of this moment forbid to remove of a policy's backups: with what they rest on, and WAL of a recovery. */
export async function stillNeeded(
  { catalogue }: Pick<ClusterContext, 'catalogue'>,
  backups: readonly Backup[],
): Promise<StillNeeded> {
  const state = await catalogue.state();
  const pinned = state.pinnedBackups();
  const held = new Set(state.backups.filter(({ heldUntil }) => heldUntil !== null).map(({ id }) => id));
  const needed = backups.filter(({ id }) => pinned.has(id) || held.has(id));
  const ofPolicy = new Set(backups.map(({ id }) => id));
  const wal = [...state.pins.values()].flatMap(({ backupIds, walFrom }) =>
    walFrom !== null && backupIds.some((id) => ofPolicy.has(id)) ? [walFrom] : [],
  );
  return {
    labels: new Set(needed.flatMap(({ label, dependsOn }) => [label, ...(dependsOn ?? [])])),
    walFrom: wal.sort()[0] ?? null,
  };
}

/**
 * Until when the bucket itself keeps backups, by id: the latest object lock on any of a backup's own files. Nothing
 * where the storage knows no locks; WAL that others need too does not count.
 * @returns UTC ISO-8601 instants that are still to come
 */
export async function objectLocks(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  backups: readonly Backup[],
  run: ActivityRun,
): Promise<ReadonlyMap<string, string>> {
  const { ownFiles } = engineFor(clusterContext, policy);
  const storage = storageOf(clusterContext, policy);
  const locks = new Map<string, string>();
  if (ownFiles === undefined || storage.capabilities.localPath) return locks;
  const context = await readContext(clusterContext, policy, run, 'locks');
  const now = context.now().toISOString();
  for (const { id, label } of backups) {
    for (const key of await ownFiles(context, label)) {
      const until = (await storage.stat(key))?.lockedUntil;
      if (until !== undefined && until > now && until > (locks.get(id) ?? '')) locks.set(id, until);
    }
  }
  return locks;
}

/**
 * By how many milliseconds this host's clock is ahead of Temporal's (behind: negative): the server notes when it hands
 * an attempt to a worker. Null where it cannot be told, as in an activity without a workflow. Called first thing in an
 * activity: what passes before counts as a difference.
 * @throws RepriseError `temporal-unreachable`
 */
export async function clockAhead(): Promise<number | null> {
  const here = Date.now();
  const { info, client } = Context.current();
  if (!info.workflowExecution) return null;
  const { workflowId, runId } = info.workflowExecution;
  const { raw } = await client.workflow
    .getHandle(workflowId, runId)
    .describe()
    .catch((error: unknown) => {
      throw new RepriseError(
        'temporal-unreachable',
        `Temporal did not tell its time: ${String(error)}`,
        'the step is retried',
      );
    });
  const started = raw.pendingActivities?.find(({ activityId }) => activityId === info.activityId)?.lastStartedTime;
  return started ? here - tsToMs(started) : null;
}
