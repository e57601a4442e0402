import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError, isRepriseError } from '../../domain/errors.js';
import { type Plan, losesOldData } from '../../domain/plan/plan.js';
import { formatTarget } from '../../domain/target/target.js';
import type { RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn, laterLsn } from '../../domain/target/wal.js';
import type { PhysicalRestore } from '../../engines/engine.js';
import { repairAllCollations } from '../../postgres/content/collation.js';
import { attachParts, detachWal } from '../../postgres/old-data/outside-parts.js';
import {
  promoteServer,
  recoverToTarget,
  resetArchiveSettings,
  resetRecoverySettings,
} from '../../postgres/recovery/recovery.js';
import { type ReplayProgress, recoveryProgress } from '../../postgres/recovery/recovery-progress.js';
import { rearmArchiving, restoreArchiving } from '../../postgres/wal/archiving.js';
import { waitForEndOfWal, waitForPause } from '../../postgres/recovery/recovery-wait.js';
import type { Service } from '../../postgres/server/service.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import type { HostActivities, PlannedStep, ReachedTarget, SalvageResult } from '../api.js';
import { makeBackup } from '../backup/backup.js';
import { verifyAndRecord } from '../backup/verify.js';
import { restoreConfiguration } from '../backup/configuration.js';
import type { HostDependencies } from '../dependencies.js';
import { type ActivityRun, wrapActivity } from '../activity-wrapper.js';
import { PROMOTED, PROMOTION, besideCopy, markOldData, recordOldData } from './old-data.js';
import { withWalPrefetch } from '../backup/wal-prefetch.js';
import { connectionAt, restoredWithin, savedWalDir, tablespaceDir } from '../../domain/plan/recovery-place.js';
import { withQuarantine } from './damaged-backup.js';
import { isReached, replayTarget } from './replay-target.js';
import { approvedBackup } from './database-steps.js';
import { requirePromotion, requireTarget } from '../approval/decisions.js';
import { type AuthorizedStep, beginChange, openAuthorizedStep, once } from './authorized-step.js';
import { SALVAGED, archivingBefore } from './server-steps.js';
import { type ClusterContext, clusterLocks, currentBackups, policyOf, readContext } from '../cluster-context.js';

/** How often a server that has reached the planned end of the WAL is asked whether it replayed more. */
const SETTLE_MS = 100;

type DirectorySteps = Pick<
  HostActivities,
  'restoreFiles' | 'replayWal' | 'promoteServer' | 'rearmArchiving' | 'freshBackup'
>;

/** From a physical backup to a server open for writes; each step is found done where an earlier attempt did it. */
export function directorySteps(deps: HostDependencies): DirectorySteps {
  return {
    restoreFiles: wrapActivity('restoreFiles', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      await beginChange(work);
      const [planned] = work.plan.binding.backups;
      await withQuarantine(work.clusterContext, step, planned?.id, async () => {
        const approved = approvedBackup(planned, await currentBackups(work.clusterContext, run));
        const { home } = work;
        const { layout } = work.plan.binding;
        const place = {
          ...approved,
          dataDir: home,
          tablespaceDir: tablespaceDir(home, step.operationId),
          tablespaces: restoredTo(work.plan.binding),
          overOld: losesOldData(work.plan.binding),
        };
        const copy = work.inPlace ? null : besideCopy(work, step);
        if (copy) await recordOldData(work, step, 'kept/beside', copy);
        await once(work, step, 'restore files', async () => {
          await detachWal(home, layout);
          await physicalOf(work).restoreFiles(await work.context(), place);
        });
        if (copy) await markOldData(work, copy);
        await once(work, step, 'restore layout', () =>
          attachParts(home, layout, step.operationId, work.clusterContext.user),
        );
        await once(work, step, 'restore configuration', () => restoreConfiguration(work, step, approved.backup));
      });
    }),
    replayWal: wrapActivity('replayWal', async (step, run) =>
      replay(await openAuthorizedStep(deps, step, run), step, step.target, run),
    ),
    promoteServer: wrapActivity('promoteServer', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      await requirePromotion(work.clusterContext, work.plan);
      const connection = connectionAt(work.clusterContext.cluster, work.plan.binding);
      await startAgain(work, step, run);
      await openHostState(work.clusterContext.host.stateDir).recordDone(step.operationId, PROMOTION, null, step.plan);
      const { timeline } = await promoteServer(connection, await work.service());
      await openHostState(work.clusterContext.host.stateDir).recordDone(step.operationId, PROMOTED, null);
      await resetRecoverySettings(work.dataDir, work.clusterContext.user, { later: work.inPlace });
      await (await work.service()).reload();
      return { timeline, ...(await repairAllCollations(connection)) };
    }),
    rearmArchiving: wrapActivity('rearmArchiving', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      const physical = physicalOf(work);
      const context = await work.context();
      const connection = connectionAt(work.clusterContext.cluster, work.plan.binding);
      await startStopped(await work.service());
      const own = physical.archiveCommand(context);
      // Once: what a person sets after a failure stays.
      await once(work, step, 'archiving as before', async () => {
        await resetArchiveSettings(work.dataDir, work.clusterContext.user);
        const before = await archivingBefore(work, step);
        const isFit = before === null || (physical.acceptsArchiveCommand?.(before.command) ?? true);
        await restoreArchiving(connection, isFit ? before : { command: '', library: '' }, own);
      });
      if (own !== null) await verifyArchiving(connection, own, run.signal);
      await physical.rearm(context);
    }),
    freshBackup: wrapActivity('freshBackup', async (step, run) => {
      const { clusterContext, plan } = await openAuthorizedStep(deps, step, run);
      const own = { ...step, operationId: await freshOperation(clusterContext, step.operationId) };
      // Rests on nothing: what was made before may be of a timeline that this recovery has left.
      const { made, failed } = await makeBackup(
        clusterContext,
        { ...own, requester: 'recovery', order: { policy: plan.binding.policy, type: 'full' } },
        run,
        clusterLocks.recovery(clusterContext.cluster.name),
      );
      // A database that this recovery has not touched keeps no other one from being finished.
      const recovered = plan.binding.backups.map(({ database }) => database);
      const missing = failed.find(({ database }) => database === null || recovered.includes(database));
      if (missing !== undefined) throw missing.error;
      for (const { id } of made) {
        const verdict = await verifyAndRecord(clusterContext, own, { backupId: id, restore: false }, run);
        if (!verdict.ok)
          throw new RepriseError(
            'backup-corrupt',
            `verification of the fresh backup ${id} failed: ${verdict.detail}`,
            'check the storage; `reprise continue` takes another backup',
          );
      }
      return made.map(({ id }) => id);
    }),
  };
}

