import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Row, TableName } from '../model/row.js';
import type { InitialContents } from './initial.js';
import { afterRows, beforeRows, LARGE_OBJECT_OID, OWNER_ROLE } from './schema.js';

const ROWS_A_CHUNK = 2000;

/** Fills the empty database `mairie` by COPY, in one transaction. The roles exist and the client is a superuser. */
export async function loadContents(client: pg.Client, contents: InitialContents): Promise<void> {
  await client.query('BEGIN');
  await client.query(beforeRows);
  for (const [table, rows] of contents.rows) await copyRows(client, table, rows);
  await client.query('SELECT lo_from_bytea($1, $2)', [LARGE_OBJECT_OID, contents.largeObject]);
  await client.query(`ALTER LARGE OBJECT ${LARGE_OBJECT_OID} OWNER TO ${OWNER_ROLE}`);
  await client.query(afterRows);
  await client.query('COMMIT');
}

async function copyRows(client: pg.Client, table: TableName, rows: readonly Row[]): Promise<void> {
  await pipeline(Readable.from(chunks(rows)), client.query(copyFrom(`COPY ${table} FROM STDIN`)));
}

function* chunks(rows: readonly Row[]): Generator<Buffer> {
  for (let first = 0; first < rows.length; first += ROWS_A_CHUNK) {
    yield Buffer.from(
      rows
        .slice(first, first + ROWS_A_CHUNK)
        .map(copyLine)
        .join(''),
    );
  }
}

/** One line of COPY's text format. */
function copyLine(row: Row): string {
  return `${row.map((value) => (value === null ? '\\N' : escaped(value))).join('\t')}\n`;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

function escaped(value: string): string {
  return value.replace(/[\\\t\n\r]/g, (character) => escapes[character] ?? character);
}
