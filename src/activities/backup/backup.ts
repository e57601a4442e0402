import { setTimeout as sleep } from 'node:timers/promises';
import { type FailedPart, withoutContents } from '../../domain/backup/backup.js';
import { isRetryable, RepriseError } from '../../domain/errors.js';
import { policyClaim } from '../../domain/operation/locks.js';
import type { ClusterConfig, PolicyConfig } from '../../domain/config.js';
import type { BackupOrder } from '../../domain/operation/orders.js';
import { backupOrder } from '../../domain/operation/orders.js';
import type { MadeBackup } from '../../engines/engine.js';
import { withMaintenance } from '../../postgres/connection/with-client.js';
import {
  absentDatabases,
  absentDatabaseText,
  decisionStatements,
  dropStatement,
  invalidDatabases,
  invalidDatabaseText,
  preparedTransactions,
} from '../../postgres/server/databases.js';
import { waitForLock, withHostLock } from '../../process/jobs/file-lock.js';
import type { JobLock } from '../../process/jobs/jobs.js';
import { endJobsOf } from '../../process/jobs/supervisor.js';
import { type HostState, openHostState } from '../../records/host-state.js';
import { type ActivityRun, withOrder, wrapActivity } from '../activity-wrapper.js';
import { claimOperation } from '../approval/own-operation.js';
import type { BackupStep, HostActivities } from '../api.js';
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
import type { HostDependencies } from '../dependencies.js';
import { teller } from '../told.js';
import { requireGrant } from '../lock-grant.js';
import { quarantine } from '../recovery/damaged-backup.js';
import { requireToolRepository, unrecordedRepositories } from '../used-repository.js';
import { withConfiguration } from './configuration.js';

type BackupActivities = Pick<
  HostActivities,
  'preflightBackup' | 'runBackup' | 'readBackups' | 'recordSkipped' | 'recordFailed'
>;

/** Making backups: each step finds what an earlier attempt of the same operation did. */
export function backupActivities(deps: HostDependencies): BackupActivities {
  return {
    preflightBackup: wrapActivity(
      'preflightBackup',
      withOrder(backupOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        const policy = policyOf(clusterContext, step.order.policy);
        const notes = await engineFor(clusterContext, policy).preflightBackup(
          await backupContext(clusterContext, step, run),
        );
        return [...notes, ...(await databaseNotes(clusterContext.cluster))];
      }),
    ),
    runBackup: wrapActivity(
      'runBackup',
      withOrder(backupOrder, async (step, run) => {
        const clusterContext = await openClusterContext(deps, step.cluster);
        await claimOperation(clusterContext, step);
        await requireGrant(clusterContext, step, policyClaim('backup', policyOf(clusterContext, step.order.policy)));
        const { made, failed, later } = await makeBackup(clusterContext, step, run);
        const ids = made.map(({ id }) => id);
        if (later !== undefined) return { made: ids, failed: [], later };
        if (failed.length === 0) return ids;
        return { made: ids, failed: failed.map(({ error: _error, ...part }) => part) };
      }),
    ),
    readBackups: wrapActivity('readBackups', async ({ cluster, backupIds }, run) => {
      const backups = await currentBackups(await openClusterContext(deps, cluster), run);
      return backups.filter((backup) => backupIds.includes(backup.id)).map(withoutContents);
    }),
    recordSkipped: wrapActivity('recordSkipped', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await claimOperation(clusterContext, step);
      await record(
        clusterContext,
        step,
        'skipped',
        {
          kind: 'backup-skipped',
          policy: step.policy,
          reason: step.reason,
        },
        teller(),
      );
    }),
    recordFailed: wrapActivity('recordFailed', async (step, run) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await claimOperation(clusterContext, step);
      await record(
        clusterContext,
        step,
        'failed',
        {
          kind: 'backup-failed',
          policy: step.policy,
          code: step.code,
          reason: step.reason,
        },
        teller(),
      );
      if (step.code === 'job-cancelled') await abandonBackup(clusterContext, step, run);
    }),
  };
}