/** A server that died since it was recovered is started; true where it was. */
async function startStopped(service: Service): Promise<boolean> {
  if ((await service.status()) === 'running') return false;
  await service.start();
  return true;
}

/**
 * A recovered server that died while people looked at it is started again, and replays to where it was; nobody else would start it.
 * One that died after an attempt had begun to promote it may be open already.
 */
async function startAgain(work: AuthorizedStep, step: PlannedStep, run: ActivityRun): Promise<void> {
  const service = await work.service();
  const { clusterContext, plan } = work;
  if ((await service.status()) === 'running') return;
  if (await openHostState(clusterContext.host.stateDir).onceDone(step.operationId, PROMOTION, step.plan)) {
    await startStopped(service);
    if (!(await recoveryProgress(connectionAt(clusterContext.cluster, plan.binding))).inRecovery) return;
  }
  const events = await openOperationLedger(clusterContext.host.stateDir).events(step.operationId);
  const last = events.findLast(
    (event) => event.plan === plan.digest && event.step === 'replayWal' && event.what === 'done',
  );
  const { target } = (last?.result ?? {}) as Partial<ReachedTarget>;
  await replay(work, step, target ?? plan.binding.target, run);
}

/** @throws RepriseError `wal-not-archived`, with the command that Reprise would set */
async function verifyArchiving(connection: ConnectionConfig, own: string, signal: AbortSignal): Promise<void> {
  try {
    await rearmArchiving(connection, null, { signal });
  } catch (error) {
    if (!isRepriseError(error) || error.code !== 'wal-not-archived') throw error;
    const set = `ALTER SYSTEM SET archive_command = ${pg.escapeLiteral(own)}`;
    throw new RepriseError(
      error.code,
      `${error.message}, by the archive_command from before the recovery`,
      `correct what it needs (the server log says why it fails), or set that of this policy: ${set}; SELECT pg_reload_conf(); then: reprise continue`,
    );
  }
}

/** Where tablespaces are restored to that stay on their disks: over old ones, or beside them until they are moved aside. */
function restoredTo({ layout, operationId }: Plan['binding']): Readonly<Record<string, string>> {
  const staying = (layout?.tablespaces ?? []).filter(({ restored, keptAs }) => restored && keptAs !== undefined);
  return Object.fromEntries(
    staying.map(({ oid, path, keptAs }) => [oid, keptAs === null ? path : restoredWithin(path, operationId, oid)]),
  );
}

/** A fresh backup whose verification failed no longer belongs to this operation: the next one is made under another name. */
async function freshOperation({ catalogue }: ClusterContext, recovery: string): Promise<string> {
  const bad = new Set(
    (await catalogue.records()).flatMap((entry) => (entry.kind === 'quarantine' ? [entry.operationId] : [])),
  );
  if (!bad.has(`${recovery}/fresh`)) return `${recovery}/fresh`;
  for (let n = 2; ; n++) if (!bad.has(`${recovery}/fresh-${n}`)) return `${recovery}/fresh-${n}`;
}

