import type pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import { changedRows, type ChangeSetDigest, type RowText } from '../../domain/table/repair.js';
import { formatTableName, type TableName, tableCommand } from '../../domain/table/table-name.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withChangeSet } from '../../postgres/repair/change-set-file.js';
import { materializedViewsOf } from '../../postgres/repair/materialized-views.js';
import type { TableFacts } from '../../postgres/repair/table-facts.js';
import { type ChangedTable, tablesOfFiles } from '../../postgres/repair/tables-of-files.js';
import type { TransactionChanges } from '../../postgres/wal/transactions/transaction-changes.js';
import { referringRows } from './referring-rows.js';

/** So many tables are named. */
const NAMED = 20;

interface Repaired {
  readonly cluster: string;
  readonly order: RepairOrder;
  readonly facts: TableFacts;
}

/** What the transaction did to other tables: a repair is of one table, so that theirs are repairs of their own, in this order. */
export async function otherTablesOf(
  connection: ConnectionConfig,
  { cluster, order, facts }: Repaired,
  transaction: TransactionChanges | null,
): Promise<readonly string[]> {
  if (transaction === null || order.source.kind !== 'transaction') return [];
  const { xid } = order.source;
  const { database, table } = order;
  const own = formatTableName(table);
  const { tables, unknown } = await withClient(connection, database, (client) =>
    tablesOfFiles(client, transaction.files),
  );
  const others = tables.filter((one) => formatTableName(one) !== own);
  const lines = others
    .slice(0, NAMED)
    .map(
      (one) =>
        `${whatItDid(xid, one)}; ${whenOf(one, facts)}: ${tableCommand('repair', { cluster, database, table: one }, `--xid ${xid}`)}`,
    );
  const more = others.length - lines.length;
  return [
    ...lines,
    ...(more > 0
      ? [`transaction ${xid} changed ${more} more tables: see them with \`reprise table blast-radius\``]
      : []),
    ...(unknown > 0
      ? [
          `transaction ${xid} changed ${unknown} tables that are gone or have another file by now: see \`reprise table blast-radius\``,
        ]
      : []),
  ];
}

function whatItDid(xid: string, one: ChangedTable): string {
  const { inserted, updated, deleted } = one;
  return `transaction ${xid} changed ${formatTableName(one)} too (${inserted} inserted, ${updated} updated, ${deleted} deleted), which this repair leaves alone`;
}

/** What rows refer to has to be there before them. */
function whenOf(table: TableName, { refersTo, referencedBy }: TableFacts): string {
  const is = (other: TableName): boolean => formatTableName(other) === formatTableName(table);
  if (refersTo.some(is)) return 'rows of this table refer to its rows, so put that right before';
  return referencedBy.some((key) => is(key.table))
    ? 'its rows refer to rows of this table, so put that right after this'
    : 'put that right too';
}

/** Rows of other tables that keep rows of the plan from being deleted or getting another key, by their tables. */
export async function holdingRows(
  connection: ConnectionConfig,
  { cluster, order, facts }: Repaired,
  path: string,
  changes: ChangeSetDigest,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (changes.conflicts === 0 || facts.referencedBy.length === 0) return [];
  const { database, table } = order;
  return withChangeSet(path, changes, async ({ header, entries }) => {
    let held = 0;
    const rows = async function* (): AsyncGenerator<RowText> {
      held = 0;
      for await (const entry of entries()) {
        if (entry.op !== 'conflict' || entry.reason !== 'referenced') continue;
        const row = entry.now ?? entry.bad;
        if (row === null) continue;
        held++;
        yield row;
      }
    };
    const { references } = await withClient(connection, database, (client: pg.Client) =>
      withTableSide(client, table, 'in production', (side) =>
        referringRows(facts, side, header.columns, [rows], signal),
      ),
    );
    return references
      .filter((one) => one.rows > 0)
      .map(
        ({ table: other, columns, rows: count }) =>
          `rows that stay because others refer to them: ${held}; rows of ${formatTableName(other)} (${columns.join(', ')}) that refer to them: ${count}, which no repair of this table deletes or changes; put those right first, then plan again: ${tableCommand('compare', { cluster, database, table: other }, '--to TARGET')}`,
      );
  });
}

/** What shows the old rows until somebody has the server make it again. */
export async function staleViews(
  connection: ConnectionConfig,
  { order, facts }: Repaired,
  changes: ChangeSetDigest,
): Promise<readonly string[]> {
  if (changedRows(changes) === 0) return [];
  const views = await withClient(connection, order.database, (client) => materializedViewsOf(client, facts.oid));
  return views
    .slice(0, NAMED)
    .map(
      (view) =>
        `materialized view ${formatTableName(view)} goes on showing the rows as they are now: REFRESH MATERIALIZED VIEW ${formatTableName(view)} after the repair`,
    );
}
