import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { AppliedChanges, ChangeSetHeader, RowChange } from '../../domain/table/repair.js';
import { formatTableName } from '../../domain/table/table-name.js';
import { workMoved } from '../../files/work-signs.js';
import { sqlState } from '../connection/database-errors.js';
import { SAME_TEXT } from '../content/row-hash.js';
import {
  asItIs,
  column,
  equalRows,
  keysMatch,
  leftNow,
  leftOut,
  loadChanges,
  sameRow,
  type Work,
  workOf,
} from './change-table.js';
import {
  identityMoves,
  isOwnKey,
  movesValues,
  noteGoing,
  otherRules,
  valueNeeds,
  valueOn,
} from './dependent-changes.js';
import { isFreezeTrigger } from './freeze-triggers.js';
import { LOCK_TIMEOUT, othersInTheWay } from './lock-holders.js';
import { raisedByCode } from './raised-by-code.js';
import { readTriggers, statementTable, type TableFacts, type TableTrigger } from './table-facts.js';
import type { UniqueRule } from './unique-rules.js';

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
  /** For a lock of others, in PostgreSQL's words; default 10 s. */
  readonly lockTimeout?: string;
}

/**
 * Carries changes out in one transaction. A row is changed only where it is still exactly as the change set has it, compared byte for byte
 * (manual: Row and Array Comparisons, `*=`) or in the text of all its columns: what somebody changed meanwhile is never overwritten.
 * @param client as the role of `openRepairLogin`, in no transaction
 * @throws RepriseError `conflict` with `details.left` where rows are not as the plan saw them, or other rows stand against it; `busy` where
 *   others are in the way
 */
