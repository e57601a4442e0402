// Longer than 400 lines: one transaction, whose statements share the temporary table and the comparison of rows.
import { once } from 'node:events';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { RepriseError } from '../../domain/errors.js';
import type { AppliedChanges, ChangeSetHeader, RowChange, RowText } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { workMoved } from '../../files/work-signs.js';
import { sqlState } from '../connection/database-errors.js';
import { SAME_TEXT } from '../content/row-hash.js';
import { statementTable, type StoredColumn, type TableFacts } from './table-facts.js';

/** A temporary table holds each row twice, beside its number and what is done with it; PostgreSQL's limit is 1600. */
const MOST_COLUMNS = 790;
const COPY_BYTES = 64 * 1024;
/** A table that others hold is waited for no longer: all who come after would wait behind this. */
const LOCK_TIMEOUT = '10s';

export interface ApplyOptions {
  /** Own triggers of the table fire; otherwise rows become exactly as they are approved. */
  readonly fireTriggers: boolean;
  /** `stop`: one row that is not as the plan saw it rolls everything back. `leave`: it stays as it is. */
  readonly onChanged: 'stop' | 'leave';
  /** Number of the first change. */
  readonly from: number;
  /**
   * Called with the transaction's id when all is done and before it commits: what is noted durably here says after a crash, with
   * {@link transactionEnd}, whether it did.
   */
  readonly beforeCommit: (xid: string, done: AppliedChanges) => Promise<void>;
}

/**
 * Carries changes out in one transaction. A row is changed only where it is still exactly as the change set has it, compared byte for byte
 * (manual: Row and Array Comparisons, `*=`) or in the text of all its columns: what somebody changed meanwhile is never overwritten.
 * @param client as the role of `openRepairLogin`, in no transaction
 * @throws RepriseError `conflict` with `details.left` where rows are not as the plan saw them, or other rows stand against it; `lock-held`
 */
export async function applyChanges(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
  options: ApplyOptions,
): Promise<AppliedChanges> {
  const work = workOf(header, facts);
  await client.query(`BEGIN; ${SAME_TEXT}; SET LOCAL lock_timeout TO '${LOCK_TIMEOUT}'; SET LOCAL row_security TO off`);
  try {
    const loaded = await loadChanges(client, work, changes, options.from);
    const triggers = options.fireTriggers ? facts.triggers.filter(({ name }) => isFreezeTrigger(name)) : facts.triggers;
    for (const { on, name } of triggers)
      await client.query(`ALTER TABLE ONLY ${on} DISABLE TRIGGER ${pg.escapeIdentifier(name)}`);
    await client.query('SET CONSTRAINTS ALL DEFERRED');
    await lockRows(client, work);
    await refuseCascades(client, work);
    const done = {
      delete: await removeRows(client, work),
      update: await updateRows(client, work),
      insert: await insertRows(client, work),
    };
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    const left = await leftOut(client);
    if (left.length > 0 && options.onChanged === 'stop') throw rowsChanged(work, left, loaded);
    await moveSequences(client, work);
    for (const { on, name, enable } of triggers)
      await client.query(`ALTER TABLE ONLY ${on} ${enable} TRIGGER ${pg.escapeIdentifier(name)}`);
    await client.query('DROP TABLE pg_temp.reprise_changes, pg_temp.reprise_done');
    const { rows } = await client.query<{ xid: string }>('SELECT pg_catalog.pg_current_xact_id()::text AS xid');
    const applied = { ...done, left };
    await options.beforeCommit(rows[0]?.xid ?? '', applied);
    await client.query('COMMIT');
    return applied;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw inWords(error, work, options.from);
  }
}

/**
 * How a transaction ended that an earlier attempt noted. `unknown`: the server has forgotten it.
 * @param xid as `beforeCommit` got it
 */
export async function transactionEnd(
  client: pg.ClientBase,
  xid: string,
): Promise<'committed' | 'aborted' | 'in progress' | 'unknown'> {
  const { rows } = await client.query<{ status: 'committed' | 'aborted' | 'in progress' | null }>(
    'SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8) AS status',
    [xid],
  );
  return rows[0]?.status ?? 'unknown';
}

/** Ends the session of a transaction that an attempt before this one has left open; it is rolled back. */
export async function endTransaction(client: pg.ClientBase, xid: string): Promise<void> {
  await client.query(
    'SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE backend_xid::text = ($1::bigint % 4294967296)::text',
    [xid],
  );
}

/**
 * Which changes could not be made now, by their numbers, because their rows are not as the change set has them. Changes nothing.
 * @param client as for {@link applyChanges}
 */
