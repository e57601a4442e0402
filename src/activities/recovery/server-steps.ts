import { dirname } from 'node:path';
import { RepriseError } from '../../domain/errors.js';
import { type Replacement, losesOldData } from '../../domain/plan/plan.js';
import {
  copyOldData,
  emptyOldData,
  makeCopyDirectory,
  readyToOverwrite,
} from '../../postgres/old-data/copy-old-data.js';
import { lastWriteIn } from '../../postgres/server/last-write.js';
import { inodeOf, moveOldData } from '../../postgres/old-data/move-old-data.js';
import { movePartsAside } from '../../postgres/old-data/outside-parts.js';
import { linkTarget } from '../../postgres/server/layout.js';
import { isEmptyDirectory, nameExists } from '../../files/paths.js';
import { makeOwnDirectory, refuseSharedPath } from '../../files/trusted-paths.js';
import { recoveryProgress } from '../../postgres/recovery/recovery-progress.js';
import { presentArchiving } from '../../postgres/recovery/present-archiving.js';
import type { ArchiveSettings } from '../../postgres/wal/archiving.js';
import { salvageWal } from '../../postgres/wal/salvage.js';
import { openHostState } from '../../records/host-state.js';
import type { HostActivities, PlannedStep, SalvageResult } from '../api.js';
import type { HostDependencies } from '../dependencies.js';
import { wrapActivity } from '../activity-wrapper.js';
import {
  type AuthorizedStep,
  beginChange,
  isDone,
  onceInOperation,
  onceUnderLock,
  openAuthorizedStep,
} from './authorized-step.js';
import { forgetMovedCopies, markOldData, oldDirectory, oldWal, recordOldData } from './old-data.js';
import { connectionAt, salvageDir, savedWalDir } from '../../domain/plan/recovery-place.js';
import { postgresBinOf } from '../cluster-context.js';

/** Name of the step in the host's ledger, under which its result is kept for the replay. */
export const SALVAGED = 'salvage';

/** The same of what the old server archived with, until it was stopped. */
const ARCHIVING = 'archiving';

/** Whether it ran until then; where that was not kept, it may have. */
const WAS_RUNNING = 'running before the stop';

/** What the server archived with before the recovery; null where nobody could tell. */
export async function archivingBefore(
  { clusterContext: { host } }: Pick<AuthorizedStep, 'clusterContext'>,
  { operationId }: Pick<PlannedStep, 'operationId'>,
): Promise<ArchiveSettings | null> {
  return (await openHostState(host.stateDir).onceDone<ArchiveSettings | null>(operationId, ARCHIVING))?.result ?? null;
}

/** When the old server last wrote WAL or its control file; a new, empty cluster in its place says nothing of it. */
async function lastWrite({ plan, dataDir }: AuthorizedStep): Promise<string | null> {
  return plan.binding.freshCluster ? null : lastWriteIn(plan.binding.salvageFrom ?? dataDir);
}

async function present({ clusterContext, plan, dataDir }: AuthorizedStep): Promise<ArchiveSettings | null> {
  const { cluster, user } = clusterContext;
  // A new, empty cluster in the place of the lost one is configured by nobody.
  if (plan.binding.freshCluster) return null;
  return presentArchiving({
    ...{ connection: cluster.connection, service: cluster.service, user },
    dataDir: plan.binding.salvageFrom ?? dataDir,
    pgBin: await postgresBinOf(clusterContext),
  });
}

type ServerSteps = Pick<HostActivities, 'stopServer' | 'startServer' | 'salvageWal' | 'putAside'>;

/** What is done to the old server before anything is restored: stop, save, move away. Nothing is deleted. */
export function serverSteps(deps: HostDependencies): ServerSteps {
  return {
    stopServer: wrapActivity('stopServer', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      await onceUnderLock(work, step, 'stop', async () => {
        await onceInOperation(work, step, ARCHIVING, () => present(work));
        const service = await work.service();
        // Kept before it is stopped: an attempt after that would find it down.
        await onceInOperation(work, step, WAS_RUNNING, async () => (await service.status()) === 'running');
        await service.stop('fast');
      });
      return onceInOperation(work, step, 'stopped', async () => ({
        at: new Date().toISOString(),
        wasRunning: await onceInOperation(work, step, WAS_RUNNING, async () => true),
        lastWriteAt: await lastWrite(work),
      }));
    }),
    startServer: wrapActivity('startServer', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      const service = await work.service();
      await beginChange(work);
      if ((await service.status()) !== 'running') await service.start();
      const connection = connectionAt(work.clusterContext.cluster, work.plan.binding);
      const { replayLsn, inRecovery } = await recoveryProgress(connection);
      if (inRecovery)
        throw new RepriseError(
          'check-failed',
          'the server runs as a standby and takes no writes',
          `restore instead: reprise recover ${step.cluster} --policy NAME`,
        );
      return {
        reached: 'the state before the stop (crash recovery)',
        lastLsn: replayLsn,
        lastCommitAt: null,
        complete: true,
      };
    }),
    salvageWal: wrapActivity('salvageWal', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      return onceUnderLock(work, step, SALVAGED, () => salvage(work, step));
    }),
    putAside: wrapActivity('putAside', async (step, run) => {
      const work = await openAuthorizedStep(deps, step, run);
      await onceUnderLock(work, step, 'put aside', async () => {
        await beginChange(work);
        for (const replaced of work.plan.binding.replaces) await makeRoom(work, step, replaced);
      });
    }),
  };
}

