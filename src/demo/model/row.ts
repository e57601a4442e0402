/** Values of one row as PostgreSQL prints them (session in UTC, `DateStyle` ISO), in the table's column order; null = NULL. */
export type Row = readonly (string | null)[];

/** A table as `schema.table`. Names here are constants of the demo. */
export type TableName = `${string}.${string}`;

/** One row changed by a transaction, as the business client writes it to its log. The first column is the key. */
export type Change =
  | { readonly table: TableName; readonly op: 'insert' | 'update'; readonly row: Row }
  | { readonly table: TableName; readonly op: 'delete'; readonly key: string };

/** An instant as PostgreSQL prints a `timestamptz` in UTC: `2026-01-05 08:30:00.25+00`, no trailing zeros. */
export function timestampText(at: Date): string {
  const [day, time] = at.toISOString().replace('Z', '').split('T') as [string, string];
  return `${day} ${time.replace(/\.000$|(?<=\.\d{1,2})0+$/, '')}+00`;
}