export async function changedSince(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
): Promise<readonly number[]> {
  const work = workOf(header, facts);
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${SAME_TEXT}; SET LOCAL row_security TO off`);
  try {
    await loadChanges(client, work, changes, 0);
    if (work.key.length === 0) await noteEqualRows(client, work);
    else
      await client.query(
        `INSERT INTO pg_temp.reprise_done
           SELECT c.n FROM pg_temp.reprise_changes c JOIN ${work.table} t ON ${keysMatch(work, 'b')} AND ${sameRow(work)} WHERE c.op IN ('u', 'd')
           UNION ALL SELECT c.n FROM pg_temp.reprise_changes c
             WHERE c.op = 'i' AND NOT EXISTS (SELECT FROM ${work.table} t WHERE ${keysMatch(work, 'a')})`,
      );
    return await leftOut(client);
  } finally {
    await client.query('ROLLBACK');
  }
}

/**
 * Which changes, by their numbers, would give a row a value that must be unique and that a row has which stays: nobody can say which of the
 * two is right. Changes nothing.
 * @param client as for {@link applyChanges}
 * @param changes of which each can be made, as {@link changedSince} says
 */
export async function takenValues(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
): Promise<readonly number[]> {
  const work = workOf(header, facts);
  const others = facts.unique.filter((names) => names.some((name) => !header.key.includes(name)));
  if (work.key.length === 0 || others.length === 0) return [];
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${SAME_TEXT}; SET LOCAL row_security TO off`);
  try {
    await loadChanges(client, work, changes, 0);
    const taken: number[] = [];
    // What is left out leaves its own row as it is, which may stand against another one.
    for (let found = others.length; found > 0;) {
      found = 0;
      for (const names of others) {
        // Two NULLs are no equal values.
        const stored = names.map((name) => header.columns.indexOf(name));
        const same = keysMatch(
          { ...work, columns: work.columns.map((one) => ({ ...one, notNull: true })), key: stored },
          'a',
        );
        const { rows } = await client.query<{ n: string }>(
          `DELETE FROM pg_temp.reprise_changes c USING ${work.table} t
            WHERE c.op IN ('i', 'u') AND ${same} AND NOT (c.op = 'u' AND ${keysMatch(work, 'b')})
              AND NOT EXISTS (SELECT FROM pg_temp.reprise_changes d WHERE d.op IN ('u', 'd') AND ${keysMatch(work, 'b', 't', 'd')})
            RETURNING c.n`,
        );
        found += rows.length;
        taken.push(...rows.map(({ n }) => Number(n)));
      }
    }
    return [...new Set(taken)];
  } finally {
    await client.query('ROLLBACK');
  }
}

/** Name of the trigger by which Reprise keeps others from writing to a table. */
export const FREEZE_TRIGGER = 'reprise_freeze';
/** The same for single rows. */
export const FREEZE_ROWS_TRIGGER = 'reprise_freeze_rows';

export const isFreezeTrigger = (name: string): boolean => [FREEZE_TRIGGER, FREEZE_ROWS_TRIGGER].includes(name);

interface Work {
  readonly header: ChangeSetHeader;
  readonly facts: TableFacts;
  readonly table: string;
  readonly columns: readonly StoredColumn[];
  /** Indexes into `columns`. */
  readonly key: readonly number[];
}

