import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import { otherClusterOf } from '../../domain/backup/other-cluster.js';
import type { PolicyConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type { WalWindow } from '../../domain/operation/inspections.js';
import type { RecoveryOutline } from '../../engines/engine.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { readControlData } from '../../postgres/server/control-data.js';
import { firstCommitAfter } from '../../postgres/wal/unarchived-commit.js';
import {
  type ClusterContext,
  currentBackups,
  engineFor,
  forBackup,
  postgresBinOf,
  readContext,
} from '../cluster-context.js';

/**
 * Between which instants a cluster can be recovered to any moment, by each policy whose engine archives WAL: from the
 * end of the oldest backup that WAL without a gap follows, to the last commit that is archived.
 */
export async function walWindows(clusterContext: ClusterContext, run: ActivityRun): Promise<readonly WalWindow[]> {
  const policies = Object.values(clusterContext.cluster.policies).filter(
    (policy) => policy.enabled && engineFor(clusterContext, policy).capabilities.archivesWal,
  );
  const backups = policies.length === 0 ? [] : await currentBackups(clusterContext, run, policies);
  const present = policies.length === 0 ? null : await presentCluster(clusterContext);
  const isPresent = ({ server }: Backup): boolean =>
    present === null || server === undefined || server.systemIdentifier === present;
  return Promise.all(
    policies.map(async (policy) => {
      const complete = backups.filter((backup) => backup.policy === policy.name && backup.status === 'complete');
      const own = complete.filter((backup) => otherClusterOf(backup, complete) === null && isPresent(backup));
      // The WAL ends at the same place, whichever backup it is followed from.
      const ends: RecoveryOutline[] = [];
      const window = await windowOf(policy, own, async (backup) => {
        const found = await outlineFrom(clusterContext, policy, backup, run);
        if (!('gap' in found)) ends.push(found);
        return found;
      });
      const [end] = ends;
      const waitingSince = end === undefined ? null : await waitingAfter(clusterContext, end);
      return {
        ...window,
        ...(waitingSince === null ? {} : { waitingSince }),
        ...(own.length === complete.length ? {} : { ofOtherCluster: complete.length - own.length }),
      };
    }),
  );
}

/** The system identifier of what is in the data directory now; null where it cannot be read here. */
async function presentCluster(clusterContext: ClusterContext): Promise<string | null> {
  const { cluster, deps, user } = clusterContext;
  if (cluster.dataDir === undefined || cluster.host !== deps.host) return null;
  const control = await readControlData(await postgresBinOf(clusterContext), cluster.dataDir, user);
  return control?.systemIdentifier ?? null;
}

/** The first commit that is only in the server's own pg_wal; null where there is none, or pg_wal cannot be read. */
async function waitingAfter(
  clusterContext: ClusterContext,
  { timeline, walEnd }: RecoveryOutline,
): Promise<string | null> {
  const { cluster, deps, user } = clusterContext;
  if (cluster.dataDir === undefined || cluster.host !== deps.host || timeline === null || walEnd === null) return null;
  return firstCommitAfter(
    await postgresBinOf(clusterContext),
    join(cluster.dataDir, 'pg_wal'),
    { timeline, endLsn: walEnd },
    user,
  );
}

type Outline = (backup: Backup) => Promise<RecoveryOutline | { readonly gap: string }>;

/** `backups` oldest first. WAL without a gap from one backup on has none from a later one on: a binary search. */
export async function windowOf(
  { name: policy }: Pick<PolicyConfig, 'name'>,
  backups: readonly Backup[],
  outline: Outline,
): Promise<WalWindow> {
  const none = { policy, oldest: null, newest: null, hole: null };
  if (backups.length === 0) return none;
  const outlines = new Map<number, Awaited<ReturnType<Outline>>>();
  const outlineAt = async (index: number): Promise<Awaited<ReturnType<Outline>>> => {
    const found = outlines.get(index) ?? (await outline(backups[index] as Backup));
    outlines.set(index, found);
    return found;
  };
  let [first, last] = [0, backups.length - 1];
  // Mostly there is no gap, and the first outline shows it.
  if ('gap' in (await outlineAt(0))) first = 1;
  else last = 0;
  while (first < last) {
    const middle = Math.floor((first + last) / 2);
    if ('gap' in (await outlineAt(middle))) first = middle + 1;
    else last = middle;
  }
  const gap =
    [...outlines.entries()]
      .sort(([left], [right]) => right - left)
      .map(([, found]) => ('gap' in found ? found.gap : null))
      .find((found) => found !== null) ?? null;
  const found = first < backups.length ? await outlineAt(first) : null;
  if (found === null || 'gap' in found) return { ...none, hole: found === null ? gap : found.gap };
  return { policy, oldest: backups[first]?.finishedAt ?? null, newest: found.reachableTo, hole: gap };
}

async function outlineFrom(
  clusterContext: ClusterContext,
  policy: PolicyConfig,
  backup: Backup,
  run: ActivityRun,
): Promise<RecoveryOutline | { gap: string }> {
  try {
    // An operation of its own: two inspections at once share no scratch directory.
    const context = await readContext(forBackup(clusterContext, backup), policy, run, `wal-${randomUUID()}`);
    return await engineFor(clusterContext, policy).outlineRecovery(context, {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: clusterContext.cluster.databases,
    });
  } catch (error) {
    if (isRepriseError(error) && error.code === 'wal-gap') return { gap: error.message };
    throw error;
  }
}
