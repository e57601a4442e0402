import { setTimeout as sleep } from 'node:timers/promises';
import { RepriseError } from '../../domain/errors.js';
import type { BackupOrder, RotationOrder, VerificationOrder } from '../../domain/operation/orders.js';
import { backupOrder, rotationOrder, verificationOrder } from '../../domain/operation/orders.js';
import { planRetention } from '../../domain/retention/retention.js';
import type { Backup } from '../../domain/backup/backup.js';
import type { RotateOutput, RetentionDecision } from '../../domain/retention/retention.js';
import type { MadeBackup } from '../../engines/engine.js';
import { withHostLock } from '../../process/jobs/file-lock.js';
import type { JobLock } from '../../process/jobs/jobs.js';
import { operationsInUse, pruneJobs } from '../../process/jobs/supervisor.js';
import { forgetUploadOrders } from '../../process/jobs/upload-orders.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import type { BackupStep, HostActivities, OrderedStep, StepInput } from '../api.js';
import { clockAhead } from './clock-ahead.js';
import { removeConfiguration, withConfiguration } from './configuration.js';
import { quarantine } from '../recovery/damaged-backup.js';
import type { HostDependencies } from '../dependencies.js';
import { objectLocks } from './object-locks.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import { testRestore } from './restore-test.js';
import {
  type ClusterContext,
  clusterLocks,
  currentBackups,
  engineContext,
  engineFor,
  openClusterContext,
  policyOf,
  record,
} from '../cluster-context.js';
import { stillNeeded } from './still-needed.js';

const JOBS_KEPT_MS = 30 * 24 * 3600 * 1000;
/** An upload of a big cluster may touch nothing of it for days. */
const LEFTOVERS_KEPT_MS = 7 * 24 * 3600 * 1000;

type BackupActivities = Pick<
  HostActivities,
  'preflightBackup' | 'runBackup' | 'proveBackup' | 'readBackups' | 'rotateBackups' | 'recordSkipped' | 'recordFailed'
>;

/** Backup, proof and rotation: each finds what an earlier attempt of the same operation did. */
export function backupActivities(deps: HostDependencies): BackupActivities {
  return {
    preflightBackup: wrapActivity(
      'preflightBackup',
      withOrder(backupOrder, async (step, run) => {
        const session = await openClusterContext(deps, step.cluster);
        const policy = policyOf(session, step.order.policy);
        return engineFor(session, policy).preflightBackup(await backupContext(session, step, run));
      }),
    ),
    runBackup: wrapActivity(
      'runBackup',
      withOrder(backupOrder, async (step, run) => {
        const session = await openClusterContext(deps, step.cluster);
        return (await makeBackup(session, step, run)).map((backup) => backup.id);
      }),
    ),
    proveBackup: wrapActivity(
      'proveBackup',
      withOrder(verificationOrder, async (step, run) =>
        verifyAndRecord(await openClusterContext(deps, step.cluster), step, step.order, run),
      ),
    ),
    readBackups: wrapActivity('readBackups', async ({ cluster, backupIds }, run) => {
      const backups = await currentBackups(await openClusterContext(deps, cluster), run);
      return backups.filter((backup) => backupIds.includes(backup.id)).map(withoutContents);
    }),
    rotateBackups: wrapActivity(
      'rotateBackups',
      withOrder(rotationOrder, async (step, run) => {
        const ahead = await clockAhead();
        const session = await openClusterContext(deps, step.cluster);
        const rotation = await rotate(session, step, run, ahead);
        await pruneOldJobs(session, step.order.policy);
        return rotation;
      }),
    ),
    recordSkipped: wrapActivity('recordSkipped', async (step) => {
      await record(await openClusterContext(deps, step.cluster), step, 'skipped', {
        kind: 'backup-skipped',
        policy: step.policy,
        reason: step.reason,
      });
    }),
    recordFailed: wrapActivity('recordFailed', async (step) => {
      await record(await openClusterContext(deps, step.cluster), step, 'failed', {
        kind: 'backup-failed',
        policy: step.policy,
        code: step.code,
        reason: step.reason,
      });
    }),
  };
}

async function backupContext(
  session: ClusterContext,
  step: BackupStep,
  run: ActivityRun,
  locks = clusterLocks.backup(session.cluster.name, step.order.policy),
) {
  return engineContext(session, policyOf(session, step.order.policy), run, step.operationId, locks, {
    retry: step.retry,
  });
}

/** Makes and records the backups of a policy; the record is written last, so that nothing partial is ever listed. */
export async function makeBackup(
  session: ClusterContext,
  step: BackupStep,
  run: ActivityRun,
  locks?: readonly JobLock[],
): Promise<readonly MadeBackup[]> {
  const engine = engineFor(session, policyOf(session, step.order.policy));
  const startedAt = await startOf(session, step);
  const type = engine.capabilities.incremental ? await typeOf(session, step, run) : step.order.type;
  const backups = await engine.backup(await backupContext(session, step, run, locks), { type, startedAt });
  const made: MadeBackup[] = [];
  for (const backup of backups) made.push(await withConfiguration(session, step.order.policy, backup));
  for (const backup of made)
    await record(session, step, `backup/${backup.id}`, { kind: 'backup', backup }, step.requester);
  return made;
}

