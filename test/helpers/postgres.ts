import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { onCleanup } from './cleanup.js';
import { ScratchCluster } from './scratch-cluster.js';
import type { ScratchOptions } from './scratch-cluster.js';

export type { ScratchCluster, ScratchOptions } from './scratch-cluster.js';

/** A PostgreSQL server that one may connect to. */
export interface ServerAddress {
  host: string;
  port: number;
  user: string;
  socketDir: string;
}

/** A database of this test file's own. */
export interface TestDatabase extends ServerAddress {
  name: string;
  connectionString: string;
  /** Runs one statement on a connection of its own. */
  query: (sql: string, values?: unknown[]) => Promise<pg.QueryResult>;
}

/** The server that the whole run shares: for databases, never to be stopped or reconfigured. */
export function sharedServer(): ServerAddress {
  const port = Number(process.env['REPRISE_TEST_PG_PORT']);
  const socketDir = process.env['REPRISE_TEST_PG_SOCKET'];
  if (!Number.isInteger(port) || socketDir === undefined) {
    throw new Error('there is no shared PostgreSQL here\nHINT: tests that need servers do not belong in test/unit');
  }
  return { host: '127.0.0.1', port, user: 'postgres', socketDir };
}

/** A separate throwaway cluster, removed at the end of this test file. */
export async function startScratchCluster(options: ScratchOptions = {}): Promise<ScratchCluster> {
  const cluster = await ScratchCluster.create(options);
  onCleanup(() => cluster.remove());
  return cluster;
}

/** Creates a database from a template, on the shared server by default, and drops it at the end of this file. */
export async function createDatabaseFromTemplate(
  template = 'template0',
  server: ServerAddress = sharedServer(),
): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await runQuery(server, 'postgres', `CREATE DATABASE ${name} TEMPLATE ${pg.escapeIdentifier(template)}`);
  onCleanup(() => runQuery(server, 'postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  return {
    ...address(server),
    name,
    connectionString: `postgresql://${server.user}@${server.host}:${server.port}/${name}`,
    query: (sql, values) => runQuery(server, name, sql, values),
  };
}

/** Runs one statement in a database and closes the connection. */
export async function runQuery(
  server: ServerAddress,
  database: string,
  sql: string,
  values: unknown[] = [],
): Promise<pg.QueryResult> {
  const { host, port, user } = server;
  const client = new pg.Client({ host, port, user, database });
  // A server that stops in between fails the statement; without a listener it would end the test's process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    // Without values pg uses the simple protocol, which takes several statements at once.
    return values.length > 0 ? await client.query(sql, values) : await client.query(sql);
  } finally {
    await client.end();
  }
}

function address({ host, port, user, socketDir }: ServerAddress): ServerAddress {
  return { host, port, user, socketDir };
}
