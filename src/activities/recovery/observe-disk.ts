import { dirname, join } from 'node:path';
import type { ObservedLayout } from '../../domain/plan/layout.js';
import type { PlanTerms } from '../../domain/plan/plan-terms.js';
import type { ObservedDisk, RecoverySource } from '../../domain/plan/recovery-observations.js';
import { oldDataFate } from '../../domain/plan/replacements.js';
import { refuseSharedPath } from '../../files/trusted-paths.js';
import {
  freeBytes,
  isWritableDirectory,
  onSameFileSystem,
  quicklyUsedBytes,
  usedBytes,
} from '../../postgres/server/disk.js';
import { observeLayout } from '../../postgres/server/layout.js';
import type { ClusterContext } from '../cluster-context.js';

/**
 * Bytes that are free and taken on the disks that a recovery of a whole server writes to; null where it writes to none.
 * @throws RepriseError `path-refused` where other users of the host could put links into what is written to
 */
export async function observeDisk(
  clusterContext: ClusterContext,
  { cluster: { recovery }, place }: PlanTerms,
  { method, outline }: RecoverySource,
  dataDirExists: boolean,
  layout: ObservedLayout | undefined,
): Promise<ObservedDisk | null> {
  if (place.dataDir === null) return null;
  const dataDir = layout?.dataDir ?? place.dataDir;
  const { oldData } = recovery;
  // Before anything is planned that would write there.
  if (method === 'data-directory') await refuseSharedPlaces(clusterContext, place, layout);
  const isForeign = outline.freshCluster !== undefined;
  const fate = oldDataFate(place, oldData, { method, dataDirExists, isForeign });
  const presentBytes =
    layout && !isForeign ? await presentSize(clusterContext, place.inPlace ? layout : undefined) : undefined;
  if (fate === 'none' || fate === 'renamed') return { freeBytes: await freeBytes(dirname(dataDir)), presentBytes };
  const old = {
    usedBytes: await usedBytes(dataDir, clusterContext.user),
    walBytes: fate === 'overwritten' ? await usedBytes(join(dataDir, 'pg_wal'), clusterContext.user) : 0,
  };
  const free = await freeBytes(dataDir);
  if (oldData.mode !== 'aside-on') return { freeBytes: free, presentBytes, oldData: old };
  const { path } = oldData;
  await refuseSharedPath(path, { owner: clusterContext.user });
  return {
    freeBytes: free,
    presentBytes,
    oldData: old,
    copyTo: {
      path,
      freeBytes: await freeBytes(path),
      writable: await isWritableDirectory(path, clusterContext.user),
      user: clusterContext.user?.name ?? null,
      sameFileSystem: await onSameFileSystem(path, dataDir),
    },
  };
}

/** @throws RepriseError `path-refused` where other users of the host could put links into what is written to */
async function refuseSharedPlaces(
  { user: owner }: ClusterContext,
  { dataDir, inPlace }: PlanTerms['place'],
  layout: ObservedLayout | undefined,
): Promise<void> {
  if (dataDir !== null) await refuseSharedPath(dataDir, { owner, sticky: true });
  if (!layout || !inPlace) return;
  for (const { path } of [...(layout.wal ? [layout.wal] : []), ...layout.tablespaces])
    await refuseSharedPath(path, { owner });
}

/** Bytes of the cluster as it is on this host, without its WAL: about what it has after everything was replayed. */
async function presentSize(
  { cluster, deps, user }: ClusterContext,
  layout: ObservedLayout | undefined,
): Promise<number | undefined> {
  if (cluster.dataDir === undefined || cluster.host !== deps.host) return undefined;
  const { tablespaces, wal } = layout ?? (await observeLayout(cluster.dataDir, user));
  const whole = await quicklyUsedBytes(cluster.dataDir, user);
  const walInside = wal === null ? await quicklyUsedBytes(join(cluster.dataDir, 'pg_wal'), user) : 0;
  if (whole === null || walInside === null) return undefined;
  const outside = tablespaces.reduce((sum, { usedBytes: bytes, isInside }) => sum + (isInside ? 0 : bytes), 0);
  return whole - walInside + outside;
}
