import type { KeptItem } from '../../domain/backup/records.js';
import { RepriseError } from '../../domain/errors.js';
import type { Inspection, InspectionResults } from '../../domain/operation/inspections.js';
import { dropOldData } from '../../postgres/old-data/drop-old-data.js';
import { openHostState } from '../../records/host-state.js';
import { type ClusterContext, openClusterContext, openClusterContexts, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';

/** Old data of the clusters of this host, or of the one named. */
export async function keptItems(deps: HostDependencies, cluster?: string): Promise<readonly KeptItem[]> {
  const states = await Promise.all(
    (await openClusterContexts(deps, cluster)).map((clusterContext) => clusterContext.catalogue.state()),
  );
  return states.flatMap(({ kept }) => kept);
}

/**
 * Drops old data that a recovery has kept.
 * @throws RepriseError `not-found`; `conflict` where its recovery has not ended
 */
export async function dropKept(
  deps: HostDependencies,
  { id, by, dryRun }: Extract<Inspection, { kind: 'kept-drop' }>,
): Promise<InspectionResults['kept-drop']> {
  const item = (await keptOn(deps)).find((kept) => kept.id === id);
  if (!item)
    throw new RepriseError('not-found', `no old data is kept under "${id}" on host ${deps.host}`, 'reprise kept list');
  if (!dryRun) {
    const clusterContext = await openClusterContext(deps, item.cluster);
    await refuseWhileInUse(clusterContext, item);
    await dropOldData(item, clusterContext.cluster.connection);
    await record(
      clusterContext,
      { operationId: item.operationId },
      `dropped/${item.id}`,
      { kind: 'kept-dropped', keptId: item.id },
      by,
    );
  }
  return { dropped: [item] };
}

/** What is on this host, of every cluster that is here or is recovered onto it. */
async function keptOn(deps: HostDependencies): Promise<readonly KeptItem[]> {
  const here = Object.values(deps.config.clusters).filter(({ host, recovery }) =>
    [host, ...Object.values(recovery.targets).map((target) => target.host)].includes(deps.host),
  );
  const items = await Promise.all(here.map(({ name }) => keptItems(deps, name)));
  return items.flat().filter(({ host }) => host === deps.host);
}

/** Until its recovery has ended, what was put aside may be the only copy there is, and saved WAL is still replayed. */
async function refuseWhileInUse({ host }: ClusterContext, { id, operationId }: KeptItem): Promise<void> {
  const state = openHostState(host.stateDir);
  for (const plan of await state.openPlans()) {
    if (plan.binding.operationId !== operationId || !(await state.usedBy(plan.digest))) continue;
    throw new RepriseError(
      'conflict',
      `${id} belongs to a recovery that has not ended (operation ${operationId})`,
      'wait until it ends, or end it: reprise reject; a later recovery of the cluster ends it too',
    );
  }
}