export async function applyChanges(
  client: pg.Client,
  header: ChangeSetHeader,
  facts: TableFacts,
  changes: AsyncIterable<RowChange> | Iterable<RowChange>,
  options: ApplyOptions,
): Promise<AppliedChanges> {
  const work = workOf(header, facts);
  await client.query(
    `BEGIN; ${SAME_TEXT}; SET LOCAL lock_timeout TO '${options.lockTimeout ?? LOCK_TIMEOUT}'; SET LOCAL row_security TO off`,
  );
  try {
    const loaded = await loadChanges(client, work, changes, options.from);
    const triggers = await switchOff(client, facts, options);
    await client.query('SET CONSTRAINTS ALL DEFERRED');
    if (work.key.length === 0) await client.query(`LOCK TABLE ${work.table} IN SHARE ROW EXCLUSIVE MODE`);
    const moves = await noteMoves(client, work);
    await refuseCascades(client, work, moves);
    const done = {
      delete: await removeRows(client, work),
      // What others wait for goes first.
      update: (await updateRows(client, work, moves)) + (moves ? await replaceRows(client, work) : 0),
      insert: await insertRows(client, work),
    };
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    const isWhole = done.delete + done.update + done.insert === loaded;
    const left = isWhole ? [] : await leftOut(client);
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

/** Switches triggers off within the transaction; returns those that are to be switched on again. */
async function switchOff(
  client: pg.Client,
  { oid, triggers }: TableFacts,
  { fireTriggers }: ApplyOptions,
): Promise<readonly TableTrigger[]> {
  const isOff = ({ name }: TableTrigger): boolean => !fireTriggers || isFreezeTrigger(name);
  const off: TableTrigger[] = [];
  // Once more for a partition that came before the table was locked by this, with its triggers.
  for (let next = triggers.filter(isOff); next.length > 0; next = (await readTriggers(client, oid)).filter(isOff)) {
    for (const { on, name } of next)
      await client.query(`ALTER TABLE ONLY ${on} DISABLE TRIGGER ${pg.escapeIdentifier(name)}`);
    off.push(...next);
  }
  return off;
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
  return asItIs(client, work, async () => {
    await loadChanges(client, work, changes, 0);
    return leftNow(client, work);
  });
}

/**
 * Notes the updates that are made as a delete and an insert: those that give a row a value that must be unique and that another row has until it
 * is updated as well, and those of a column whose values the server makes. False: there are none.
 */
async function noteMoves(client: pg.Client, work: Work): Promise<boolean> {
  if (work.key.length === 0) return false;
  const moved: UniqueRule[] = [];
  for (const rule of await otherRules(client, work))
    if (rule.immediate && (await movesValues(client, work, rule))) moved.push(rule);
  const identity = identityMoves(work);
  if (moved.length === 0 && identity === 'false') return false;
  await client.query('CREATE TEMPORARY TABLE reprise_moves (n bigint PRIMARY KEY) ON COMMIT DROP');
  await client.query(`INSERT INTO pg_temp.reprise_moves SELECT c.n FROM pg_temp.reprise_changes c WHERE ${identity}`);
  if (moved.length > 0) await noteGoing(client, work);
  for (const rule of moved) {
    const needs = await valueNeeds(client, work, rule);
    await client.query(
      'INSERT INTO pg_temp.reprise_moves SELECT DISTINCT unnest($1::bigint[]) ON CONFLICT DO NOTHING',
      [needs.filter(({ isMove }) => isMove).map(({ n }) => n)],
    );
  }
  const { rows } = await client.query<{ any: boolean }>('SELECT EXISTS (SELECT FROM pg_temp.reprise_moves) AS any');
  return rows[0]?.any === true;
}

const IS_MOVED = 'EXISTS (SELECT FROM pg_temp.reprise_moves m WHERE m.n = c.n)';

/** Nobody changes or refers to these rows from here on. */
async function lockRows(client: pg.Client, work: Work): Promise<void> {
  if (work.key.length > 0)
    await client.query(
      `SELECT count(*) FROM (SELECT FROM ${work.table} t, pg_temp.reprise_changes c
         WHERE c.op IN ('u', 'd') AND ${keysMatch(work, 'b')} FOR UPDATE OF t) AS locked`,
    );
}

/** What a delete or an update does to other tables by itself. */
const CASCADES = ['c', 'n', 'd'];

/** No other table is changed: rows there are not in the plan. @throws RepriseError `conflict` */
async function refuseCascades(client: pg.Client, work: Work, moves: boolean): Promise<void> {
  let isLocked = false;
  for (const key of work.facts.referencedBy) {
    const { table, columns: their, refersTo, onDelete, onUpdate, equals } = key;
    const before = refersTo.map((name) => valueOn(work, name, 'b'));
    const after = refersTo.map((name) => valueOn(work, name, 'a'));
    const changes = before.map((value, at) => `${value} IS DISTINCT FROM ${after[at]}`).join(' OR ');
    const ops = [
      ...(CASCADES.includes(onDelete) ? ["c.op = 'd'", ...(moves ? [IS_MOVED] : [])] : []),
      ...(CASCADES.includes(onUpdate) ? [`(c.op = 'u' AND (${changes}))`] : []),
    ];
    if (ops.length === 0) continue;
    if (!isLocked) await lockRows(client, work);
    isLocked = true;
    const matches = before.map((value, at) => `${value} ${equals[at]} r.${pg.escapeIdentifier(their[at] ?? '')}`);
    const isOwn = isOwnKey(key, work);
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

async function updateRows(client: pg.Client, work: Work, moves: boolean): Promise<number> {
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
      WHERE ${["c.op = 'u'", ...(moves ? [`NOT ${IS_MOVED}`] : []), keysMatch(work, 'b'), sameRow(work), ...kept].join(' AND ')} RETURNING c.n`,
  );
}

/**
 * Deletes rows and makes them again, in one statement: where a foreign key takes it (NO ACTION), what refers to them finds them again. All are
 * deleted before the first one comes.
 */
async function replaceRows(client: pg.Client, work: Work): Promise<number> {
  const { columns, table } = work;
  const { rowCount } = await client.query(
    `WITH gone AS (
       DELETE FROM ${table} t USING pg_temp.reprise_changes c
        WHERE c.op = 'u' AND ${IS_MOVED} AND ${keysMatch(work, 'b')} AND ${sameRow(work)} RETURNING c.n),
     made AS (
       INSERT INTO ${insertable(work)} OVERRIDING SYSTEM VALUE
         SELECT ${columns.map((_, at) => column('a', at)).join(', ')} FROM pg_temp.reprise_changes c
           JOIN (SELECT n, count(*) OVER () AS every FROM gone) AS g USING (n) WHERE g.every > 0)
     INSERT INTO pg_temp.reprise_done SELECT n FROM gone`,
  );
  workMoved();
  return rowCount ?? 0;
}

function insertable({ table, columns }: Work): string {
  return `${table.replace(/^ONLY /, '')} (${columns.map(({ name }) => pg.escapeIdentifier(name)).join(', ')})`;
}

/** Runs a statement that returns the numbers of the changes it made, and notes them. */
async function changed(client: pg.Client, statement: string): Promise<number> {
  const { rowCount } = await client.query(
    `WITH made AS (${statement}) INSERT INTO pg_temp.reprise_done SELECT n FROM made`,
  );
  workMoved();
  return rowCount ?? 0;
}

/** A value that must be unique, and that a row has which came meanwhile, is an error of the server. */
async function insertRows(client: pg.Client, work: Work): Promise<number> {
  const { columns, key } = work;
  const free = key.length === 0 ? '' : ` AND NOT EXISTS (SELECT FROM ${work.table} t WHERE ${keysMatch(work, 'a')})`;
  const wanted = await client.query(
    `INSERT INTO pg_temp.reprise_done SELECT c.n FROM pg_temp.reprise_changes c WHERE c.op = 'i'${free}`,
  );
  if (wanted.rowCount === 0) return 0;
  const { rowCount } = await client.query(
    `INSERT INTO ${insertable(work)} OVERRIDING SYSTEM VALUE
       SELECT ${columns.map((_, at) => column('a', at)).join(', ')} FROM pg_temp.reprise_changes c
        WHERE c.op = 'i' AND EXISTS (SELECT FROM pg_temp.reprise_done d WHERE d.n = c.n)`,
  );
  workMoved();
  if (rowCount !== wanted.rowCount) throw keptOut(work, (wanted.rowCount ?? 0) - (rowCount ?? 0));
  return rowCount ?? 0;
}

/** A trigger that gives no row back: nothing says which ones it did not let in. */
function keptOut({ header }: Work, count: number): RepriseError {
  return new RepriseError(
    'query-failed',
    `${formatTableName(header.table)}: its triggers do not let ${count} rows come back: what this attempt did was rolled back`,
    'repair it without --fire-triggers, or switch the trigger off that returns NULL for an INSERT',
  );
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

/** Sequences never give a value again that came back with a row. */
async function moveSequences(client: pg.Client, { facts, columns }: Work): Promise<void> {
  for (const { column: name, sequence } of facts.sequences) {
    const at = columns.findIndex((one) => one.name === name);
    if (at < 0) continue;
    await client.query(
      `SELECT pg_catalog.setval('${sequence.replaceAll("'", "''")}', highest) FROM (
         SELECT max(${column('a', at)})::bigint AS highest FROM pg_temp.reprise_changes c
           JOIN pg_temp.reprise_done USING (n) WHERE c.op IN ('i', 'u')) AS made
        WHERE (SELECT highest > s.last_value OR (highest = s.last_value AND NOT s.is_called) FROM ${sequence} AS s)`,
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
  return othersInTheWay(error, table) ?? raisedByCode(error, table) ?? error;
}

const constraintOf = (error: unknown): string =>
  (error as { readonly constraint?: string }).constraint ?? 'a constraint of the table';
