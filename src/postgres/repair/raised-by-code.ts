import { RepriseError } from '../../domain/errors.js';
import { sqlState } from '../connection/database-errors.js';

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
  return new RepriseError(
    'query-failed',
    `${table}: its own code refuses a change, which was rolled back: ${code} (SQLSTATE ${state})`,
    "see the server's log for what it says, and the triggers and checks of the table; without --fire-triggers its triggers do not fire",
    { sqlState: state },
  );
}