function workOf(header: ChangeSetHeader, facts: TableFacts): Work {
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

const column = (side: 'a' | 'b', at: number): string => `c.${side}${at}`;
const own = ({ name }: StoredColumn): string => `t.${pg.escapeIdentifier(name)}`;

function keysMatch({ columns, key }: Work, side: 'a' | 'b', row = 't', change = 'c'): string {
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
function sameRow({ columns }: Work): string {
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
async function loadChanges(
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
  const failed = once(stream, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined);
  let [n, pending] = [from, ''];
  const flush = async (): Promise<void> => {
    if (!stream.write(pending)) await Promise.race([once(stream, 'drain'), failed]);
    pending = '';
    workMoved();
  };
  for await (const change of changes) {
    const before = 'before' in change ? change.before : none;
    const after = 'after' in change ? change.after : none;
    pending += `${n++}\t${change.op[0]}\t${copyLine([...before, ...after])}\n`;
    if (pending.length >= COPY_BYTES) await flush();
  }
  await flush();
  stream.end();
  await Promise.race([once(stream, 'finish'), failed]);
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

/** Nobody changes or refers to these rows from here on. */
async function lockRows(client: pg.Client, work: Work): Promise<void> {
  if (work.key.length === 0) await client.query(`LOCK TABLE ${work.table} IN SHARE ROW EXCLUSIVE MODE`);
  else
    await client.query(
      `SELECT count(*) FROM (SELECT FROM ${work.table} t, pg_temp.reprise_changes c
         WHERE c.op IN ('u', 'd') AND ${keysMatch(work, 'b')} FOR UPDATE OF t) AS locked`,
    );
}

/** What a delete or an update does to other tables by itself. */
const CASCADES = ['c', 'n', 'd'];

/** No other table is changed: rows there are not in the plan. @throws RepriseError `conflict` */
async function refuseCascades(client: pg.Client, work: Work): Promise<void> {
  const { columns, header, facts } = work;
  for (const { table, columns: their, refersTo, onDelete, onUpdate } of facts.referencedBy) {
    const places = refersTo.map((name) => header.columns.indexOf(name));
    const changes = places.map((at) => `${column('b', at)} IS DISTINCT FROM ${column('a', at)}`).join(' OR ');
    const ops = [
      ...(CASCADES.includes(onDelete) ? ["c.op = 'd'"] : []),
      ...(CASCADES.includes(onUpdate) ? [`(c.op = 'u' AND (${changes}))`] : []),
    ];
    if (ops.length === 0) continue;
    const matches = places.map((at, index) => {
      const equals = (columns[at] as StoredColumn).equals ?? 'OPERATOR(pg_catalog.=)';
      return `r.${pg.escapeIdentifier(their[index] ?? '')} ${equals} ${column('b', at)}`;
    });
    const isOwn = table.schema === header.table.schema && table.table === header.table.table;
    // Rows of this very table that go as well refer to nothing afterwards.
    const goesToo =
      isOwn && work.key.length > 0
        ? ` AND NOT EXISTS (SELECT FROM pg_temp.reprise_changes d WHERE d.op = 'd' AND ${keysMatch(work, 'b', 'r', 'd')})`
        : '';
    const { rows } = await client.query<{ count: string }>(
      `SELECT count(*) FROM ${statementTable(table)} r WHERE EXISTS (
         SELECT FROM pg_temp.reprise_changes c WHERE (${ops.join(' OR ')}) AND ${matches.join(' AND ')})${goesToo}`,
    );
    if (Number(rows[0]?.count) > 0)
      throw new RepriseError(
        'conflict',
        `${rows[0]?.count} rows of ${formatTableName(table)} refer to rows that would be deleted or renamed, and would be changed with them`,
        'nothing was changed; make a new plan: such rows are listed as conflicts',
      );
  }
}

async function removeRows(client: pg.Client, work: Work): Promise<number> {
  if (work.key.length === 0) return removeEqualRows(client, work);
  return changed(
    client,
    `DELETE FROM ${work.table} t USING pg_temp.reprise_changes c
      WHERE c.op = 'd' AND ${keysMatch(work, 'b')} AND ${sameRow(work)} RETURNING c.n`,
  );
}

async function updateRows(client: pg.Client, work: Work): Promise<number> {
  const { columns, key } = work;
  if (key.length === 0) return 0;
  const sets = columns.flatMap((one, at) =>
    one.alwaysIdentity ? [] : [`${pg.escapeIdentifier(one.name)} = ${column('a', at)}`],
  );
  const kept = columns.flatMap((one, at) =>
    one.alwaysIdentity ? [`${column('a', at)} IS NOT DISTINCT FROM ${column('b', at)}`] : [],
  );
  if (sets.length === 0) return 0;
  return changed(
    client,
    `UPDATE ${work.table} t SET ${sets.join(', ')} FROM pg_temp.reprise_changes c
      WHERE ${["c.op = 'u'", keysMatch(work, 'b'), sameRow(work), ...kept].join(' AND ')} RETURNING c.n`,
  );
}

/** Runs a statement that returns the numbers of the changes it made, and notes them. */
async function changed(client: pg.Client, statement: string): Promise<number> {
  const { rowCount } = await client.query(
    `WITH made AS (${statement}) INSERT INTO pg_temp.reprise_done SELECT n FROM made`,
  );
  workMoved();
  return rowCount ?? 0;
}

async function insertRows(client: pg.Client, work: Work): Promise<number> {
  const { columns, key, facts } = work;
  const names = columns.map(({ name }) => pg.escapeIdentifier(name));
  const values = columns.map((_, at) => column('a', at));
  const free = key.length === 0 ? '' : ` AND NOT EXISTS (SELECT FROM ${work.table} t WHERE ${keysMatch(work, 'a')})`;
  // Deferrable constraints arbitrate no conflict: a row that is not unique is an error then.
  const orNothing = facts.hasDeferrableKey ? '' : ' ON CONFLICT DO NOTHING';
  await client.query(
    `CREATE TEMPORARY TABLE reprise_inserts ON COMMIT DROP AS SELECT c.n FROM pg_temp.reprise_changes c WHERE c.op = 'i'${free}`,
  );
  const wanted = await client.query<{ count: string }>('SELECT count(*) FROM pg_temp.reprise_inserts');
  const { rowCount } = await client.query(
    `INSERT INTO ${work.table.replace(/^ONLY /, '')} (${names.join(', ')}) OVERRIDING SYSTEM VALUE
       SELECT ${values.join(', ')} FROM pg_temp.reprise_changes c JOIN pg_temp.reprise_inserts USING (n) ORDER BY n${orNothing}`,
  );
  // Another row has a value that must be unique, and which one of these cannot be told.
  if (rowCount !== Number(wanted.rows[0]?.count)) throw notUnique(work);
  await client.query(
    'INSERT INTO pg_temp.reprise_done SELECT n FROM pg_temp.reprise_inserts; DROP TABLE pg_temp.reprise_inserts',
  );
  workMoved();
  return rowCount ?? 0;
}

/** Of a table without a key: so many of the rows that are equal as are to go. */
async function removeEqualRows(client: pg.Client, work: Work): Promise<number> {
  const { rowCount } = await client.query(
    `WITH ${equalRows(work)}, gone AS (
       DELETE FROM ${work.table} t USING pairs WHERE t.tableoid = pairs.tableoid AND t.ctid = pairs.ctid RETURNING pairs.n)
     INSERT INTO pg_temp.reprise_done SELECT n FROM gone`,
  );
  workMoved();
  return rowCount ?? 0;
}

async function noteEqualRows(client: pg.Client, work: Work): Promise<void> {
  await client.query(
    `WITH ${equalRows(work)} INSERT INTO pg_temp.reprise_done
       SELECT n FROM pairs UNION ALL SELECT n FROM pg_temp.reprise_changes WHERE op = 'i'`,
  );
}

/** Pairs each row to remove with one row of the table that is equal to it in the text of all its columns. */
function equalRows({ columns, table }: Work): string {
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

async function leftOut(client: pg.Client): Promise<readonly number[]> {
  const { rows } = await client.query<{ n: string }>(
    'SELECT n FROM pg_temp.reprise_changes EXCEPT SELECT n FROM pg_temp.reprise_done ORDER BY n',
  );
  return rows.map(({ n }) => Number(n));
}

/** Sequences never give a value again that came back with a row. */
async function moveSequences(client: pg.Client, { facts, columns }: Work): Promise<void> {
  for (const { column: name, sequence } of facts.sequences) {
    const at = columns.findIndex((one) => one.name === name);
    if (at < 0) continue;
    await client.query(
      `SELECT pg_catalog.setval('${sequence.replaceAll("'", "''")}', highest) FROM (
         SELECT max(${column('a', at)})::bigint AS highest FROM pg_temp.reprise_changes c
           JOIN pg_temp.reprise_done USING (n) WHERE c.op IN ('i', 'u')) AS made
        WHERE highest > (SELECT last_value FROM ${sequence})`,
    );
  }
}

function rowsChanged({ header }: Work, left: readonly number[], loaded: number): RepriseError {
  return new RepriseError(
    'conflict',
    `${left.length} of ${loaded} rows of ${formatTableName(header.table)} are not as they were when the plan was made: nothing was changed`,
    'make a new plan, in which these rows are conflicts; keep others from writing meanwhile: tables.NAME.freeze in the configuration',
    { left: left.slice(0, 1000) },
  );
}

function notUnique({ header }: Work): RepriseError {
  return new RepriseError(
    'conflict',
    `another row of ${formatTableName(header.table)} has a value that must be unique: nothing was changed`,
    'make a new plan: such rows are listed as conflicts',
  );
}

function otherColumns({ table }: ChangeSetHeader, name: string): RepriseError {
  return new RepriseError(
    'plan-stale',
    `the columns of ${formatTableName(table)} are not those of the change set: ${JSON.stringify(name)}`,
    'make a new plan: reprise table repair',
  );
}

/** SQLSTATEs of what other rows have against a change, in words; the server's own details may quote rows. */
const AGAINST: Readonly<Record<string, string>> = {
  '23503': 'a foreign key does not allow a change',
  '23505': 'another row has a value that must be unique',
  '23514': 'a check does not allow a row',
  '23502': 'a column takes no NULL',
  '23P01': 'an exclusion constraint does not allow a row',
};

/** @param from how many changes earlier batches have made */
function inWords(error: unknown, { header }: Work, from: number): unknown {
  const state = sqlState(error) ?? '';
  const against = AGAINST[state];
  const table = formatTableName(header.table);
  if (against !== undefined)
    return new RepriseError(
      'conflict',
      `${table}: ${against} (${constraintOf(error)}): ${from === 0 ? 'nothing was changed' : `nothing was changed after the first ${from} changes, which stay`}`,
      'make a new plan: such rows are listed as conflicts; or narrow its scope',
      { sqlState: state },
    );
  if (state === '55P03')
    return new RepriseError('lock-held', `others hold ${table}`, 'see pg_locks; end them, or wait, and continue');
  return error;
}

const constraintOf = (error: unknown): string =>
  (error as { readonly constraint?: string }).constraint ?? 'a constraint of the table';
