import { join } from 'node:path';
import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import { isRepriseError, RepriseError } from '../../domain/errors.js';
import type { RepairOrder } from '../../domain/operation/orders.js';
import type { RowText } from '../../domain/table/repair.js';
import { formatTableName, type TableName } from '../../domain/table/table-name.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { eachLine, valuesOf } from '../../postgres/compare/copied-lines.js';
import { type TableSide, withTableSide } from '../../postgres/compare/table-side.js';
import { withRowsFile } from '../../postgres/repair/rows-file.js';
import { readTableFacts, type TableFacts } from '../../postgres/repair/table-facts.js';
import type { RelationFile } from '../../postgres/wal/transactions/record-text.js';
import {
  notInRows,
  readChanges,
  type TransactionChanges,
} from '../../postgres/wal/transactions/transaction-changes.js';
import { ctidOf, placeNumber, type RowPlace } from '../../postgres/wal/transactions/row-place.js';
import type { RepairFiles } from '../../records/repair-files.js';
import { readJson, replaceJson } from '../../records/state-files.js';
import type { ActivityRun } from '../activity-wrapper.js';
import type { ClusterContext } from '../cluster-context.js';
import { noteColumns } from './columns-then.js';

/** So many rows are read at once by their places. */
const PLACES = 2000;

/**
 * The versions that the transaction ended, read just before its end, or those that it made, read just after it. False where the WAL does
 * not tell them row by row, or where nobody may be asked for them without rights of a superuser for code of others.
 */
export async function readByPlaces(
  connection: ConnectionConfig,
  state: 'good' | 'bad',
  { database, table }: RepairOrder,
  transaction: TransactionChanges,
  files: RepairFiles,
  owner: ClusterContext['user'],
  run: ActivityRun,
): Promise<boolean> {
  const { facts, leaves, reader } = await withClient(connection, database, async (client) => {
    const found = await readTableFacts(client, table).catch((error: unknown) => {
      throw notThereThen(error, state, table);
    });
    return {
      facts: found,
      leaves: await relationFiles(client, found.oid),
      reader: await readerOf(client, connection, found),
    };
  });
  const isOther = leaves.some(({ file }) =>
    state === 'good'
      ? notInRows(transaction, { before: file, after: null }) !== null
      : notInRows(transaction, { before: null, after: file }) !== null,
  );
  if (isOther || reader === null || (await isOtherTable(files, state, facts, leaves))) return false;
  return withClient(reader, database, (client) =>
    withTableSide(client, table, 'in the temporary instance', (side) =>
      withRowsFile(files[state], owner, async (write) => {
        const columns = facts.columns.map((one) => one.name);
        await noteColumns(files, columns, facts.columns);
        for (const { name, file } of leaves) {
          const places = await touched(files.places, file, state);
          for (let at = 0; at < places.length; at += PLACES) {
            run.report({ phase: 'read the damaged rows', done: at, total: places.length, unit: 'steps' });
            const wanted = Array.from(places.subarray(at, at + PLACES), ctidOf);
            const rows = await rowsAt(side, name, columns, wanted, run.signal);
            if (rows.length < wanted.length) return false;
            for (const row of rows) await write(row);
          }
        }
        return true;
      }),
    ),
  );
}

/** Renamed since, or dropped and made anew: the message of the instance would be taken for one of production. */
function notThereThen(error: unknown, state: 'good' | 'bad', table: TableName): unknown {
  if (!isRepriseError(error) || error.code !== 'not-found') return error;
  return new RepriseError(
    'not-found',
    `there was no table ${formatTableName(table)} just ${state === 'good' ? 'before' : 'after'} the transaction`,
    'where it had another name then, give it that name for the time of the repair: ALTER TABLE ... RENAME TO ...; where it was dropped, put its rows back from a state: --to TARGET --strategy upsert',
  );
}

/**
 * Whether the transaction made another table of it: by other partitions, other columns, or another table under its name. No row that came or went with
 * that is in the WAL.
 */
async function isOtherTable(
  files: RepairFiles,
  state: 'good' | 'bad',
  { oid, columns }: TableFacts,
  leaves: readonly Leaf[],
): Promise<boolean> {
  const path = join(files.directory, 'table.json');
  const made = {
    oid,
    columns: columns.map(({ name, type }) => ({ name, type })),
    leaves: leaves.map((leaf) => leaf.oid),
  };
  if (state === 'good') {
    await replaceJson(path, made);
    return false;
  }
  const before = await readJson(path);
  return before !== null && JSON.stringify(before) !== JSON.stringify(made);
}

