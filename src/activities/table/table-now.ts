import { isRepriseError, RepriseError } from '../../domain/errors.js';
import { repairWorkflowId, tableComparisonWorkflowId } from '../../domain/operation/names.js';
import type { TableName } from '../../domain/table/table-name.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { withClient, withMaintenance } from '../../postgres/connection/with-client.js';
import { readTableFacts } from '../../postgres/repair/table-facts.js';
import { callingWorkflow } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';

interface Asked {
  readonly operationId: string;
  readonly database: string;
  readonly table: TableName;
}

/**
 * Before anything is restored: a table that cannot be repaired or compared is refused at once, and not after hours. What only looks at the
 * past may do without the table, and is let through.
 * @throws RepriseError what `readTableFacts` and `withTableSide` throw
 */
export async function requireTableNow(
  { cluster }: ClusterContext,
  { operationId, database, table }: Asked,
): Promise<void> {
  const caller = callingWorkflow();
  const repairs = caller === repairWorkflowId(cluster.name, operationId);
  if (!repairs && caller !== tableComparisonWorkflowId(cluster.name, operationId)) return;
  await withClient(cluster.connection, database, async (client) => {
    if (repairs) await readTableFacts(client, table);
    await withTableSide(client, table, 'in production', () => Promise.resolve());
  });
}

/**
 * The WAL has the last 32 bits of a transaction's number. One with an epoch must be of the round of now, else another
 * transaction would be taken for it. A server that does not answer is not asked.
 * @throws RepriseError `not-found`
 */
export async function requireOwnEpoch({ cluster }: ClusterContext, xid: string): Promise<void> {
  if (BigInt(xid) < ROUND) return;
  const next = await nextXid(cluster.connection);
  if (next === null || isOfThisRound(BigInt(xid), next)) return;
  throw new RepriseError(
    'not-found',
    `the server knows no transaction ${xid}: the next one will be ${next}`,
    `see its transactions: reprise wal transactions ${cluster.name} --from -2h`,
  );
}

const ROUND = 1n << 32n;

/** Whether the server can still have given it: it has begun, and was not a whole round of numbers ago. */
export function isOfThisRound(xid: bigint, next: bigint): boolean {
  return xid < next && xid + ROUND >= next;
}

async function nextXid(connection: ClusterContext['cluster']['connection']): Promise<bigint | null> {
  try {
    return await withMaintenance(connection, async (client) => {
      const { rows } = await client.query<{ next: string }>(
        'SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text AS next',
      );
      return BigInt(rows[0]?.next ?? 0);
    });
  } catch (error) {
    if (isRepriseError(error) && error.code === 'database-unreachable') return null;
    throw error;
  }
}