/**
 * The second chance after a cancellation that no attempt has heard of: its worker was gone, or was given up for dead, or the next
 * attempt was waited for. An attempt that is still at it ends when its next heartbeat is refused, and is waited for.
 */
async function abandonBackup(
  clusterContext: ClusterContext,
  { operationId, policy: name }: Pick<BackupStep, 'operationId'> & { readonly policy: string },
  run: ActivityRun,
): Promise<void> {
  const policy = policyOf(clusterContext, name);
  const { stateDir } = clusterContext.host;
  const abandon = async (): Promise<void> => {
    await endJobsOf(stateDir, operationId);
    const started = await openHostState(stateDir).onceDone<string>(operationId, 'start');
    const context = await engineContext(clusterContext, policy, run, operationId, []);
    await engineFor(clusterContext, policy).abandonBackup?.(context, started?.result ?? null);
  };
  await waitForLock(stateDir, attemptsOf(policy), abandon, { signal: run.signal, timeoutMs: ATTEMPT_ENDS_MS });
}

/** Held by every attempt at a backup of a policy while it works. */
const attemptsOf = ({ cluster, name }: PolicyConfig): string => `attempts-${cluster}-${name}`;
const ATTEMPT_ENDS_MS = 120_000;

async function backupContext(
  clusterContext: ClusterContext,
  step: BackupStep,
  run: ActivityRun,
  locks = clusterLocks.backup(clusterContext.cluster.name, step.order.policy),
) {
  const policy = policyOf(clusterContext, step.order.policy);
  await requireToolRepository(clusterContext, policy, run, true);
  return engineContext(clusterContext, policy, run, step.operationId, locks, { retry: step.retry });
}

/** What a backup holds nothing of, whatever its engine: databases nobody can connect to, transactions that are prepared. */
async function databaseNotes({ connection, databases }: ClusterConfig): Promise<readonly string[]> {
  return withMaintenance(connection, async (client) => [
    ...(await invalidDatabases(client)).map(
      (name) => `${invalidDatabaseText(name)}; it is skipped: drop it with ${dropStatement(name)}`,
    ),
    ...(await absentDatabases(client, databases)).map((name) => absentDatabaseText(name)),
    ...(await preparedTransactions(client)).map(
      ({ gid, database }) =>
        `transaction ${JSON.stringify(gid)} in database ${JSON.stringify(database)} is prepared: until ${decisionStatements({ gid })}, no backup holds its changes as committed, and what it has locked cannot be counted`,
    ),
  ]);
}

/** What a backup run came to. */
interface BackupRun {
  readonly made: readonly MadeBackup[];
  /** Databases that have none, for a reason that another attempt would only meet again. */
  readonly failed: readonly (FailedPart & { readonly error: RepriseError })[];
  /** Why another attempt may have more, where the step asked to be told so. */
  readonly later?: string;
}

/**
 * Makes and records the backups of a policy; the record is written last, so that nothing partial is ever listed. Each database
 * is for itself: what fails of one is recorded beside the backups of the others.
 * @throws RepriseError the first failure, where no backup was made, or where another attempt may have more and the step is not `partly`
 */
