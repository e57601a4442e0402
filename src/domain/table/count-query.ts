import type { TableName } from './table-name.js';

/** A query that counts the rows of one table, and nothing else. */
export interface CountQuery extends TableName {
  /** Without its children. */
  readonly only: boolean;
  /** What the number is compared with; null: nothing, the query gives the number itself. */
  readonly compared: { readonly operator: Comparison; readonly number: number } | null;
}

type Comparison = '>' | '>=' | '=' | '<' | '<=' | '<>';

const name = String.raw`(?:"((?:[^"]|"")+)"|([A-Za-z_][\w$]*))`;
const comparison = String.raw`(?:(>=|<=|<>|!=|>|<|=)\s*(\d{1,15})\s*)?`;
const pattern = new RegExp(
  String.raw`^\s*SELECT\s+count\s*\(\s*\*\s*\)\s*${comparison}FROM\s+(ONLY\s+)?${name}(?:\s*\.\s*${name})?(?:\s*;)?\s*$`,
  'i',
);

/**
 * Reads `SELECT count(*) [> 1000] FROM [ONLY] schema.table`; null for every other query. A name without schema means `public`. Only
 * of such a query the answer is known from a count alone.
 */
export function readCountQuery(query: string): CountQuery | null {
  const match = pattern.exec(query);
  if (match === null) return null;
  const [, operator, number, only, ...names] = match;
  const [first, second] = [identifier(names[0], names[1]), identifier(names[2], names[3])];
  if (first === null) return null;
  return {
    ...(second === null ? { schema: 'public', table: first } : { schema: first, table: second }),
    only: only !== undefined,
    compared:
      operator === undefined
        ? null
        : { operator: operator === '!=' ? '<>' : (operator as Comparison), number: Number(number) },
  };
}

/** What the query says of so many rows; null where it compares with nothing. */
export function holdsFor({ compared }: Pick<CountQuery, 'compared'>, rows: number): boolean | null {
  if (compared === null) return null;
  const { operator, number } = compared;
  switch (operator) {
    case '>':
      return rows > number;
    case '>=':
      return rows >= number;
    case '=':
      return rows === number;
    case '<':
      return rows < number;
    case '<=':
      return rows <= number;
    case '<>':
      return rows !== number;
  }
}

/** Quoted names as they are, others in lower case, as PostgreSQL reads them. */
function identifier(quoted: string | undefined, plain: string | undefined): string | null {
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase() ?? null;
}
