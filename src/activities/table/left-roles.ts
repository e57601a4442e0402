import { readdir } from 'node:fs/promises';
import { isRepriseError } from '../../domain/errors.js';
import { dropLeftQueryLogins } from '../../postgres/connection/query-login.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { closeRepairLogin, repairRoles } from '../../postgres/repair/repair-login.js';
import { openOperationLedger } from '../../records/operation-ledger.js';
import { hasRepairFiles, repairsPlace } from '../../records/repair-files.js';
import type { ClusterContext } from '../cluster-context.js';
import type { HasClosed } from '../workflow-closed.js';

/** Drops the role of a repair that an attempt has left, with its rights in every database; none there is no error. */
async function dropRepairRole(clusterContext: ClusterContext, operationId: string): Promise<boolean> {
  const { connection } = clusterContext.cluster;
  const left = (await withMaintenance(connection, repairRoles)).find((one) => one.operationId === operationId);
  if (left === undefined) return false;
  const { databases } = left;
  for (const database of databases.length > 0 ? databases : [connection.maintenanceDatabase])
    await withClient(connection, database, (client) =>
      closeRepairLogin(client, operationId, databases.at(-1) !== database),
    );
  return true;
}

/** The same where an operation ends; false where the server does not answer: nobody knows then whether there is a role. */
export async function dropRoleAtEnd(clusterContext: ClusterContext, operationId: string): Promise<boolean> {
  if (!(await hasRepairFiles(clusterContext.host.stateDir, operationId))) return true;
  try {
    await dropRepairRole(clusterContext, operationId);
    return true;
  } catch (error) {
    if (!isRepriseError(error)) throw error;
    return error.code !== 'database-unreachable';
  }
}

/** Drops the roles of repairs whose workflow has ended without it: it was terminated while its worker was gone. */
export async function sweepRepairRoles(
  clusterContext: ClusterContext,
  hasClosed: HasClosed,
): Promise<readonly string[]> {
  const { host, cluster, deps } = clusterContext;
  // The database is asked only where there was a repair.
  const repairs = await readdir(repairsPlace(host.stateDir)).catch(() => []);
  if (cluster.host !== deps.host || repairs.length === 0) return [];
  const ledger = openOperationLedger(host.stateDir);
  const dropped: string[] = [];
  // A server that is down keeps nothing else from being released.
  const roles = await withMaintenance(cluster.connection, repairRoles).catch(() => []);
  for (const { operationId } of roles) {
    const claim = await ledger.claimOf(operationId);
    if (claim?.cluster !== cluster.name || claim.workflowId === null) continue;
    const { workflowId, firstRunId } = claim;
    const isOver = (await ledger.hasEnded(operationId)) || (await hasClosed({ workflowId, firstRunId })) === true;
    // One that cannot be dropped keeps no other from it.
    if (isOver && (await dropRepairRole(clusterContext, operationId).catch(() => false))) dropped.push(operationId);
  }
  return dropped;
}

/** Drops the roles of configured queries that a killed worker has left. Those of a standby are its primary's. */
export async function sweepQueryRoles({ cluster, deps }: ClusterContext): Promise<void> {
  if (cluster.host !== deps.host) return;
  // A server that is down keeps nothing else from being released.
  await withMaintenance(cluster.connection, async (client) => {
    const { rows } = await client.query<{ drops: boolean }>(
      `SELECT rolsuper AND NOT pg_catalog.pg_is_in_recovery() AS drops FROM pg_catalog.pg_roles WHERE rolname = current_user`,
    );
    if (rows[0]?.drops === true) await dropLeftQueryLogins(client);
  }).catch(() => undefined);
}
