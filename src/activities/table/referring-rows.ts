import pg from 'pg';
import type { ReferringRows } from '../../domain/table/blast-radius.js';
import type { ChangeSetHeader, RowText } from '../../domain/table/repair.js';
import { eachLine, valuesOf } from '../../postgres/compare/copied-lines.js';
import type { TableSide } from '../../postgres/compare/table-side.js';
import { refersByText, statementTable, type TableFacts } from '../../postgres/repair/table-facts.js';
import { keyText, type States } from './row-states.js';

/** Whether rows of other tables refer to a row that would be deleted: then it stays. */
export async function referencedRows(
  { referencedBy }: TableFacts,
  { client, decode }: TableSide,
  columns: readonly string[],
  states: ReadonlyMap<string, States>,
  signal: AbortSignal,
): Promise<(row: RowText) => boolean> {
  const [candidates, held] = [new Map<string, Set<string>>(), new Map<string, Set<string>>()];
  const at = (refersTo: readonly string[]): readonly number[] => refersTo.map((name) => columns.indexOf(name));
  for (const { refersTo } of referencedBy) {
    const of = new Set<string>();
    for (const { good, bad } of states.values()) if (good === null && bad !== null) of.add(keyText(bad, at(refersTo)));
    candidates.set(refersTo.join('\0'), of);
  }
  for (const { table, columns: their, refersTo } of referencedBy) {
    const wanted = candidates.get(refersTo.join('\0'));
    if (wanted === undefined || wanted.size === 0) continue;
    const names = their.map((name) => pg.escapeIdentifier(name)).join(', ');
    const found = held.get(refersTo.join('\0')) ?? new Set<string>();
    for (const leaf of await leavesOf(client, statementTable(table)))
      await eachLine(client, `${leaf} (${names})`, signal, (bytes, start, end) => {
        const text = JSON.stringify(valuesOf(bytes.subarray(start, end), their.length, decode));
        if (wanted.has(text)) found.add(text);
      });
    held.set(refersTo.join('\0'), found);
  }
  return (row) =>
    referencedBy.some(({ refersTo }) => held.get(refersTo.join('\0'))?.has(keyText(row, at(refersTo))) === true);
}

/** So many values are looked for at once. */
const MOST_REFERRED = 500_000;

/** Rows of other tables that refer to given rows; `isAll`: false where there were more of these than are looked for. */
export async function referringRows(
  { referencedBy }: TableFacts,
  { client, decode }: TableSide,
  columns: readonly string[],
  given: readonly (() => AsyncIterable<RowText>)[],
  signal: AbortSignal,
): Promise<{ readonly references: readonly ReferringRows[]; readonly isAll: boolean }> {
  const references: ReferringRows[] = [];
  let isAll = true;
  for (const { table, columns: their, refersTo, onDelete } of referencedBy) {
    const at = refersTo.map((name) => columns.indexOf(name));
    const wanted = new Set<string>();
    for (const rows of given)
      for await (const row of rows()) {
        // A value that is NULL refers to nothing.
        if (at.some((place) => (row[place] ?? null) === null)) continue;
        if (wanted.size < MOST_REFERRED) wanted.add(keyText(row, at));
        else isAll = false;
      }
    let rows = 0;
    const names = their.map((name) => pg.escapeIdentifier(name)).join(', ');
    for (const leaf of wanted.size === 0 ? [] : await leavesOf(client, statementTable(table)))
      await eachLine(client, `${leaf} (${names})`, signal, (bytes, start, end) => {
        if (wanted.has(JSON.stringify(valuesOf(bytes.subarray(start, end), their.length, decode)))) rows++;
      });
    references.push({ table, columns: their, onDelete, rows });
  }
  return { references, isAll };
}

/** Whether a row that would come back refers to a row of another table that is gone: then it cannot. */
export async function missingRows(
  facts: TableFacts,
  { columns, table: own }: ChangeSetHeader,
  { client, decode }: TableSide,
  states: ReadonlyMap<string, States>,
  signal: AbortSignal,
): Promise<(row: RowText) => boolean> {
  const missing: { readonly at: readonly number[]; readonly of: ReadonlySet<string> }[] = [];
  // Where equal values have more than one text, the server is asked when the changes are looked up.
  for (const { table, columns: names, refersTo } of facts.foreignKeys.filter((key) => refersByText(facts, key))) {
    const at = names.map((name) => columns.indexOf(name));
    // What it refers to in itself may come back with it; generated columns are not in the rows.
    if (at.includes(-1) || statementTable(table) === statementTable(own)) continue;
    const of = new Set<string>();
    for (const { good } of states.values())
      if (good !== null && at.every((place) => good[place] !== null)) of.add(keyText(good, at));
    if (of.size === 0) continue;
    const list = refersTo.map((name) => pg.escapeIdentifier(name)).join(', ');
    for (const leaf of await leavesOf(client, statementTable(table)))
      await eachLine(client, `${leaf} (${list})`, signal, (bytes, start, end) =>
        of.delete(JSON.stringify(valuesOf(bytes.subarray(start, end), refersTo.length, decode))),
      );
    missing.push({ at, of });
  }
  return (row) => missing.some(({ at, of }) => of.has(keyText(row, at)));
}

async function leavesOf(client: pg.ClientBase, name: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND (c.oid = $1::pg_catalog.regclass
         OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass)))`,
    [name],
  );
  return rows.map((row) => row.name);
}
