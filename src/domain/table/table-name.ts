import { RepriseError } from '../errors.js';
import { shellWord } from '../text/text.js';

/** A table of one database, by the very names of the catalogue: nothing is folded, nothing is quoted. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** PostgreSQL's NAMEDATALEN less its end. */
const NAME_BYTES = 63;
const part = String.raw`(?:"((?:[^"\0]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*))`;
const qualified = new RegExp(String.raw`^${part}\.${part}$`);

/** As PostgreSQL folds a name that is not in double quotes, in UTF-8: its ASCII letters alone. */
function foldName(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/**
 * Reads `schema.table` as PostgreSQL reads it: a name that is not in double quotes is folded to lower case.
 * @throws RepriseError `usage`
 */
export function parseTableName(text: string): TableName {
  const parts = qualified.exec(text.trim());
  const [schema, table] = parts === null ? [] : [nameOf(parts[1], parts[2]), nameOf(parts[3], parts[4])];
  if (schema === undefined || table === undefined)
    throw new RepriseError(
      'usage',
      `'${text}' is not the name of a table`,
      'write schema.table, as in public.orders; names with other characters in double quotes, as in "My Schema"."Orders"',
    );
  for (const name of [schema, table])
    if (new TextEncoder().encode(name).length > NAME_BYTES)
      throw new RepriseError('usage', `the name '${name}' is longer than ${NAME_BYTES} bytes`, 'see \\dt *.* in psql');
  return { schema, table };
}

function nameOf(quoted: string | undefined, plain: string | undefined): string | undefined {
  return quoted?.replaceAll('""', '"') ?? (plain === undefined ? undefined : foldName(plain));
}

/** The table in the form {@link parseTableName} reads; double quotes only where they are needed. */
export function formatTableName({ schema, table }: TableName): string {
  return `${quoteName(schema)}.${quoteName(table)}`;
}

/** Of which table a command is. */
export interface NamedTable {
  readonly cluster: string;
  readonly database: string;
  /** Null: people name it. */
  readonly table: TableName | null;
}

/**
 * `reprise table VERB CLUSTER DATABASE SCHEMA.TABLE OPTIONS` for a shell. The name of a database that begins with a dash would be read as an option: then the names come
 * last.
 */
export function tableCommand(
  verb: string,
  { cluster, database, table }: NamedTable,
  ...options: readonly string[]
): string {
  const names = [cluster, database].map(shellWord);
  names.push(table === null ? 'SCHEMA.TABLE' : shellWord(formatTableName(table)));
  const words = database.startsWith('-') ? [...options, '--', ...names] : [...names, ...options];
  return ['reprise table', verb, ...words].join(' ');
}

function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
