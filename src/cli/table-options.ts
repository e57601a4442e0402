import { InvalidArgumentError, Option } from 'commander';
import { isRepriseError, RepriseError } from '../domain/errors.js';
import type { ScopeTerm } from '../domain/operation/orders.js';
import { transactionId } from '../domain/target/target.js';
import { collect } from './common-options.js';

/** What names a table, for the help of a command. */
export const tableArguments = {
  cluster: 'name of the cluster in reprise.yml',
  database: 'its database',
  table: 'schema.table, as PostgreSQL reads it: "My Table" in double quotes',
};

/** `--xid`: nothing is started with what is no transaction. */
export function parseXid(text: string): string {
  try {
    return transactionId(text);
  } catch (error) {
    throw new InvalidArgumentError(
      isRepriseError(error) ? 'It is the number that `reprise wal transactions` shows, e.g. 1234.' : String(error),
    );
  }
}

/** Options that limit what is done with a table to some of its rows. */
export interface ScopeFlags {
  readonly whereRange?: readonly ScopeTerm[];
  readonly whereIn?: readonly { readonly column: string; readonly value: string }[];
  readonly whereNull?: readonly string[];
}

export function scopeOptions(): Option[] {
  return [
    new Option(
      '--where-range <column=from..below>',
      'only rows whose number, date or timestamp is at least FROM and less than BELOW; either may be left out',
    ).argParser((text, earlier: readonly ScopeTerm[] | undefined) => [...(earlier ?? []), rangeOf(text)]),
    new Option('--where-in <column=value>', 'only rows with this value, or one of several: repeat it').argParser(
      (text, earlier: ScopeFlags['whereIn']) => [...(earlier ?? []), valueOf(text)],
    ),
    new Option('--where-null <column>', 'only rows without a value, or with one of --where-in').argParser(collect),
  ];
}

/** All of these terms must hold; values of one column are alternatives. Undefined: all rows. */
export function scopeOf({ whereRange = [], whereIn = [], whereNull = [] }: ScopeFlags): ScopeTerm[] | undefined {
  const values = new Map<string, (string | null)[]>();
  for (const { column, value } of [...whereIn, ...whereNull.map((name) => ({ column: name, value: null }))])
    values.set(column, [...(values.get(column) ?? []), value]);
  const terms = [...whereRange, ...[...values].map(([column, listed]) => ({ column, in: listed }))];
  return terms.length === 0 ? undefined : terms;
}

function rangeOf(text: string): ScopeTerm {
  const { column, value } = valueOf(text);
  const [from = '', below = '', ...rest] = value.split('..');
  if (!value.includes('..') || rest.length > 0 || from + below === '')
    throw new InvalidArgumentError('It is COLUMN=FROM..BELOW, e.g. day=2026-11-01..2026-12-01 or id=100000..');
  return { column, ...(from === '' ? {} : { from }), ...(below === '' ? {} : { below }) };
}

function valueOf(text: string): { column: string; value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It is COLUMN=VALUE, e.g. status=booked.');
  return { column: text.slice(0, at), value: text.slice(at + 1) };
}

/** Names in a list that is empty where the option was not given. @throws RepriseError `usage` for an empty name */
export function columnNames(names: readonly string[] | undefined): string[] | undefined {
  if (names?.includes('') === true) throw new RepriseError('usage', 'a column has no name', 'see \\d TABLE in psql');
  return names === undefined ? undefined : [...names];
}
