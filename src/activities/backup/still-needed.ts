import type { Backup } from '../../domain/backup/backup.js';
import type { StillNeeded } from '../../engines/engine.js';
import type { ClusterContext } from '../cluster-context.js';

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
