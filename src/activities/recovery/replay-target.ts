import { losesOldData, type PlanBinding } from '../../domain/plan/plan.js';
import { salvageDir } from '../../domain/plan/recovery-place.js';
import { formatTarget, type RecoveryTarget } from '../../domain/target/target.js';
import { compareLsn } from '../../domain/target/wal.js';
import type { ReplayProgress } from '../../postgres/recovery/recovery-progress.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { currentBackups, policyOf, readContext } from '../cluster-context.js';
import type { AuthorizedStep } from './authorized-step.js';
import { approvedBackup } from './database-steps.js';

/** What a server that replays is told, for a target. */
export interface ReplayTarget {
  readonly stopsAt: RecoveryTarget;
  /** The last commit before that; null where it is not known. */
  readonly lastCommitAt: string | null;
}

/**
 * Where the replay stops for the target of a plan, or for one that somebody decided on since: that is looked for in the WAL
 * from the same backup on, along the same timeline.
 * @throws RepriseError what the engine's outline throws
 */
export async function replayTarget(
  work: AuthorizedStep,
  target: RecoveryTarget,
  run: ActivityRun,
): Promise<ReplayTarget> {
  const { clusterContext, plan } = work;
  const { binding, observed } = plan;
  if (formatTarget(target) === formatTarget(binding.target))
    return { stopsAt: binding.stopsAt ?? target, lastCommitAt: observed.lastCommitAt ?? null };
  if (target.kind === 'latest') return { stopsAt: target, lastCommitAt: null };
  const { backup } = approvedBackup(binding.backups[0], await currentBackups(clusterContext, run));
  const policy = policyOf(clusterContext, binding.policy);
  const found = await work
    .engine()
    .outlineRecovery(await readContext(clusterContext, policy, run, binding.operationId), {
      target,
      timeline: binding.timeline ?? undefined,
      candidates: [backup],
      oldDataDir: work.inPlace ? oldFiles(binding, work.dataDir) : null,
      databases: [],
    });
  return { stopsAt: found.target, lastCommitAt: found.lastCommitAt ?? null };
}

/** Where the data directory that was replaced is now, or what was saved of its WAL. */
function oldFiles(binding: PlanBinding, dataDir: string): string | null {
  if (binding.salvageFrom !== undefined) return binding.salvageFrom;
  if (losesOldData(binding)) return salvageDir(dataDir, binding.operationId);
  return binding.replaces.find(({ what }) => what === dataDir)?.keptAs ?? null;
}

/** Whether a server is there already: between what it has replayed and the target nothing was committed. */
export function isReached({ stopsAt, lastCommitAt }: ReplayTarget, now: ReplayProgress | null): boolean {
  if (now === null || !now.inRecovery || !now.paused || stopsAt.kind !== 'lsn' || now.replayLsn === null) return false;
  return now.lastReplayedCommitAt === lastCommitAt && compareLsn(now.replayLsn, stopsAt.lsn) >= 0;
}
