import type { RepairOrder } from '../../domain/operation/orders.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import type { ReadChangeSet } from '../../postgres/repair/change-set-file.js';
import type { TableFacts } from '../../postgres/repair/table-facts.js';
import type { ClusterContext } from '../cluster-context.js';
import { ROWS_AT_ONCE } from './make-changes.js';
import { missingRows, referencedRows } from './referring-rows.js';
import { changesOnly } from './repair-session.js';
import { keyText, type States } from './row-states.js';

/**
 * How many of the changed rows refer to rows of other tables that are gone, or were deleted although others refer to them: 0 unless
 * the server let it through, as with constraints that are not valid or triggers that are off. Null: too many rows to hold in memory.
 */
export async function brokenReferences(
  { cluster }: ClusterContext,
  { database, table }: RepairOrder,
  facts: TableFacts,
  changes: ReadChangeSet,
  left: ReadonlySet<number>,
): Promise<number | null> {
  const { header } = changes;
  const states = new Map<string, States>();
  let number = 0;
  for await (const change of changesOnly(changes)) {
    if (left.has(number++)) continue;
    if (states.size >= ROWS_AT_ONCE) return null;
    const bad = change.op === 'delete' ? change.before : null;
    states.set(String(number), { good: 'after' in change ? change.after : null, bad, now: null });
  }
  const signal = new AbortController().signal;
  return withClient(cluster.connection, database, (client) =>
    withTableSide(client, table, 'in production', async (side) => {
      const held = await referencedRows(facts, side, header.columns, states, signal);
      const lacks = await missingRows(facts, header, side, states, signal);
      const isThere = valuesThere(facts, header.columns, states);
      return [...states.values()].filter(
        ({ good, bad }) => (good !== null && lacks(good)) || (bad !== null && !isThere(bad) && held(bad)),
      ).length;
    }),
  );
}

/** Whether the values by which others refer to a deleted row have come back with another row. */
function valuesThere(
  { referencedBy }: TableFacts,
  columns: readonly string[],
  states: ReadonlyMap<string, States>,
): (row: readonly (string | null)[]) => boolean {
  const places = referencedBy.map(({ refersTo }) => refersTo.map((name) => columns.indexOf(name)));
  const there = places.map(
    (at) => new Set([...states.values()].flatMap(({ good }) => (good === null ? [] : [keyText(good, at)]))),
  );
  return (row) => places.length > 0 && places.every((at, index) => there[index]?.has(keyText(row, at)) === true);
}
