import { once } from 'node:events';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { RepriseError } from '../../domain/errors.js';
import type { ChangeSetHeader, RowChange, RowText } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { workMoved } from '../../files/work-signs.js';
import { sqlState } from '../connection/database-errors.js';
import { SAME_TEXT } from '../content/row-hash.js';
import { LOCK_TIMEOUT, othersInTheWay } from './lock-holders.js';
import { raisedByCode } from './raised-by-code.js';
import type { StoredColumn, TableFacts } from './table-facts.js';

/** A temporary table holds each row twice, beside its number and what is done with it; PostgreSQL's limit is 1600. */
const MOST_COLUMNS = 790;
const COPY_BYTES = 64 * 1024;

export interface Work {
  readonly header: ChangeSetHeader;
  readonly facts: TableFacts;
  readonly table: string;
  readonly columns: readonly StoredColumn[];
  /** Indexes into `columns`. */
  readonly key: readonly number[];
}

export function workOf(header: ChangeSetHeader, facts: TableFacts): Work {
  const columns = header.columns.map((name) => {
    const column = facts.columns.find((one) => one.name === name);
    if (column === undefined) throw otherColumns(header, name);
    return column;
  });
  const extra = facts.columns.find(({ name }) => !header.columns.includes(name));
  if (extra !== undefined) throw otherColumns(header, extra.name);
  if (columns.length > MOST_COLUMNS)
    throw new RepriseError(
      'capability-missing',
      `${formatTableName(header.table)} has ${columns.length} columns, and tables of more than ${MOST_COLUMNS} are not put right`,
      'recover the database instead: reprise recover CLUSTER --database D --to TIME',
    );
  const key = header.key.map((name) => header.columns.indexOf(name));
  return { header, facts, table: facts.statementName, columns, key };
}

export const column = (side: 'a' | 'b', at: number): string => `c.${side}${at}`;
const own = ({ name }: StoredColumn): string => `t.${pg.escapeIdentifier(name)}`;

export function keysMatch({ columns, key }: Work, side: 'a' | 'b', row = 't', change = 'c'): string {
  return key
    .map((at) => {
      const one = columns[at] as StoredColumn;
      const [left, right] = [`${row}.${pg.escapeIdentifier(one.name)}`, `${change}.${side}${at}`];
      const equal =
        one.equals === null ? sameImage([`${left}::${one.type}`], [right]) : `${left} ${one.equals} ${right}`;
      return one.notNull ? equal : `(${equal} OR (${left} IS NULL AND ${right} IS NULL))`;
    })
    .join(' AND ');
}

/**
 * The row in the table is the one that the change set has: byte for byte, or in the text of every column, which is what the change set
 * was made from. Equal values may be stored in more ways than one, such as NaN, and an array that once had a NULL.
 */
export function sameRow({ columns }: Work): string {
  const now = columns.map((one) => `${own(one)}::${one.type}`);
  const planned = columns.map((_, at) => column('b', at));
  return `(${sameImage(now, planned)} OR ${sameText(now, planned)})`;
}

function sameText(left: readonly string[], right: readonly string[]): string {
  const text = (row: readonly string[]): string => `ROW(${row.join(', ')})::pg_catalog.text COLLATE pg_catalog."C"`;
  return `${text(left)} OPERATOR(pg_catalog.=) ${text(right)}`;
}

/** Cast, because of two rows as such PostgreSQL would compare the columns one by one, with operators of their types. */
function sameImage(left: readonly string[], right: readonly string[]): string {
  return `ROW(${left.join(', ')})::record OPERATOR(pg_catalog.*=) ROW(${right.join(', ')})::record`;
}

/** Numbers of the changes that were loaded, from `from` on, without a hole. */
export async function loadChanges(
  client: pg.Client,
  work: Work,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
  from: number,
): Promise<number> {
  try {
    return await copyChanges(client, work, changes, from);
  } catch (error) {
    throw notReadable(error, work) ?? error;
  }
}

/** A value in its text of then, as of an enum whose label was renamed since; the server's own words would quote it. */
function notReadable(error: unknown, { header, columns }: Work): RepriseError | undefined {
  if (sqlState(error)?.startsWith('22') !== true) return undefined;
  const { where = '' } = error as { readonly where?: string };
  const at = /COPY reprise_changes, line \d+, column [ab](\d+)/.exec(where)?.[1];
  const column = at === undefined ? undefined : columns[Number(at)];
  if (column === undefined) return undefined;
  return new RepriseError(
    'capability-missing',
    `a damaged row of ${formatTableName(header.table)} has a value in ${JSON.stringify(column.name)} that the type ${column.type} does not take now, as where a label of an enum was renamed since`,
    'undo the change of the type first, or leave such rows out with --where-in or --where-range',
    { sqlState: sqlState(error) },
  );
}