/** What rests on a damaged backup is damaged too (F15): after a quarantine the next one is a full one, in every attempt. */
async function typeOf(
  session: ClusterContext,
  { operationId, order: { policy: name, type: asked } }: BackupStep,
  run: ActivityRun,
): Promise<BackupOrder['type']> {
  const state = openHostState(session.host.stateDir);
  const earlier = await state.onceDone<'auto' | 'full'>(operationId, 'type');
  // Also where another version asks for it: jobs may have begun with the earlier one.
  if (earlier) return earlier.result;
  if (asked !== 'auto') return asked;
  const backups = (await currentBackups(session, run, [policyOf(session, name)])).filter(
    ({ policy }) => policy === name,
  );
  const lastFull = backups.findLastIndex(({ type, status }) => type === 'full' && status !== 'missing');
  const type = backups.slice(Math.max(0, lastFull)).some(({ status }) => status === 'quarantined') ? 'full' : 'auto';
  await state.recordDone(operationId, 'type', type);
  return type;
}

/**
 * The first instant that any attempt named: after a Reset workflows name a later one, and the files would not be found.
 * Backups are named by their second (B1): where another operation has that second, as the backups before and after a
 * quick recovery may, this one waits for the next.
 */
async function startOf(session: ClusterContext, { operationId, startedAt }: BackupStep): Promise<string> {
  const state = openHostState(session.host.stateDir);
  for (let instant = Date.parse(startedAt); ; instant += 1000) {
    const earlier = await state.onceDone<string>(operationId, 'start');
    if (earlier) return earlier.result;
    const named = new Date(instant).toISOString();
    if (await isFirst(state, session.cluster.name, named, operationId))
      await state.recordDone(operationId, 'start', named);
    else await sleep(1000);
  }
}

async function isFirst(state: HostState, cluster: string, instant: string, operationId: string): Promise<boolean> {
  const [names, second] = [`starts-${cluster}`, instant.slice(0, 'YYYY-MM-DDTHH:MM:SS'.length).replaceAll(':', '')];
  await state.recordDone(names, second, operationId);
  return (await state.onceDone<string>(names, second))?.result === operationId;
}

/** Proves one backup and records the outcome: a proof, or a quarantine that keeps it from ever being offered. */
export async function verifyAndRecord(
  session: ClusterContext,
  step: StepInput,
  { backupId, restore }: VerificationOrder,
  run: ActivityRun,
): Promise<{ ok: boolean; detail: string }> {
  const backup = (await currentBackups(session, run)).find(({ id }) => id === backupId);
  if (!backup)
    throw new RepriseError(
      'not-found',
      `there is no backup ${backupId}`,
      `reprise backup list ${session.cluster.name}`,
    );
  if (backup.status === 'missing')
    throw new RepriseError(
      'not-found',
      `${backupId} is recorded, but its files are gone`,
      'take a new backup: reprise backup run',
    );
  const policy = policyOf(session, backup.policy);
  const context = await engineContext(session, policy, run, `${step.operationId}/prove/${backup.label}`, [], {
    retry: step.retry,
  });
  // What is being read must not be rotated away meanwhile.
  const pinned = { operationId: `${step.operationId}/prove/${backup.label}` };
  // Each attempt's own record: one found from before an `unpin` would pin nothing.
  await record(session, pinned, `pin/${Date.now()}`, {
    kind: 'pin',
    backupIds: [backupId],
    walFrom: backup.wal?.start ?? null,
  });
  try {
    const read = await engineFor(session, policy).verify(context, backup);
    const verdict = read.ok && restore ? await testRestore(session, context, backup) : read;
    if (verdict.ok) {
      const proof = {
        level: restore ? ('restored' as const) : ('verified' as const),
        at: new Date().toISOString(),
      };
      await record(session, step, `proof/${backupId}/${restore ? 'restore' : 'verify'}`, {
        kind: 'proof',
        backupId,
        proof,
        detail: verdict.detail,
      });
    } else {
      await quarantine(session, step, backupId, verdict.detail);
    }
    return { ok: verdict.ok, detail: verdict.detail };
  } finally {
    await record(session, pinned, `unpin/${Date.now()}`, { kind: 'unpin' });
  }
}

/** What retention keeps and lets go, with reasons; reads only. */
export async function planRotation(
  session: ClusterContext,
  policyName: string,
  run: ActivityRun,
  aheadMs: number | null = null,
) {
  const policy = policyOf(session, policyName);
  const backups = (await currentBackups(session, run, [policy])).filter((backup) => backup.policy === policy.name);
  const pinned = (await session.catalogue.state()).pinnedBackups();
  const request = { backups, retention: policy.retention, now: new Date(), aheadMs, pinned };
  const plan = planRetention(request);
  // Asked of those that would go only: an object lock costs a request a file.
  const goes = backups.filter(({ id }) => plan.remove.some((one) => one.id === id));
  const locked = await objectLocks(session, policy, goes, run);
  return { backups, ...(locked.size === 0 ? plan : planRetention({ ...request, locked })) };
}