/** Moves, copies or gives up the old data as the plan says. Data is given up only after its WAL was salvaged. */
async function makeRoom(work: AuthorizedStep, step: PlannedStep, replaced: Replacement): Promise<void> {
  const { what, keptAs, copied, parts } = replaced;
  if (keptAs === null) {
    if (!(await isDone(work, step, SALVAGED)))
      throw new RepriseError(
        'conflict',
        `the WAL in ${what} is not saved yet: nothing is overwritten before that`,
        'reject this recovery, and start a new one',
      );
    return readyToOverwrite(what);
  }
  const old = { keptId: `${step.operationId}/old`, what: oldDirectory(what), where: keptAs, parts };
  await recordOldData(work, step, 'kept/old', old);
  const { user: owner } = work.clusterContext;
  const { layout } = work.plan.binding;
  for (const part of [layout?.wal, ...(layout?.tablespaces ?? [])])
    if (part?.keptAs) await claimName(work, step, part.keptAs, async () => null);
  if (!copied) {
    const inode = await claimName(work, step, keptAs, async () => inodeOf(await linkTarget(what)));
    await moveOldData(what, keptAs, inode);
    if (!work.inPlace) await forgetMovedCopies(work, step, what);
    if (layout) await movePartsAside(keptAs, layout, owner);
    await markOldData(work, old);
    return;
  }
  await refuseSharedPath(dirname(keptAs), { owner });
  const inode = await claimName(
    work,
    step,
    keptAs,
    async () => (await makeCopyDirectory(keptAs, owner)) ?? inodeOf(keptAs),
  );
  const { jobs } = await work.context();
  await onceInOperation(work, step, 'copy of the old data', () => copyOldData(jobs, what, keptAs, { owner, inode }));
  if (layout) await movePartsAside(keptAs, layout, owner);
  await markOldData(work, old);
  await emptyOldData(jobs, what, keptAs, inode);
}

/**
 * Once, before anything has a name that this operation gives: nobody else's is there, and nobody else can put it there.
 * Afterwards what has it is this operation's own, by the inode in the host's ledger and not by its name.
 * @param claim gives the inode; null where there is none yet
 */
async function claimName(
  work: AuthorizedStep,
  step: PlannedStep,
  path: string,
  claim: () => Promise<string | null>,
): Promise<string | undefined> {
  const claimed = await onceInOperation<{ readonly inode: string | null } | null>(
    work,
    step,
    `name ${path}`,
    async () => {
      await refuseSharedPath(dirname(path), { owner: work.clusterContext.user, sticky: true });
      // An empty directory is one that an attempt made and was killed before it could say so.
      if ((await nameExists(path)) && !(await isEmptyDirectory(path)))
        throw new RepriseError(
          'conflict',
          `${path} is there already, and this operation did not make it`,
          'move it away, then: reprise continue',
        );
      return { inode: await claim() };
    },
  );
  // An operation that began with an older version has no inode.
  return claimed?.inode ?? undefined;
}

async function salvage(work: AuthorizedStep, step: PlannedStep): Promise<SalvageResult> {
  const { clusterContext, plan, dataDir, home } = work;
  const where = salvageDir(home, step.operationId);
  const toDir = savedWalDir(plan.binding, home);
  await claimName(work, step, where, async () => null);
  if (toDir !== where) await makeOwnDirectory(where, clusterContext.user);
  const { systemIdentifier, salvageFrom = dataDir } = plan.binding;
  if (plan.binding.freshCluster) return { segments: 0, endLsn: null, lastCommitAt: null };
  const loses = losesOldData(plan.binding);
  const found = await salvageWal({
    oldDataDir: salvageFrom,
    toDir,
    archivedUpTo: null,
    everything: loses,
    systemIdentifier,
    pgBin: await postgresBinOf(clusterContext),
    user: clusterContext.user,
  });
  if (loses && found.segments.length < plan.observed.salvageableSegments) {
    const { salvageableSegments: planned } = plan.observed;
    throw new RepriseError(
      'wal-gap',
      `${found.segments.length} of the ${planned} WAL segments of the plan can be read, and the WAL in ${salvageFrom} would be overwritten`,
      `every segment was copied to ${toDir}; make a plan with old_data: { mode: aside } or aside-on, which keeps the rest`,
    );
  }
  if (found.segments.length > 0) {
    const what = loses ? oldWal(dataDir) : 'WAL saved from the old pg_wal';
    const kept = { keptId: `${step.operationId}/salvage`, what, where };
    await recordOldData(work, step, 'kept/salvage', kept);
    await markOldData(work, kept);
  }
  return { segments: found.segments.length, endLsn: found.endLsn, lastCommitAt: found.lastCommitAt };
}
