import { isRepriseError } from '../../domain/errors.js';
import { isBlockingPlan } from '../../domain/table/hold.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { freezeTable, unfreezeTable } from '../../postgres/repair/freeze.js';
import { type FrozenTable, openFrozenTables } from '../../records/frozen-tables.js';
import { openHostState } from '../../records/host-state.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { wrapActivity } from '../activity-wrapper.js';
import type { RepairActivities } from '../api.js';
import { authorizePlan } from '../approval/authorize.js';
import { requireOwnOperation } from '../approval/own-operation.js';
import { type ClusterContext, openClusterContext, record } from '../cluster-context.js';
import type { HostDependencies } from '../dependencies.js';
import { hostOf } from '../config-lookup.js';
import type { HasClosed } from '../workflow-closed.js';

/** In the host's ledger: when the table was frozen, and opened again. */
export const FROZEN = 'table-frozen';
export const OPENED = 'table-opened';

/** Blocks the writes of others to the table of an approved plan, and opens them again. */
export function freezeActivities(deps: HostDependencies): Pick<RepairActivities, 'freezeTable' | 'unfreezeTable'> {
  return {
    freezeTable: wrapActivity('freezeTable', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      const { binding } = await authorizePlan(clusterContext, step, isBlockingPlan);
      const { cluster, host } = clusterContext;
      const { freeze: means, order } = binding;
      if (means === null) return;
      const { database, table } = order;
      const frozen = openFrozenTables(host.stateDir);
      const earlier = await frozen.of(step.operationId);
      const firstRunId = (await openOperationLedger(host.stateDir).claimOf(step.operationId))?.firstRunId ?? null;
      const mine = { cluster: cluster.name, operationId: step.operationId, workflowId: step.workflowId, firstRunId };
      await withClient(cluster.connection, database, (client) =>
        freezeTable(client, { table, means }, step.workflowId, async ({ oids, taken }) => {
          // An attempt before this one may have taken them already.
          const known = earlier?.taken ?? [];
          const at = earlier?.at ?? new Date().toISOString();
          await frozen.save({ ...mine, database, table, means, at, oids, taken: [...known, ...taken] });
        }),
      );
      const since = (await frozen.of(step.operationId))?.at ?? '';
      await openHostState(host.stateDir).recordDone(step.operationId, FROZEN, since);
      await note(clusterContext, step, `freeze/${since}`, `writes to ${formatTableName(table)} are blocked`);
    }),
    unfreezeTable: wrapActivity('unfreezeTable', async (step) => {
      const clusterContext = await openClusterContext(deps, step.cluster);
      await requireOwnOperation(clusterContext, step);
      const frozen = await openFrozenTables(clusterContext.host.stateDir).of(step.operationId);
      if (frozen !== null) await unfreeze(clusterContext, frozen);
    }),
  };
}

async function unfreeze(clusterContext: ClusterContext, frozen: FrozenTable): Promise<void> {
  const { cluster, host } = clusterContext;
  const { database, table, means, operationId, at } = frozen;
  const tables = openFrozenTables(host.stateDir);
  const others = async (): Promise<FrozenTable | undefined> =>
    (await tables.all()).find(
      (one) =>
        one.operationId !== operationId &&
        one.cluster === cluster.name &&
        one.database === database &&
        one.means.by === means.by &&
        formatTableName(one.table) === formatTableName(table),
    );
  const isHeldByOthers = async (): Promise<boolean> => {
    const other = await others();
    if (other === undefined) return false;
    // What this one took, that one gives back.
    const taken = [...other.taken, ...frozen.taken];
    await tables.save({ ...other, taken });
    return true;
  };
  try {
    await withClient(cluster.connection, database, (client) =>
      unfreezeTable(client, { table, means }, frozen, isHeldByOthers),
    );
  } catch (error) {
    // The database is gone, and the block with it.
    if (!isRepriseError(error) || error.details?.['sqlState'] !== '3D000') throw error;
  }
  await note(clusterContext, frozen, `unfreeze/${at}`, `writes to ${formatTableName(table)} are open again`);
  await openHostState(host.stateDir).recordDone(operationId, OPENED, new Date().toISOString());
  await tables.release(operationId);
}

function note(
  clusterContext: ClusterContext,
  step: { readonly operationId: string; readonly workflowId: string },
  key: string,
  text: string,
): Promise<unknown> {
  const body = { kind: 'journal' as const, workflowId: step.workflowId, step: 'freeze', text };
  return record(clusterContext, step, key, body);
}

/** Operations that keep a table of this host's clusters frozen although their workflow has ended. */
export async function frozenOver(deps: HostDependencies, hasClosed: HasClosed): Promise<readonly string[]> {
  const over: string[] = [];
  for (const frozen of await openFrozenTables(hostOf(deps).stateDir).all())
    if ((await hasClosed(frozen)) === true) over.push(frozen.operationId);
  return over;
}

/** Opens the tables of a cluster again that operations which have ended left frozen; returns the operations. */
export async function sweepFrozen(clusterContext: ClusterContext, hasClosed: HasClosed): Promise<readonly string[]> {
  const { host, cluster } = clusterContext;
  const released: string[] = [];
  for (const frozen of await openFrozenTables(host.stateDir).all()) {
    if (frozen.cluster !== cluster.name || (await hasClosed(frozen)) !== true) continue;
    try {
      await unfreeze(clusterContext, frozen);
      released.push(frozen.operationId);
    } catch (error) {
      // A server that is away keeps nothing else from being released; the next sweep tries again.
      if (!isRepriseError(error)) throw error;
    }
  }
  return released;
}