export async function makeBackup(
  clusterContext: ClusterContext,
  step: BackupStep,
  run: ActivityRun,
  locks?: readonly JobLock[],
): Promise<BackupRun> {
  const engine = engineFor(clusterContext, policyOf(clusterContext, step.order.policy));
  const startedAt = await startOf(clusterContext, step);
  const type = engine.capabilities.types.includes('incr') ? await typeOf(clusterContext, step, run) : step.order.type;
  const failures: (readonly [database: string, error: RepriseError])[] = [];
  const context = await backupContext(clusterContext, step, run, locks);
  const backups = await withHostLock(context.host.stateDir, attemptsOf(context.policy), 'shared', () =>
    engine.backup(context, {
      ...{ type, startedAt },
      leaveOut: (database, error) => void failures.push([database, error]),
    }),
  );
  const made: MadeBackup[] = [];
  for (const { refused: _refused, ...backup } of backups)
    made.push(await withConfiguration(clusterContext, step.order.policy, backup));
  for (const backup of made)
    await record(clusterContext, step, `backup/${backup.id}`, { kind: 'backup', backup }, step.requester);
  for (const { id, refused } of backups)
    if (refused !== undefined) {
      await quarantine(clusterContext, step, id, refused.message);
      throw refused;
    }
  for (const body of await unrecordedRepositories(clusterContext, policyOf(clusterContext, step.order.policy), run))
    await record(clusterContext, step, `repository/${body.repository}`, body);
  const passing = failures.find(([, error]) => isRetryable(error));
  if (passing !== undefined) {
    if (step.partly !== true || made.length === 0) throw passing[1];
    return { made, failed: [], later: `database ${JSON.stringify(passing[0])}: ${passing[1].message}` };
  }
  const failed = failures.map(([database, error]) => {
    const { code, message: reason } = error;
    return { database, backupId: null, code, reason, error };
  });
  for (const { database, code, reason } of failed)
    await record(
      clusterContext,
      step,
      `failed/${database}`,
      {
        kind: 'backup-failed',
        policy: step.order.policy,
        code,
        reason: `database ${JSON.stringify(database)}: ${reason}`,
      },
      step.requester,
    );
  return { made, failed };
}

/**
 * What rests on a damaged backup is damaged too: after a quarantine the next one is a full one, in every attempt.
 * @throws RepriseError `no-usable-backup` where one is asked for that would rest on it
 */
async function typeOf(
  clusterContext: ClusterContext,
  { operationId, order: { policy: name, type: asked } }: BackupStep,
  run: ActivityRun,
): Promise<BackupOrder['type']> {
  const state = openHostState(clusterContext.host.stateDir);
  const earlier = await state.onceDone<'auto' | 'full'>(operationId, 'type');
  // Also where another version asks for it: jobs may have begun with the earlier one.
  if (earlier) return earlier.result;
  if (asked === 'full') return asked;
  const backups = (await currentBackups(clusterContext, run, [policyOf(clusterContext, name)])).filter(
    ({ policy }) => policy === name,
  );
  const lastFull = backups.findLastIndex(({ type, status }) => type === 'full' && status !== 'missing');
  const damaged = backups.slice(Math.max(0, lastFull)).find(({ status }) => status === 'quarantined');
  if (asked !== 'auto') {
    if (damaged === undefined) return asked;
    throw new RepriseError(
      'no-usable-backup',
      `a backup of type ${asked} would depend on ${damaged.id}, which is damaged (quarantined)`,
      `reprise backup run ${clusterContext.cluster.name} --policy ${name} --type full; the next ones depend on that one`,
    );
  }
  const type = damaged === undefined ? 'auto' : 'full';
  await state.recordDone(operationId, 'type', type);
  return type;
}

/**
 * The first instant that any attempt named: after a Reset workflows name a later one, and the files would not be found.
 * Backups are named by their second: where another operation has that second, as the backups before and after a
 * quick recovery may, this one waits for the next.
 */
async function startOf(clusterContext: ClusterContext, { operationId, startedAt }: BackupStep): Promise<string> {
  const state = openHostState(clusterContext.host.stateDir);
  for (let instant = Date.parse(startedAt); ; instant += 1000) {
    const earlier = await state.onceDone<string>(operationId, 'start');
    if (earlier) return earlier.result;
    const named = new Date(instant).toISOString();
    if (await isFirst(state, clusterContext.cluster.name, named, operationId))
      await state.recordDone(operationId, 'start', named);
    else await sleep(1000);
  }
}

async function isFirst(state: HostState, cluster: string, instant: string, operationId: string): Promise<boolean> {
  const [names, second] = [`starts-${cluster}`, instant.slice(0, 'YYYY-MM-DDTHH:MM:SS'.length).replaceAll(':', '')];
  await state.recordDone(names, second, operationId);
  return (await state.onceDone<string>(names, second))?.result === operationId;
}