/** Removes what retention lets go; each backup is looked at again right before it goes. */
async function rotate(
  session: ClusterContext,
  step: OrderedStep<RotationOrder>,
  run: ActivityRun,
  aheadMs: number | null,
): Promise<RotateOutput> {
  const { backups, keep, remove, refused } = await planRotation(session, step.order.policy, run, aheadMs);

  const { done, halfway } = await earlierRemovals(session, step, backups);
  const goes = [...halfway, ...(refused ? [] : remove)];
  const removed = done.map(({ id }) => id);
  const output = {
    keep: keep.filter(({ id }) => !halfway.some((one) => one.id === id)),
    remove: [...done, ...goes],
    removed,
    ...(refused ? { refused } : {}),
  };
  if (goes.length === 0) return output;

  const policy = policyOf(session, step.order.policy);
  const engine = engineFor(session, policy);
  const context = await engineContext(session, policy, run, step.operationId, []);
  const doomed = goes
    .map(({ id }) => backups.find((backup) => backup.id === id))
    .filter((backup) => backup !== undefined);
  const needed = () => stillNeeded(session, backups);
  const plan = await engine.planRemoval(
    context,
    doomed.map(({ label }) => label),
    needed,
  );
  const unexpected = plan.labels.filter((label) => !doomed.some((backup) => backup.label === label));
  if (unexpected.length > 0) {
    throw new RepriseError(
      'rotation-refused',
      `removing ${doomed.map(({ id }) => id).join(', ')} would also remove ${unexpected.join(', ')}`,
      'keep them all, or release what holds the chain',
    );
  }
  const { stateDir } = session.host;
  const ordered = dependantsFirst(doomed);
  for (const batch of engine.capabilities.removesTogether ? [ordered] : ordered.map((backup) => [backup])) {
    const going = await withHostLock(
      stateDir,
      `policy-${session.cluster.name}-${policy.name}`,
      'exclusive',
      async () => {
        // Looked at again right before: a recovery may have pinned one since the plan, or a person held it.
        const { labels } = await needed();
        const free = batch
          .filter(({ label }) => !labels.has(label))
          .map((backup) => ({ backup, reason: goes.find(({ id }) => id === backup.id)?.reason ?? 'retention' }));
        for (const { backup, reason } of free)
          await openHostState(stateDir).recordDone(step.operationId, removalOf(backup.id), { reason });
        if (free.length > 0)
          await engine.remove(
            context,
            free.map(({ backup }) => backup.label),
            needed,
          );
        return free;
      },
    );
    for (const { backup, reason } of going) {
      await removeConfiguration(session, policy, backup.label);
      await record(session, step, `removed/${backup.id}`, { kind: 'removed', backupId: backup.id, reason });
      removed.push(backup.id);
    }
  }
  return output;
}

/** Announced before it begins, so that the next attempt tells its own half-done work from a backup that was lost. */
const removalOf = (backupId: string): string => `removal of ${backupId}`;

/** What earlier attempts of this operation removed, and what they had begun to remove when their worker died. */
async function earlierRemovals(
  session: ClusterContext,
  { operationId }: StepInput,
  backups: readonly Backup[],
): Promise<{ done: readonly RetentionDecision[]; halfway: readonly RetentionDecision[] }> {
  const own = (await session.catalogue.records()).filter((entry) => entry.operationId === operationId);
  const done = own.flatMap((entry) => (entry.kind === 'removed' ? [{ id: entry.backupId, reason: entry.reason }] : []));
  const halfway: RetentionDecision[] = [];
  for (const { id } of backups.filter(({ status }) => status === 'missing')) {
    const begun = await openHostState(session.host.stateDir).onceDone<{ reason: string }>(operationId, removalOf(id));
    if (begun) halfway.push({ id, reason: begun.result.reason });
  }
  return { done, halfway };
}

/** Records of jobs, and what an engine left on this host, of operations long over; one that still holds a pin is under way, however old. */
async function pruneOldJobs(session: ClusterContext, policy: string): Promise<void> {
  const { catalogue, host } = session;
  const { pins } = await catalogue.state();
  const inUse = new Set([...pins.keys(), ...(await operationsInUse(host.stateDir, LEFTOVERS_KEPT_MS))]);
  await engineFor(session, policyOf(session, policy)).removeLeftovers?.(host, inUse, LEFTOVERS_KEPT_MS);
  await pruneJobs(host.stateDir, JOBS_KEPT_MS, (operationId) => !pins.has(operationId));
  await forgetUploadOrders(host.stateDir);
}

function dependantsFirst(backups: readonly Backup[]): readonly Backup[] {
  return [...backups].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** Row counts of every table stay in the records: a history has no use for them. */
export function withoutContents(backup: Backup): Backup {
  const { contents: _contents, ...rest } = backup;
  return rest;
}
