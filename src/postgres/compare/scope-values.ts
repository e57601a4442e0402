import pg from 'pg';
import { RepriseError } from '../../domain/errors.js';
import type { ScopeTerm } from '../../domain/operation/orders.js';
import { rangeOrderOf, withoutModifier } from '../../domain/table/scope.js';
import { visible } from '../../domain/text/text.js';

/** PostgreSQL's own types whose values people write in more ways than one, as `format_type` writes them, without modifiers. */
const OTHERS =
  /^(?:boolean|uuid|real|double precision|money|oid|xid8?|pg_lsn|bytea|jsonb|interval|inet|cidr|macaddr8?|time with(?:out)? time zone|bit varying|tsvector|tsquery|point|lseg|path|box|polygon|line|circle|(?:int[48]|num|ts|tstz|date)(?:multi)?range)$/;

/**
 * The values of terms in the form that the server writes for the types of their columns; those of types that are not PostgreSQL's own as they
 * were given: no code of others runs.
 * @param client in a transaction whose settings are those in which the rows are read
 * @throws RepriseError `usage` for what is no value of its column
 */
export async function scopeAsWritten(
  client: pg.ClientBase,
  scope: readonly ScopeTerm[],
  typeOf: (term: ScopeTerm) => string,
): Promise<readonly ScopeTerm[]> {
  const written: ScopeTerm[] = [];
  for (const term of scope) written.push(await asWritten(client, term, typeOf(term)));
  return written;
}

async function asWritten(client: pg.ClientBase, term: ScopeTerm, type: string): Promise<ScopeTerm> {
  const cast = castOf(type);
  if (cast === null) return term;
  const write = (value: string | null): Promise<string | null> => valueAsWritten(client, value, { term, type, cast });
  if ('in' in term) {
    const values: (string | null)[] = [];
    for (const value of term.in) values.push(await write(value));
    return { column: term.column, in: values };
  }
  const { column, from, below } = term;
  return {
    column,
    ...(from === undefined ? {} : { from: await write(from) }),
    ...(below === undefined ? {} : { below: await write(below) }),
  };
}

/** Without a modifier: a bound is not rounded to the digits of the column. Null: the text is the value. */
function castOf(type: string): string | null {
  // Blanks fill it up, and more than fits is cut off.
  if (/^character\(\d+\)$/.test(type)) return type;
  const plain = withoutModifier(type);
  return rangeOrderOf(type) !== undefined || OTHERS.test(plain.replace(/(?:\[\])+$/, '')) ? plain : null;
}

async function valueAsWritten(
  client: pg.ClientBase,
  value: string | null,
  { term, type, cast }: { readonly term: ScopeTerm; readonly type: string; readonly cast: string },
): Promise<string | null> {
  const most = /^character\((\d+)\)$/.exec(type)?.[1];
  if (value === null || (most !== undefined && [...value].length > Number(most))) return value;
  await client.query('SAVEPOINT value');
  try {
    const { rows } = await client.query<{ value: string }>(
      `SELECT pg_catalog.format('%s', (${pg.escapeLiteral(value)}::pg_catalog.text)::${cast}) AS value`,
    );
    await client.query('RELEASE SAVEPOINT value');
    return rows[0]?.value ?? null;
  } catch {
    await client.query('ROLLBACK TO SAVEPOINT value');
    throw new RepriseError(
      'usage',
      `'${visible(value)}' is no value of column ${visible(term.column)}, which is of type ${type}`,
      'write it as PostgreSQL does: 2026-11-20, 2026-11-20 14:00:00+00, 42',
    );
  }
}
