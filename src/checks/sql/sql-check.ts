import type pg from 'pg';
import type { QueryArrayConfig } from 'pg';
import { explain, isRepriseError } from '../../domain/errors.js';
import { type CountQuery, readCountQuery } from '../../domain/table/count-query.js';
import { withConfiguredQuery } from '../../postgres/content/configured-query.js';
import { countTable } from '../../postgres/content/copy-rows.js';
import type { CheckContext, CheckOutcome } from '../check.js';
import { failed, passed } from '../outcomes.js';
import type { SqlCheckOptions } from './options.js';

/**
 * Runs one query and compares the one number it gives with `min`, `max`, `equals` or what was recorded with the backup. It runs
 * read-only and as no superuser; names without a schema are PostgreSQL's own, then those of `public`.
 * @throws RepriseError `database-unreachable`: then nothing was checked.
 */
export async function runSqlCheck(context: CheckContext, options: SqlCheckOptions): Promise<CheckOutcome> {
  context.signal.throwIfAborted();
  try {
    const answer = await queryNumber(context, options);
    return typeof answer === 'number' ? compare(answer, context, options) : failed(answer.problem);
  } catch (error) {
    // A query that fails is an answer about the database; what it said may quote rows and stays in the server log.
    if (!isRepriseError(error) || error.code === 'database-unreachable') throw error;
    if (error.details['invalid'] === true) return failed(error.message);
    if (error.details['sqlState'] === undefined) return failed(explain(error));
    const state = error.details['sqlState'];
    return failed(
      error.code === 'query-timeout'
        ? `the query took longer than ${options.timeoutSeconds} s`
        : `the query failed (SQLSTATE ${String(state)})`,
    );
  }
}

async function queryNumber(
  context: CheckContext,
  { database, query, timeoutSeconds }: SqlCheckOptions,
): Promise<number | { problem: string }> {
  const counted = countedTable(query);
  return withConfiguredQuery(context, {
    database,
    query,
    run: (client) => numberOf(client, query),
    runUnplanned: async (client) =>
      counted === null ? null : countTable(client, counted.schema, counted.table, counted.only),
    statementTimeoutMs: timeoutSeconds * 1000,
  });
}

async function numberOf(client: pg.Client, query: string): Promise<number | { problem: string }> {
  const { rows, fields } = await client.query<unknown[]>(oneStatement(query));
  if (rows.length !== 1 || fields.length !== 1)
    return { problem: `the query gave ${rows.length} rows of ${fields.length} columns, not one number` };
  const value = rows[0]?.[0];
  const number = value === null || value === '' ? Number.NaN : Number(value);
  return Number.isFinite(number) ? number : { problem: 'the query gave something that is not a number' };
}

/** The extended protocol takes one statement only: no second one can hide behind a semicolon. */
function oneStatement(text: string): QueryArrayConfig & { readonly queryMode: 'extended' } {
  return { text, rowMode: 'array', queryMode: 'extended' };
}

function compare(number: number, context: CheckContext, options: SqlCheckOptions): CheckOutcome {
  if (options.compare === 'recorded') return compareWithRecorded(number, context, options);
  const { min, max, equals } = options;
  if (equals !== undefined && number !== equals) return failed(`${number}, expected ${equals}`);
  if (min !== undefined && number < min) return failed(`${number}, expected at least ${min}`);
  if (max !== undefined && number > max) return failed(`${number}, expected at most ${max}`);
  return passed(String(number));
}

function compareWithRecorded(
  number: number,
  { recorded, recordedIsExact }: CheckContext,
  { database, query }: SqlCheckOptions,
): CheckOutcome {
  const counted = countedTable(query);
  if (counted === null) return failed('compare: recorded needs a query of the form SELECT count(*) FROM schema.table');
  const all = recorded.filter((one) => one.database === database);
  if (all.length === 0) return passed(`${number}; nothing was recorded to compare it with`);
  const entry = all.find(({ schema, table }) => schema === counted.schema && table === counted.table);
  if (entry === undefined)
    return failed(`${number}, and no count of ${counted.schema}.${counted.table} was recorded with the backup`);
  if (entry.unlogged === true)
    return passed(
      `${number}; ${counted.schema}.${counted.table} is unlogged, so a physical backup holds none of its rows`,
    );
  if (!recordedIsExact) return compareWithEarlier(number, entry.rows);
  return entry.rows === number
    ? passed(`${number}, as recorded with the backup`)
    : failed(`${number}, recorded with the backup: ${entry.rows}`);
}

/** Later transactions may have added and deleted; a table that lost half its rows is not what they did. */
function compareWithEarlier(number: number, before: number): CheckOutcome {
  const detail = `${number}; ${before} were recorded with the backup, before the transactions replayed since`;
  return number * 2 >= before ? passed(detail) : failed(detail);
}

/**
 * The table whose rows a query counts, where it does nothing else: only then is its number the one that was recorded.
 */
function countedTable(query: string): CountQuery | null {
  const read = readCountQuery(query);
  return read?.compared === null ? read : null;
}
