import { dirname } from 'node:path';
import { pathExists } from '../../files/paths.js';
import type { KeptItem } from '../../domain/backup/records.js';
import type { ConnectionConfig } from '../../domain/config.js';
import { RepriseError } from '../../domain/errors.js';
import { isRecoveryPlan } from '../../domain/plan/plan.js';
import { connectionAt } from '../../domain/plan/recovery-place.js';
import { forgetRestore } from '../../postgres/connection/restore-login.js';
import { type KeptReplication, dropReplication, replicationOf } from '../../postgres/old-data/kept-replication.js';
import { dropOldData, isOldDataThere, markOfOldData } from '../../postgres/old-data/drop-old-data.js';
import { sizeOfOldData } from '../../postgres/old-data/size-old-data.js';
import { outsidePlaces } from '../../postgres/server/layout.js';
import { type KeptOnHost, openHostState } from '../../records/host-state.js';
import { type ClusterContext, openClusterContexts, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** A person waits for the list: what takes longer to count is listed without its size. */
const COUNT_MS = 15_000;

/** Old data of the clusters of this host, or of the one named, with the size of what this host keeps itself; without what somebody has dropped by hand. */
export async function keptItems(deps: HostDependencies, cluster?: string): Promise<readonly KeptItem[]> {
  const until = performance.now() + COUNT_MS;
  const lists = await Promise.all(
    (await openClusterContexts(deps, cluster)).map(async (clusterContext) => {
      const { kept } = await clusterContext.catalogue.state();
      const listed = await Promise.all(
        oldDataOnly(kept).map(async (item) =>
          (await isGone(clusterContext, item))
            ? []
            : [{ ...item, sizeBytes: item.sizeBytes ?? (await sizeOf(clusterContext, item, until)) }],
        ),
      );
      return listed.flat();
    }),
  );
  return lists.flat();
}

/** Copies that recoveries have left beside are listed apart. */
const oldDataOnly = (kept: readonly KeptItem[]): readonly KeptItem[] =>
  kept.filter(({ beside }) => beside === undefined);

/** By the ledger of this host, as everything that is done with it. */
async function sizeOf(clusterContext: ClusterContext, item: KeptItem, until: number): Promise<number | null> {
  const { deps, host } = clusterContext;
  const kept = item.host === deps.host ? await openHostState(host.stateDir).kept(item.id) : null;
  if (kept?.where !== item.where) return null;
  let bytes = 0;
  for (const { where } of [kept, ...(kept.parts ?? [])]) {
    const size = await sizeOfOldData(where, serverOf(clusterContext, kept), until);
    if (size === null) return null;
    bytes += size;
  }
  return bytes;
}

/**
 * Whether it certainly is there no more: a server that does not answer, or a disk that is not mounted, says nothing of it. One that
 * is beside the present data directory is on a disk that is there.
 */
async function isGone(
  { cluster, deps, host }: ClusterContext,
  { id, host: keptOn, where }: KeptItem,
): Promise<boolean> {
  if (keptOn !== deps.host) return false;
  const kept = await openHostState(host.stateDir).kept(id);
  if (kept?.cluster !== cluster.name || kept.where !== where || kept.mark === null) return false;
  if (kept.server === null) {
    const { dataDir } = cluster;
    const isBeside = dataDir !== undefined && dirname(dataDir) === dirname(where) && (await pathExists(dataDir));
    return isBeside && !(await pathExists(where));
  }
  const mark = await markOfOldData(where, connectionAt(cluster, kept.server)).catch(() => kept.mark);
  return mark === null;
}

/** Old data to be dropped: its line in the records, and what the ledger of this host knows of it. */
export interface DroppableItem {
  readonly item: KeptItem;
  readonly kept: KeptOnHost;
  /** Directories that its links lead to and that are not dropped with it. */
  readonly stays: readonly string[];
  /** Of a database: what goes with it, and is named in the plan; null: nothing. */
  readonly replication: KeptReplication | null;
}

/**
 * What is kept under an id, as the ledger of this host has it. A record in the repository names it for people; whoever can
 * write there cannot name what is dropped.
 * @throws RepriseError `not-found`; `path-refused` where this host has not kept it; `conflict` while a recovery needs it
 */
export async function droppableItem(clusterContext: ClusterContext, id: string): Promise<DroppableItem> {
  const { catalogue, cluster, deps, host } = clusterContext;
  const item = (await catalogue.state()).kept.find((kept) => kept.id === id && kept.host === deps.host);
  if (!item)
    throw new RepriseError('not-found', `no old data is kept under "${id}" on host ${deps.host}`, 'reprise kept list');
  const kept = await openHostState(host.stateDir).kept(id);
  if (kept?.cluster !== cluster.name || kept.where !== item.where)
    throw new RepriseError(
      'path-refused',
      `host ${deps.host} has no note of its own that it kept ${JSON.stringify(item.where)} under ${id}: only a record in the repository says so`,
      'see what it is; remove it by hand if you are sure',
    );
  await refuseWhileInUse(clusterContext, kept);
  for (const one of [kept, ...(kept.parts ?? [])]) await isOldDataThere(one, serverOf(clusterContext, kept));
  const replication = kept.server === null ? null : await replicationOf(serverOf(clusterContext, kept), kept.where);
  return { item, kept, stays: await whatStays(kept), replication };
}

/** What an older version, or a copy that somebody made, has outside: whether it is used elsewhere nobody here knows. */
async function whatStays({ where, server, parts = [] }: KeptOnHost): Promise<readonly string[]> {
  if (server !== null) return [];
  const places = await outsidePlaces(where);
  return places.filter((place) => !parts.some((part) => place === part.where || place.startsWith(`${part.where}/`)));
}

/** The server that has it, where it is a database. */
export const serverOf = ({ cluster }: ClusterContext, { server }: KeptOnHost): ConnectionConfig =>
  server === null ? cluster.connection : connectionAt(cluster, server);

/** Deletes it for good, and records that. */
export async function dropKept(
  clusterContext: ClusterContext,
  { kept, item, replication }: Omit<DroppableItem, 'stays'>,
  by: string,
): Promise<void> {
  if (replication !== null) await dropReplication(serverOf(clusterContext, kept), kept.where, replication);
  // The directory last: its links say where the rest is.
  for (const one of [...(kept.parts ?? []), kept]) await dropOldData(one, serverOf(clusterContext, kept));
  if (kept.server !== null) await forgetRestore(clusterContext.host.stateDir, kept.where);
  await record(
    clusterContext,
    { operationId: kept.operationId },
    `dropped/${kept.id}`,
    { kind: 'kept-dropped', keptId: item.id },
    by,
  );
}

/** Until its recovery has ended, what was put aside may be the only copy there is, and saved WAL is still replayed. */
export async function refuseWhileInUse(
  { host, cluster }: ClusterContext,
  { id, operationId, where }: KeptOnHost,
): Promise<void> {
  const state = openHostState(host.stateDir);
  for (const plan of await state.openPlans()) {
    if (plan.binding.cluster !== cluster.name || !(await state.usedBy(plan.digest))) continue;
    const salvages = isRecoveryPlan(plan) && plan.binding.salvageFrom?.startsWith(where);
    if (!salvages && (plan.binding.operationId !== operationId || !isRecoveryPlan(plan))) continue;
    throw new RepriseError(
      'conflict',
      `${id} belongs to a recovery that has not ended (operation ${plan.binding.operationId})`,
      'wait until it ends, or end it: reprise reject; a later recovery of the cluster ends it too',
    );
  }
}