async function copyChanges(
  client: pg.Client,
  { columns }: Work,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
  from: number,
): Promise<number> {
  const both = (['b', 'a'] as const).flatMap((side) =>
    columns.map(({ type, collate }, at) => `${side}${at} ${type}${collate}`),
  );
  await client.query(
    `CREATE TEMPORARY TABLE reprise_changes (n bigint NOT NULL, op "char" NOT NULL, ${both.join(', ')}) ON COMMIT DROP;
     CREATE TEMPORARY TABLE reprise_done (n bigint NOT NULL) ON COMMIT DROP`,
  );
  const none = new Array<null>(columns.length).fill(null);
  const stream = client.query(copyFrom('COPY pg_temp.reprise_changes FROM STDIN'));
  let isRefused = false;
  stream.on('error', () => (isRefused = true));
  const failed = once(stream, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined);
  let [n, pending] = [from, ''];
  const flush = async (): Promise<void> => {
    if (!stream.write(pending)) await Promise.race([once(stream, 'drain'), failed]);
    pending = '';
    workMoved();
  };
  try {
    for await (const change of changes) {
      const before = 'before' in change ? change.before : none;
      const after = 'after' in change ? change.after : none;
      pending += `${n++}\t${change.op[0]}\t${copyLine([...before, ...after])}\n`;
      if (pending.length >= COPY_BYTES) await flush();
    }
    await flush();
    stream.end();
    await Promise.race([once(stream, 'finish'), failed]);
  } catch (error) {
    // The server waits for more rows, and takes no other statement before it is told that none come.
    if (!isRefused) await once(stream.destroy(), 'close').catch(() => undefined);
    throw error;
  }
  await client.query('ANALYZE pg_temp.reprise_changes');
  return n - from;
}

const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** COPY's text format (manual: COPY, Text Format). */
function copyLine(row: RowText): string {
  return row
    .map((value) => (value === null ? '\\N' : value.replaceAll(/[\\\n\r\t]/g, (one) => ESCAPED[one] ?? one)))
    .join('\t');
}

/** Pairs each row to remove with one row of the table that is equal to it in the text of all its columns. */
export function equalRows({ columns, table }: Work): string {
  const text = (values: readonly string[]): string => `ROW(${values.join(', ')})::text`;
  return `want AS (
      SELECT n, row_text, row_number() OVER (PARTITION BY row_text ORDER BY n) AS place
        FROM (SELECT c.n, ${text(columns.map((_, at) => column('b', at)))} AS row_text FROM pg_temp.reprise_changes c WHERE c.op = 'd') AS w),
    have AS (
      SELECT tableoid, ctid, row_text, row_number() OVER (PARTITION BY row_text) AS place
        FROM (SELECT t.tableoid, t.ctid, ${text(columns.map((one) => `${own(one)}::${one.type}`))} AS row_text FROM ${table} t) AS h
       WHERE row_text IN (SELECT row_text FROM want)),
    pairs AS (SELECT want.n, have.tableoid, have.ctid FROM want JOIN have USING (row_text, place))`;
}

/** Looks at the table, in one snapshot, and changes nothing. @throws RepriseError `busy` where others hold it */
export async function asItIs<T>(client: pg.Client, { header }: Work, look: () => Promise<T>): Promise<T> {
  await client.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ; ${SAME_TEXT}; SET LOCAL lock_timeout TO '${LOCK_TIMEOUT}'; SET LOCAL row_security TO off`,
  );
  try {
    return await look();
  } catch (error) {
    const table = formatTableName(header.table);
    throw othersInTheWay(error, table) ?? raisedByCode(error, table) ?? error;
  } finally {
    await client.query('ROLLBACK');
  }
}

/** Which changes could not be made now, because their rows are not as the change set has them. */
export async function leftNow(client: pg.ClientBase, work: Work): Promise<readonly number[]> {
  await client.query(
    work.key.length === 0
      ? `WITH ${equalRows(work)} INSERT INTO pg_temp.reprise_done
           SELECT n FROM pairs UNION ALL SELECT n FROM pg_temp.reprise_changes WHERE op = 'i'`
      : `INSERT INTO pg_temp.reprise_done
           SELECT c.n FROM pg_temp.reprise_changes c JOIN ${work.table} t ON ${keysMatch(work, 'b')} AND ${sameRow(work)} WHERE c.op IN ('u', 'd')
           UNION ALL SELECT c.n FROM pg_temp.reprise_changes c
             WHERE c.op = 'i' AND NOT EXISTS (SELECT FROM ${work.table} t WHERE ${keysMatch(work, 'a')})`,
  );
  return leftOut(client);
}

/** Changes that no statement has noted as made. */
export async function leftOut(client: pg.ClientBase): Promise<readonly number[]> {
  const { rows } = await client.query<{ n: string }>(
    'SELECT n FROM pg_temp.reprise_changes EXCEPT SELECT n FROM pg_temp.reprise_done ORDER BY n',
  );
  return rows.map(({ n }) => Number(n));
}

function otherColumns({ table }: ChangeSetHeader, name: string): RepriseError {
  return new RepriseError(
    'plan-stale',
    `the columns of ${formatTableName(table)} are not those of the change set: ${JSON.stringify(name)}`,
    'make a new plan: reprise table repair',
  );
}
