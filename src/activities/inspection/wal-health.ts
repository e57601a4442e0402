import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Backup } from '../../domain/backup/backup.js';
import type { PolicyConfig } from '../../domain/config.js';
import { isRepriseError } from '../../domain/errors.js';
import type { WalWindow } from '../../domain/operation/inspections.js';
import type { RecoveryOutline } from '../../engines/engine.js';
import type { ActivityRun } from '../activity-wrapper.js';
import { firstCommitAfter } from '../../postgres/wal/unarchived-commit.js';
import { type ClusterContext, currentBackups, engineFor, postgresBinOf, readContext } from '../cluster-context.js';

/**
 * Between which instants a cluster can be recovered to any moment, by each policy whose engine archives WAL: from the
 * end of the oldest backup whose log leads to the end without a hole, to the last commit that is archived.
 */
export async function walWindows(session: ClusterContext, run: ActivityRun): Promise<readonly WalWindow[]> {
  const policies = Object.values(session.cluster.policies).filter(
    (policy) => policy.enabled && engineFor(session, policy).capabilities.archivesWal,
  );
  const backups = policies.length === 0 ? [] : await currentBackups(session, run, policies);
  return Promise.all(
    policies.map(async (policy) => {
      const own = backups.filter((backup) => backup.policy === policy.name && backup.status === 'complete');
      // Whichever backup the log is followed from, it ends in one place.
      const ends: RecoveryOutline[] = [];
      const window = await windowOf(policy, own, async (backup) => {
        const found = await outlineFrom(session, policy, backup, run);
        if (!('hole' in found)) ends.push(found);
        return found;
      });
      const [end] = ends;
      const waitingSince = end === undefined ? null : await waitingAfter(session, end);
      return waitingSince === null ? window : { ...window, waitingSince };
    }),
  );
}

/** The first commit that is only in the server's own log; null where there is none, or that log is out of reach. */
async function waitingAfter(session: ClusterContext, { timeline, walEnd }: RecoveryOutline): Promise<string | null> {
  const { cluster, deps, user } = session;
  if (cluster.dataDir === undefined || cluster.host !== deps.host || timeline === null || walEnd === null) return null;
  return firstCommitAfter(
    await postgresBinOf(session),
    join(cluster.dataDir, 'pg_wal'),
    { timeline, endLsn: walEnd },
    user,
  );
}

type Outline = (backup: Backup) => Promise<RecoveryOutline | { readonly hole: string }>;

/** `backups` oldest first. A log without a hole from one backup on has none from a later one on: looked for by halves. */
export async function windowOf(
  { name: policy }: Pick<PolicyConfig, 'name'>,
  backups: readonly Backup[],
  outline: Outline,
): Promise<WalWindow> {
  const none = { policy, oldest: null, newest: null, hole: null };
  if (backups.length === 0) return none;
  const looked = new Map<number, Awaited<ReturnType<Outline>>>();
  const look = async (index: number): Promise<Awaited<ReturnType<Outline>>> => {
    const found = looked.get(index) ?? (await outline(backups[index] as Backup));
    looked.set(index, found);
    return found;
  };
  let [first, last] = [0, backups.length - 1];
  // Mostly there is no hole at all, and one look tells.
  if ('hole' in (await look(0))) first = 1;
  else last = 0;
  while (first < last) {
    const middle = Math.floor((first + last) / 2);
    if ('hole' in (await look(middle))) first = middle + 1;
    else last = middle;
  }
  const hole =
    [...looked.entries()]
      .sort(([left], [right]) => right - left)
      .map(([, found]) => ('hole' in found ? found.hole : null))
      .find((found) => found !== null) ?? null;
  const found = first < backups.length ? await look(first) : null;
  if (found === null || 'hole' in found) return { ...none, hole: found === null ? hole : found.hole };
  return { policy, oldest: backups[first]?.finishedAt ?? null, newest: found.reachableTo, hole };
}

async function outlineFrom(
  session: ClusterContext,
  policy: PolicyConfig,
  backup: Backup,
  run: ActivityRun,
): Promise<RecoveryOutline | { hole: string }> {
  try {
    // An operation of its own: two looks at once share no scratch directory.
    const context = await readContext(session, policy, run, `wal-${randomUUID()}`);
    return await engineFor(session, policy).outlineRecovery(context, {
      target: { kind: 'latest' },
      candidates: [backup],
      oldDataDir: null,
      databases: session.cluster.databases,
    });
  } catch (error) {
    if (isRepriseError(error) && error.code === 'wal-gap') return { hole: error.message };
    throw error;
  }
}
