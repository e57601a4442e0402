import type pg from 'pg';
import type { ConnectionConfig } from '../domain/config.js';
import { withClient } from '../postgres/connection/with-client.js';
import { tableContentHash } from '../postgres/content/content-hash.js';
import { archivedCommits } from './archive.js';
import { account, readLog } from './business/log.js';
import type { InitialContents } from './data/initial.js';
import { DATABASE, LARGE_OBJECT_OID } from './data/schema.js';
import type { Loss } from './loss.js';
import { contentHash } from './model/content-hash.js';
import { ExpectedContents } from './model/expected.js';
import type { Narrator } from './narrator.js';
import type { Scratch } from './scratch.js';

export interface ComparedTable {
  readonly name: string;
  readonly rows: number;
  /** Same rows by content hash as the client's log says. */
  readonly match: boolean;
}

/** What a server holds, against the client's log. */
export interface Contents {
  readonly tables: readonly ComparedTable[];
  /** Number of the last transaction that is there. */
  readonly upTo: number;
  readonly acknowledged: number;
  /** Numbers of acknowledged transactions that are not there. */
  readonly lost: readonly number[];
  /** Sent and never acknowledged, but there: allowed, the server had committed before it died. */
  readonly unacknowledged: number;
}

export interface Comparison extends Contents {
  readonly loss: Loss['kind'];
  /** Number of the last transaction whose commit the archive held at the loss: all after it were in `pg_wal` alone. */
  readonly archivedUpTo: number;
}

/** What the recovered cluster holds, and what the archive held at the loss. */
export async function compareContents(scratch: Scratch, initial: InitialContents, loss: Loss): Promise<Comparison> {
  const { sent } = account(await readLog(scratch.clientLog));
  return {
    loss: loss.kind,
    ...(await contentsOf(scratch.connection, scratch.clientLog, initial)),
    archivedUpTo: await archivedUpTo(scratch, loss, sent),
  };
}

/**
 * Compares every table with the contents computed from the generated data and the client's own log up to the last
 * transaction that is there. Nothing is taken from the database but what is to be compared.
 */
export async function contentsOf(
  connection: ConnectionConfig,
  clientLog: string,
  initial: InitialContents,
): Promise<Contents> {
  const { sent, acknowledged } = account(await readLog(clientLog));
  return withClient(connection, DATABASE, async (client) => {
    const { rows } = await client.query<{ n: string }>('SELECT numero AS n FROM metier.journal');
    const there = new Set(rows.map((row) => Number(row.n)));
    const upTo = Math.max(0, ...there);
    const expected = new ExpectedContents(initial);
    for (const { n, changes } of sent) if (n <= upTo) expected.apply(changes);
    return {
      tables: [...(await compareTables(client, expected)), await compareLargeObject(client, initial.largeObject)],
      upTo,
      acknowledged: acknowledged.size,
      lost: [...acknowledged.keys()].filter((n) => !there.has(n)),
      unacknowledged: [...there].filter((n) => !acknowledged.has(n)).length,
    };
  });
}

/** Whether all is there that existed anywhere after such a loss: with the old WAL every commit, else those archived. */
export function isAsExpected({ loss, tables, lost, upTo, archivedUpTo }: Comparison): boolean {
  const exact =
    loss === 'data-files' ? lost.length === 0 : upTo === archivedUpTo && lost.every((n) => n > archivedUpTo);
  return exact && tables.every(({ match }) => match);
}

export function tellTables(narrator: Narrator, tables: readonly ComparedTable[]): void {
  for (const { name, rows, match } of tables) narrator.say(`${match ? '  same' : 'OTHER '}  ${name}  ${rows} rows`);
}

async function compareTables(client: pg.Client, expected: ExpectedContents): Promise<ComparedTable[]> {
  const compared: ComparedTable[] = [];
  for (const name of expected.names()) {
    const [schema, table] = name.split('.') as [string, string];
    const actual = await tableContentHash(client, schema, table);
    const wanted = contentHash(expected.rows(name));
    compared.push({ name, rows: actual.rows, match: actual.rows === wanted.rows && actual.hash === wanted.hash });
  }
  return compared;
}

/** Large objects are in no table of their own, and a dump or a copy may leave them out unseen. */
async function compareLargeObject(client: pg.Client, wanted: Buffer): Promise<ComparedTable> {
  const { rows } = await client.query<{ oid: string; content: Buffer }>(
    'SELECT oid, lo_get(oid) AS content FROM pg_largeobject_metadata',
  );
  const match =
    rows.length === 1 && Number(rows[0]?.oid) === LARGE_OBJECT_OID && rows[0]?.content.equals(wanted) === true;
  return { name: 'pg_catalog.pg_largeobject', rows: rows.length, match };
}

async function archivedUpTo(
  scratch: Scratch,
  loss: Loss,
  sent: readonly { n: number; xid: string }[],
): Promise<number> {
  if (loss.lastArchived === null) return 0;
  const numbers = new Map(sent.map(({ n, xid }) => [xid, n]));
  const found = await archivedCommits(scratch, loss.lastArchived, new Set(numbers.keys()));
  return Math.max(0, ...[...found].map((xid) => numbers.get(xid) ?? 0));
}
