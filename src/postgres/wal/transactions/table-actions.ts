import type { WalTableAction } from '../../../domain/operation/wal-transactions.js';
import type { RelationFile } from './record-text.js';
import type { NamedTable, RelationNames } from './relation-names.js';
import type { Counts, Tallied } from './transaction-tally.js';

/** Files of `pg_class` and `pg_type` where nobody has rewritten them. */
const [PG_CLASS, PG_TYPE] = [1259, 1247];
/** Rows of `pg_type` for a table: its own type, and the type of arrays of it. */
const TYPES_OF_TABLE = 2;

/**
 * What a transaction did to tables as a whole. The WAL names files and locks: TRUNCATE and rewrites give a table another file,
 * DROP takes it away, and all lock the table. A rewrite (VACUUM FULL, CLUSTER, most of ALTER TABLE) makes a table for the
 * time being and drops it, which TRUNCATE does not; DROP removes types, which neither does.
 */
export function tableActions(transaction: Tallied, names: RelationNames): readonly WalTableAction[] {
  const { end, begun, locked, truncated, droppedDatabases } = transaction;
  const actions: WalTableAction[] = droppedDatabases.map((number) => ({
    ...{ action: 'database dropped', database: names.database(number), schema: null, table: null, number },
  }));
  const first = locked[0];
  if (end.files.length === 0 || first === undefined) return actions;
  const said = new Set(truncated);
  const tables = new Map<number, NamedTable | null>();
  for (const { database, table } of locked) if (!tables.has(table)) tables.set(table, names.ofOid(database, table));
  const named = [...tables.values()].filter((table) => table !== null && table.kind === 'table') as NamedTable[];
  // DROP only deletes there.
  const isRewrite = changed(transaction, names, 'pg_class', PG_CLASS, ({ inserted }) => inserted) > 0;
  const types = changed(transaction, names, 'pg_type', PG_TYPE, ({ inserted, deleted }) => deleted - inserted);
  // Only names of an earlier time know what was dropped.
  const gone =
    types < TYPES_OF_TABLE ? [] : named.filter((table) => isDropped(table, first.database, transaction, names));
  actions.push(...gone.map((table) => actionOf('dropped', table)));
  const rest = named.filter((table) => !gone.includes(table));
  for (const table of rest) {
    if (!said.has(table.oid) && !gotNewFile(table, transaction, rest, names)) continue;
    actions.push(actionOf(isMoved(table, transaction, names) ? 'moved' : isRewrite ? 'rewritten' : 'truncated', table));
  }
  const unknown = [...tables].filter(([, table]) => table === null).map(([oid]) => oid);
  const dropped = unknown.slice(0, Math.max(0, Math.floor(types / TYPES_OF_TABLE) - gone.length));
  const unnamed = (action: WalTableAction['action']) => (number: number) => ({
    ...{ action, database: names.database(first.database), schema: null, table: null, number },
  });
  actions.push(...dropped.map(unnamed('dropped')));
  // With names it is an index that was made anew.
  if (actions.length === 0 && names.isEmpty && begun.length > 0)
    actions.push(...unknown.slice(0, 1).map(unnamed('replaced')));
  return actions;
}

function actionOf(action: WalTableAction['action'], { database, schema, table, oid }: NamedTable): WalTableAction {
  return { action, database, schema, table, number: oid };
}

const holds = (file: RelationFile, { oid }: NamedTable, names: RelationNames): boolean =>
  names.ofFile(file)?.oid === oid;

/** It ended with the transaction: from PostgreSQL 15 on its statistics do too; before, its file ended, and none was begun for it. */
function isDropped(table: NamedTable, database: number, { end, begun }: Tallied, names: RelationNames): boolean {
  if (end.dropped.length > 0) return end.dropped.includes(`${database}/${table.oid}`);
  return end.files.some((file) => holds(file, table, names)) && !begun.some((file) => holds(file, table, names));
}

/** It has a file that was begun; or one of its files ended; or nothing else can have been meant. */
function gotNewFile(
  table: NamedTable,
  { end: { files }, begun }: Tallied,
  candidates: readonly NamedTable[],
  names: RelationNames,
): boolean {
  if (begun.length === 0) return false;
  if ([...begun, ...files].some((file) => holds(file, table, names))) return true;
  return candidates.length === 1 && table.file !== null;
}

/** Its file went to another tablespace. */
function isMoved(table: NamedTable, { end: { files }, begun }: Tallied, names: RelationNames): boolean {
  const made = begun.find((file) => holds(file, table, names));
  return made !== undefined && files.every(({ tablespace }) => tablespace !== made.tablespace);
}

function changed(
  { counts }: Tallied,
  names: RelationNames,
  table: string,
  otherwise: number,
  read: (counts: Counts) => number,
): number {
  const isIt = (file: RelationFile): boolean => {
    const known = names.ofFile(file);
    return known === null ? file.file === otherwise : known.kind === 'system' && known.table === table;
  };
  return counts.filter(({ file }) => isIt(file)).reduce((sum, one) => sum + read(one), 0);
}