/**
 * Who may ask for rows by a query: planning it runs functions in expressions of indexes and statistics. A superuser where there are none,
 * or where superusers own them; else the owner of the table, whose code that is; null where the owner may not log in.
 */
export async function readerOf(
  client: pg.ClientBase,
  connection: ConnectionConfig,
  { oid, owner, ownerIsSuperuser, foreignCode }: TableFacts,
): Promise<ConnectionConfig | null> {
  const { rows } = await client.query<{ plain: boolean; login: boolean }>(
    `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = ANY (t.oids) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = ANY (t.oids)
                               AND pg_catalog.to_jsonb(s) ->> 'stxexprs' IS NOT NULL) AS plain,
            (SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $2) AS login
       FROM (SELECT pg_catalog.array_agg(relid::oid) || $1::oid AS oids FROM pg_catalog.pg_partition_tree($1::oid::regclass)) t`,
    [oid, owner],
  );
  const { plain = false, login = false } = rows[0] ?? {};
  if (plain || (ownerIsSuperuser && foreignCode.length === 0)) return connection;
  return !ownerIsSuperuser && login ? { ...connection, user: owner } : null;
}

/** What holds rows of a table. */
export interface Leaf {
  readonly oid: number;
  readonly name: string;
  readonly file: RelationFile;
}

export async function relationFiles(client: pg.ClientBase, oid: number): Promise<readonly Leaf[]> {
  const { rows } = await client.query<{
    oid: number;
    name: string;
    tablespace: number;
    database: number;
    file: number;
  }>(
    `SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, d.oid AS database, pg_catalog.pg_relation_filenode(c.oid) AS file,
            coalesce(nullif(c.reltablespace, 0), d.dattablespace) AS tablespace
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
            pg_catalog.pg_database d
      WHERE d.datname = pg_catalog.current_database() AND c.relkind = 'r'
        AND (c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass)))
      ORDER BY c.oid`,
    [oid],
  );
  return rows.map(({ oid: of, name, ...file }) => ({ oid: of, name, file }));
}

/** Places as numbers, eight bytes each: a transaction may have touched tens of millions of rows, and a Set takes no more than 16 million. */
class Places {
  private numbers = new Float64Array(1024);
  private length = 0;

  add(place: RowPlace): void {
    if (this.length === this.numbers.length) {
      const more = new Float64Array(2 * this.length);
      more.set(this.numbers);
      this.numbers = more;
    }
    this.numbers[this.length++] = placeNumber(place);
  }

  /** Each once, as they lie in the file. */
  sorted(): Float64Array {
    const all = this.numbers.subarray(0, this.length).sort();
    let kept = 0;
    for (const place of all) if (kept === 0 || all[kept - 1] !== place) all[kept++] = place;
    return all.subarray(0, kept);
  }
}

/** Places of versions that were there before the transaction and not after it, or the reverse. */
async function touched(path: string, file: RelationFile, state: 'good' | 'bad'): Promise<Float64Array> {
  const [old, made] = [new Places(), new Places()];
  for await (const change of readChanges(path, file)) {
    if (change.old !== null) old.add(change.old);
    if (change.new !== null) made.add(change.new);
  }
  const [wanted, between] = state === 'good' ? [old.sorted(), made.sorted()] : [made.sorted(), old.sorted()];
  // What the transaction made and ended itself, nobody else ever saw.
  let [kept, at] = [0, 0];
  for (const place of wanted) {
    while (at < between.length && (between[at] ?? 0) < place) at++;
    if (between[at] !== place) wanted[kept++] = place;
  }
  return wanted.subarray(0, kept);
}

async function rowsAt(
  { client, decode }: TableSide,
  leaf: string,
  columns: readonly string[],
  places: readonly string[],
  signal: AbortSignal,
): Promise<readonly RowText[]> {
  await client.query('SET LOCAL constraint_exclusion TO off');
  const names = columns.map((name) => pg.escapeIdentifier(name)).join(', ');
  const list = `'{${places.map((place) => `"${place}"`).join(',')}}'::pg_catalog.tid[]`;
  const rows: RowText[] = [];
  // By COPY, which writes each value by its type's own output, and no cast of somebody.
  await eachLine(
    client,
    `(SELECT ${names} FROM ONLY ${leaf} WHERE ctid = ANY (${list}))`,
    signal,
    (bytes, start, end) => rows.push(valuesOf(bytes.subarray(start, end), columns.length, decode)),
  );
  return rows;
}
