import { RepriseError } from '../../domain/errors.js';
import { sqlState } from '../connection/database-errors.js';

/** A function, a table, a type or a schema that is not there under its bare name. */
const NOT_FOUND = ['42883', '42P01', '42704', '3F000'];

/** Code that relies on the search_path of its caller: a repair has none but pg_catalog, so that nobody puts code of his own in its way. */
function nameNotFound(code: string, state: string, table: string): RepriseError {
  const called = /^(?:PL\/\w+|SQL) function "?([^\s"(]+(?:\([^)]*\))?)/.exec(code)?.[1] ?? 'NAME';
  return new RepriseError(
    'query-failed',
    `${table}: its own code does not find what it calls by a name without a schema, because a repair looks in pg_catalog alone; the change was rolled back: ${code} (SQLSTATE ${state})`,
    `give the function its schemas, then try again: ALTER FUNCTION ${called} SET search_path = SCHEMA, pg_temp`,
    { sqlState: state },
  );
}

/**
 * What a trigger or another function of the table raised: which one, and not in its words, which may quote rows. Undefined: it was none.
 */
export function raisedByCode(error: unknown, table: string): RepriseError | undefined {
  const { where } = error as { readonly where?: unknown };
  const [code] =
    /^(?:PL\/\w+ (?:function|anonymous code block)|SQL function)[^\n]{0,300}/.exec(
      typeof where === 'string' ? where : '',
    ) ?? [];
  if (code === undefined) return undefined;
  const state = sqlState(error) ?? 'XX000';
  if (NOT_FOUND.includes(state)) return nameNotFound(code, state, table);
  return new RepriseError(
    'query-failed',
    `${table}: its own code refuses a change, which was rolled back: ${code} (SQLSTATE ${state})`,
    "see the server's log for what it says, and the triggers and checks of the table; without --fire-triggers its triggers do not fire",
    { sqlState: state },
  );
}