async function replay(
  work: AuthorizedStep,
  step: PlannedStep,
  target: RecoveryTarget,
  run: ActivityRun,
): Promise<ReachedTarget> {
  const { clusterContext, plan, dataDir } = work;
  await requireTarget(clusterContext, plan, target);
  const salvage =
    (await openHostState(clusterContext.host.stateDir).onceDone<SalvageResult>(step.operationId, SALVAGED))?.result ??
    null;
  const service = await work.service();
  const connection = connectionAt(clusterContext.cluster, plan.binding);
  const context = await readContext(
    clusterContext,
    policyOf(clusterContext, plan.binding.policy),
    run,
    step.operationId,
  );
  const wanted = await replayTarget(work, target, run);
  if ((await service.status()) === 'running') {
    const now = await recoveryProgress(connection).catch(() => null);
    if (now && isReached(wanted, now)) return reachedOf(work, target, salvage, now);
    if (now && !now.inRecovery) {
      // Ours: by an attempt whose answer was lost, or before a Reset. Any other promotion came before a person had inspected the target.
      if (await openHostState(clusterContext.host.stateDir).onceDone(step.operationId, PROMOTION, step.plan))
        return reachedOf(work, target, salvage, now);
      throw new RepriseError(
        'target-not-reached',
        'the server was promoted before its target was confirmed',
        'do not use it: see who promoted it, then reject and recover again',
      );
    }
  }
  const request = {
    dataDir,
    user: clusterContext.user,
    target: wanted.stopsAt,
    restoreCommand: physicalOf(work).restoreCommand(context),
    restoreBeginningCommand: physicalOf(work).restoreBeginningCommand?.(context),
    salvageDir: salvage && salvage.segments > 0 ? savedWalDir(plan.binding, work.home) : null,
    timeline: plan.binding.timeline ?? ('latest' as const),
    clone: !work.inPlace,
    port: work.inPlace ? undefined : plan.binding.port,
    extra: plan.binding.targetHost === plan.binding.sourceHost ? {} : settingsElsewhere(dataDir),
  };
  const options = {
    service,
    report: ({ replayLsn }: ReplayProgress) =>
      run.report({ phase: `replaying WAL, at ${replayLsn ?? 'the start'}`, done: 0, unit: 'segments' }),
  };
  const progress = await withWalPrefetch(physicalOf(work), context, dataDir, (signal, isPrefetched) =>
    withSettingsOfSource(async (extra) => {
      await recoverToTarget({ ...request, extra: { ...request.extra, ...extra } }, service, connection);
      if (target.kind !== 'latest') return waitForPause(connection, { ...options, signal });
      const reached = await waitForEndOfWal(connection, expectedEnd(work, salvage), { ...options, signal });
      // WAL that was archived after the plan was made is copied and replayed too.
      return isPrefetched ? waitForEndOfWal(connection, null, { ...options, signal, pollMs: SETTLE_MS }) : reached;
    }),
  );
  return reachedOf(work, target, salvage, progress);
}

/** On another host: the source's addresses and files are not there, and its applications are not to find two of it. */
const settingsElsewhere = (dataDir: string): Readonly<Record<string, string>> => ({
  listen_addresses: 'localhost',
  hba_file: join(dataDir, 'pg_hba.conf'),
  ident_file: join(dataDir, 'pg_ident.conf'),
});

/** A setting that was raised on the source after the backup keeps a hot standby from going on: it is raised here too. */
async function withSettingsOfSource<T>(recover: (extra: Readonly<Record<string, string>>) => Promise<T>): Promise<T> {
  try {
    return await recover({});
  } catch (error) {
    const raise = isRepriseError(error) ? (error.details['raise'] as Record<string, string> | undefined) : undefined;
    if (!raise) throw error;
    return recover(raise);
  }
}

/** Later of what the plan saw (archive) and what was salvaged after it: always set, and checked. */
function expectedEnd({ plan }: AuthorizedStep, salvage: SalvageResult | null): string {
  const end = laterLsn(plan.observed.walEnd, salvage?.endLsn ?? null);
  if (end !== null) return end;
  throw new RepriseError(
    'wal-gap',
    'the end of the WAL is not known, so it could not be verified that latest was reached',
    'name a target: reprise retarget --to TIME',
  );
}

function reachedOf(
  { plan }: AuthorizedStep,
  target: RecoveryTarget,
  salvage: SalvageResult | null,
  progress: ReplayProgress,
): ReachedTarget {
  const { replayLsn, lastReplayedCommitAt } = progress;
  const complete = salvage?.endLsn != null && replayLsn !== null && compareLsn(replayLsn, salvage.endLsn) >= 0;
  // What was saved counts only where it was replayed.
  const lastSaved = complete ? salvage.lastCommitAt : null;
  const lastCommitAt =
    lastReplayedCommitAt ?? lastSaved ?? plan.observed.lastCommitAt ?? plan.binding.backups[0]?.finishedAt ?? null;
  const reached =
    target.kind === 'latest'
      ? `last commit ${lastCommitAt ?? 'unknown'} at ${replayLsn ?? 'unknown'}`
      : `${formatTarget(target)} at ${replayLsn ?? 'unknown'}`;
  return { reached, lastLsn: replayLsn, lastCommitAt, complete, target };
}

function physicalOf(work: AuthorizedStep): PhysicalRestore {
  const { physical } = work.engine();
  if (!physical)
    throw new RepriseError('capability-missing', `engine ${work.plan.binding.engine} restores no data directory`);
  return physical;
}
