import pg from 'pg';
import type { ConnectionConfig } from '../../domain/config.js';
import type { TableName } from '../../domain/table/table-name.js';
import { eachLine, valuesOf } from '../../postgres/compare/copied-lines.js';
import { withTableSide } from '../../postgres/compare/table-side.js';
import { withClient } from '../../postgres/connection/with-client.js';
import { valueTest } from '../../postgres/content/table-condition.js';
import { readTableFacts } from '../../postgres/repair/table-facts.js';
import type { RelationFile } from '../../postgres/wal/transactions/record-text.js';
import { placeOfCtid } from '../../postgres/wal/transactions/row-place.js';
import { readerOf, relationFiles } from './rows-by-place.js';

/** Rows of one file with a value that is searched for. */
export interface KeyPlaces {
  readonly file: RelationFile;
  readonly places: readonly number[];
}

/** Rows with one value that are followed. */
const MOST_ROWS = 100_000;

/**
 * Where the rows with a value in a column are in a temporary instance. Null where there is none or too many, or where nobody may be asked for
 * them without rights of a superuser for code of others.
 */
export async function placesOfKey(
  connection: ConnectionConfig,
  {
    database,
    table,
    column,
    value,
  }: { readonly database: string; readonly table: TableName; readonly column: string; readonly value: string },
  signal: AbortSignal,
): Promise<readonly KeyPlaces[] | null> {
  const { leaves, reader } = await withClient(connection, database, async (client) => {
    const facts = await readTableFacts(client, table);
    return {
      leaves: await relationFiles(client, facts.oid),
      reader: await readerOf(client, connection, facts),
    };
  });
  if (reader === null) return null;
  const found = await withClient(reader, database, (client) =>
    withTableSide(client, table, 'in the temporary instance', async ({ decode }) => {
      const isWanted = await valueTest(client, table, { column, value });
      const all: KeyPlaces[] = [];
      for (const { name, file } of leaves) {
        const places: number[] = [];
        // By COPY, which writes the value by its type's own output: no cast and no operator of somebody.
        const source = `(SELECT ctid, ${pg.escapeIdentifier(column)} FROM ONLY ${name})`;
        await eachLine(client, source, signal, (bytes, start, end) => {
          const [ctid = null, text] = valuesOf(bytes.subarray(start, end), 2, decode);
          if (text === undefined || ctid === null || !isWanted(text) || places.length > MOST_ROWS) return;
          places.push(placeOfCtid(ctid));
        });
        all.push({ file, places });
      }
      return all;
    }),
  );
  const rows = found.reduce((sum, { places }) => sum + places.length, 0);
  return rows === 0 || rows > MOST_ROWS ? null : found;
}
